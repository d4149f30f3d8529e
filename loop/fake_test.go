package loop

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain makes rapid's random walks against the models longer than by default (a flag on the command line overrides this), and
// fails if a goroutine is left at the end.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.steps": "120", "rapid.checks": "200", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// rig is a node whose loops are driven by hand, one call at a time, with a clock that only the test moves.
type rig struct {
	testing.TB
	now    time.Duration
	node   *Node
	bus    *Embedded
	rang   []bool
	builds [MaxVariants]atomic.Int64 // number of calls of each encoder
}

// newRig makes a node whose limits have no effect unless change sets them.
func newRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	r := &rig{TB: t, now: time.Second}
	cfg := DefaultConfig()
	cfg.MaxAge, cfg.HandshakeTimeout = time.Hour, time.Hour
	for v := range 3 {
		cfg.Encodings[v] = Encoding{
			Append: func(dst []byte, p *Publication) ([]byte, int) {
				r.builds[v].Add(1)
				at := len(dst) + 2
				return appendFrame(dst, p.Value), at
			},
			Size:    func(p *Publication) int { return 2 + len(p.Value) },
			NeedsID: v == 2,
		}
	}
	if change != nil {
		change(&cfg)
	}
	r.rang = make([]bool, cfg.Loops)
	cfg.Ring = func(i int) { r.rang[i] = true }
	r.node = New(cfg)
	r.bus = NewEmbedded(r.node.Directory(), 7)
	r.node.Use(r.bus)
	return r
}

// appendFrame writes the wire format of these tests: two bytes of length and a body. The first byte of a body from a client is
// its kind: H is a heartbeat, N is noise that is not a sign of life, X breaks a rule, W makes the session wait (Hold). Any other
// byte begins a message.
func appendFrame(dst, body []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(body)))
	return append(dst, body...)
}

func frame1(body string) []byte { return appendFrame(nil, []byte(body)) }

func (r *rig) loop(i int) *Loop { return r.node.loops[i] }

// turn runs one turn of a loop, whether its doorbell rang or not, and checks the ledger.
func (r *rig) turn(i int) {
	r.Helper()
	r.rang[i] = false
	r.loop(i).Turn(r.now)
	r.even()
}

// rest runs turns until no doorbell rings.
func (r *rig) rest() {
	r.Helper()
	for range 100_000 {
		i := slices.Index(r.rang, true)
		if i < 0 {
			return
		}
		r.turn(i)
	}
	r.Fatal("the loops do not come to rest")
}

// step moves the clock and gives every loop a turn, as the ticker does.
func (r *rig) step(d time.Duration) {
	r.Helper()
	r.now += d
	for i := range r.rang {
		r.turn(i)
	}
	r.rest()
}

func (r *rig) even() {
	r.Helper()
	for _, l := range r.node.loops {
		if _, err := l.CheckLedger(); err != nil {
			r.Fatal(err)
		}
		for _, c := range l.slow.lagging {
			if want := waitingBytes(c); c.Backlog() != want {
				r.Fatalf("a backlog of %d bytes is counted as %d", want, c.Backlog())
			}
		}
	}
}

// waitingBytes adds up the bytes that wait for c.
func waitingBytes(c *Conn) (n int) {
	for _, ref := range c.backlog.refs {
		for _, p := range ref.batch.pubs[ref.next:] {
			n += len(p.frame(&c.loop.cfg.Encodings, c.variant))
		}
	}
	return n + len(c.backlog.rest)
}

// read does the work of the poller when f is readable.
func (r *rig) read(f *fake) {
	r.Helper()
	f.Loop().Readable(&f.Conn, r.now)
	r.even()
}

// send lets bytes arrive at f and lets the loop read them.
func (r *rig) send(f *fake, bodies ...string) {
	r.Helper()
	f.arrive(bodies...)
	r.read(f)
}

// open adopts a connection and lets it join the room.
func (r *rig) open(loop int, room string, v Variant) *fake {
	r.Helper()
	f := &fake{room: -1}
	f.Init(f)
	r.loop(loop).Adopt(&f.Conn)
	r.rest()
	f.Join(room, v)
	r.rest()
	if f.joins != 1 {
		r.Fatalf("joined %d times, want 1", f.joins)
	}
	return f
}

func (r *rig) openAll(n, loop int, room string) []*fake {
	r.Helper()
	all := make([]*fake, n)
	for i := range all {
		all[i] = r.open(loop, room, 0)
	}
	return all
}

func (r *rig) publish(room string, bodies ...string) {
	for _, b := range bodies {
		r.node.Publish(room, 0, KindText, []byte(b))
	}
}

func (r *rig) stats(i int) Stats {
	s, _ := r.loop(i).CheckLedger()
	return s
}

// fake is a connection. The test decides how many bytes its kernel takes.
type fake struct {
	Conn

	in     []byte // arrived and not read yet
	fin    bool
	room   int  // bytes that the kernel still takes; -1: any number
	broken bool // reset; bytes that had arrived are lost
	reset  bool // reset; bytes that had arrived can still be read
	null   bool // the connection counts the bytes that it gets, and does not store them

	got    []byte
	awaits bool // Writable must be called
	sends  int
	joins  int
	parsed []string
	kicks  []CloseReason
	pings  int
	pulse  []byte // sent by Ping to a peer that only reads
	shut   bool
	finned bool // CloseWrite was called
	lives  int
	at     ID // of Live
	acks   []ack
	gaps   []lost
	live   bool
	fenced Fenced
	me     uint64   // for the test
	unread []unread // for the test: bytes that the server has not read yet

	onJoined, onMessage, onSend, onKick func()
	onJoinedRoom                        func(string)
}

type unread struct {
	by   Sender
	text string
}

func (f *fake) arrive(bodies ...string) {
	for _, b := range bodies {
		f.in = appendFrame(f.in, []byte(b))
	}
}

func (f *fake) Open() error { return nil }

func (f *fake) Read(p []byte) (int, error) {
	switch {
	case f.shut, f.broken:
		return 0, io.ErrClosedPipe
	case len(f.in) > 0:
		n := copy(p, f.in)
		f.in = f.in[n:]
		return n, nil
	case f.reset:
		return 0, io.ErrClosedPipe
	case f.fin:
		return 0, io.EOF
	}
	return 0, ErrAgain
}

func (f *fake) Send(p []byte) (int, error) {
	f.sends++
	if f.onSend != nil {
		f.onSend()
	}
	switch {
	case f.null:
		return len(p), nil
	case f.shut, f.broken, f.reset:
		return 0, io.ErrClosedPipe
	case f.finned:
		panic("something was sent after FIN")
	}
	n := len(p)
	if f.room >= 0 {
		n = min(n, f.room)
		f.room -= n
	}
	f.got = append(f.got, p[:n]...)
	return n, nil
}

func (f *fake) AwaitRoom() { f.awaits = true }

// take lets the kernel take n more bytes (-1: any number), as it does when a peer reads.
func (f *fake) take(n int) {
	f.room = n
	if n != 0 && f.awaits {
		f.awaits = false
		f.Loop().Writable(&f.Conn)
	}
}

func (f *fake) Finished() bool { return f.fin || f.broken || f.reset }
func (f *fake) CloseWrite()    { f.finned = true }
func (f *fake) Shutdown()      { f.shut = true }

func (f *fake) Input(p []byte) (used int) {
	for len(p) >= 2 && f.MayParse() {
		n := 2 + int(binary.BigEndian.Uint16(p))
		if len(p) < n {
			break
		}
		f.message(p[2:n])
		f.Took()
		p, used = p[n:], used+n
	}
	if f.Conn.Open() && f.has(flagUpgraded) {
		f.SetPartial(len(p) > 0 && f.MayParse())
	}
	return used
}

func (f *fake) message(body []byte) {
	if f.onMessage != nil {
		f.onMessage()
	}
	if body[0] != 'N' {
		f.Touch(f.Loop().Now())
	}
	f.parsed = append(f.parsed, string(body))
	switch body[0] {
	case 'N':
	case 'H':
	case 'X':
		f.Finish(frame1("last words"), ReasonClosed)
	case 'W':
		f.Hold()
	default:
		f.Publish(KindText, body)
	}
}

func (f *fake) Joined(room string) {
	f.joins++
	if f.onJoinedRoom != nil {
		f.onJoinedRoom(room)
	}
	f.Upgraded(f.Loop().Now())
	if f.onJoined != nil {
		f.onJoined()
	}
}

func (f *fake) Kick(reason CloseReason) {
	if f.onKick != nil {
		f.onKick()
	}
	f.kicks = append(f.kicks, reason)
	f.Finish(frame1("kicked: "+reason.String()), reason)
}

func (f *fake) Ping() {
	f.pings++
	if f.pulse != nil {
		Plain{&f.Conn}.Pulse(f.pulse)
	}
}

func (f *fake) AppendLive(dst []byte, _ string, at ID, fenced Fenced) []byte {
	f.live, f.fenced = true, fenced
	f.lives++
	f.at = at
	return dst
}

func (f *fake) AppendGap(dst []byte, room string, at ID, pubs int, why GapReason) []byte {
	f.gaps = append(f.gaps, lost{room, at, pubs, why})
	return appendFrame(dst, fmt.Appendf(nil, "gap of %d, %d, at %d in %s", pubs, why, at.Seq, room))
}

func (f *fake) Presence(_ string, state []byte) { f.Say(frame1("state " + string(state))) }

func (f *fake) Ack(_ string, ref uint64, at ID, behind bool) {
	f.acks = append(f.acks, ack{ref, at, behind})
}

// frames returns the bodies of the whole frames that f received. Bytes after the last whole frame are an error.
func (f *fake) frames(t testing.TB) (bodies []string) {
	t.Helper()
	for p := f.got; len(p) > 0; {
		if len(p) < 2 || len(p) < 2+int(binary.BigEndian.Uint16(p)) {
			t.Fatalf("half a frame at the end: %q", p)
		}
		n := 2 + int(binary.BigEndian.Uint16(p))
		bodies = append(bodies, string(p[2:n]))
		p = p[n:]
	}
	return bodies
}

func numbered(prefix string, n int) (bodies []string) {
	for i := range n {
		bodies = append(bodies, fmt.Sprintf("%s%d", prefix, i))
	}
	return bodies
}

// pausedNow is the number of connections that wait because of back-pressure.
func (l *Loop) pausedNow() int { return len(l.reader.hungry) + len(l.reader.paused) }

// draining is the number of rooms that have a drain rate.
func (d *Directory) draining() (n int) {
	for i := range d.lanes {
		d.lanes[i].mu.Lock()
		n += len(d.lanes[i].drains)
		d.lanes[i].mu.Unlock()
	}
	return n
}
