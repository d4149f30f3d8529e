package loop

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The simulation runs loops, a bus and connections in one goroutine, with a clock that only the seed advances. In a third of
// the worlds the bus connects several nodes: publications come back only after some time, and other nodes publish, too. The
// transport of the simulation behaves like nbio over TCP. Its events are edge-triggered and come in the order in which they
// became ready, the doorbell among them. Sends take only as many bytes as fit. Once the peer has finished, a socket is closed
// right after its read event, which loses all unread bytes, and Closed is called some time later.
//
// After every step the ledger of the loop must balance. At the end, each client must have received whole frames that form a
// piece of the room's order without a gap, and no data may be left in a loop, a bus or a connection.

var (
	simSeeds = flag.Int("sim.seeds", 1000, "how many seeds TestSimulation runs")
	// The tests whose names end in AtAnyMoment or ExactlyOnce.
	momentSeeds = flag.Int("moment.seeds", 300, "how many seeds the tests of members that come and go run")
	simSeed     = flag.Uint64("sim.seed", 0, "run only this seed, and print what happens")
)

// moments is the number of seeds; the race detector needs ten times as long for each.
func moments() uint64 {
	if raceEnabled && *momentSeeds == 300 {
		return 30
	}
	return uint64(*momentSeeds)
}

func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		w := newWorld(*simSeed, t.Logf)
		if err := w.run(); err != nil {
			t.Fatal(err)
		}
		return
	}
	var total tally
	for seed := uint64(1); seed <= uint64(*simSeeds); seed++ {
		w := newWorld(seed, nil)
		if err := w.run(); err != nil {
			t.Fatalf("seed %d: %v\nreplay: go test ./loop -run TestSimulation -v -sim.seed=%d", seed, err, seed)
		}
		total.add(w)
	}
	t.Logf("%d seeds: %+v", *simSeeds, total)
	for name, n := range map[string]uint64{"heartbeat kicks": total.Kicks[ReasonHeartbeat], "slow kicks": total.Kicks[ReasonBacklogHard],
		"soft kicks": total.Kicks[ReasonBacklogSoft], "shed": total.Kicks[ReasonShed], "frame kicks": total.Kicks[ReasonFrame],
		"lags": total.Lags, "stalls": total.Stalls, "pauses": total.Pauses, "drains": total.Drained, "resets": total.Resets,
		"publications from elsewhere": total.Foreign, "parked ones": total.Parked, "rooms at a pace": total.Paced, "rolled batches": total.Rolled,
		"repeated messages": total.Repeated, "resumed connections": total.Resumed,
		"events of presence": total.Presence, "members that watched to the end": total.Watched} {
		if n == 0 && *simSeeds >= 500 {
			t.Errorf("no %s in %d seeds: the simulation does not reach them", name, *simSeeds)
		}
	}
}

type tally struct {
	Delivered, Accepted, Writes, Lags, Stalls, Pauses, Drained, Resets, Foreign, Parked, Paced, Rolled, Repeated, Resumed, Presence, Watched uint64
	Kicks                                                                                                                                    [NumReasons]uint64
}

func (t *tally) add(w *world) {
	for _, l := range w.node.loops {
		s := l.Stats()
		t.Delivered += s.Delivered
		t.Accepted += s.Accepted
		t.Writes += s.Writes
		t.Rolled += s.Rolled
		t.Repeated += s.Repeated
		t.Lags += s.Lags
		t.Stalls += s.Stalls
		t.Pauses += s.Pauses
		for i, n := range s.Ended {
			t.Kicks[i] += n
		}
	}
	t.Drained += w.drained
	t.Resets += w.resets
	t.Foreign += w.bus.foreign
	t.Parked += w.bus.parked
	t.Paced += w.paced
	t.Resumed += w.resumed
	t.Presence += w.presence
	t.Watched += w.watched
}

// world is one run of the simulation.
type world struct {
	rng      *rand.Rand
	logf     func(string, ...any)
	now      time.Duration
	node     *Node
	bus      *recordingBus
	events   [][]*client // sockets that are ready, by loop; nil is the doorbell
	clients  []*client
	closes   []*client // connections that the transport has closed; Closed will be called
	err      error
	gentle   bool
	drained  uint64
	resets   uint64
	paced    uint64
	resumed  uint64
	presence uint64 // events
	watched  uint64 // members that stayed and watched their rooms
}

// recordingBus keeps the order of every room.
type recordingBus struct {
	*Embedded
	order map[string][]string
	mine  map[ConnID][]string

	far     bool
	away    [][]*Publication // publications that have not come back, by lane
	seq     uint64
	foreign uint64
	parked  uint64
}

func (b *recordingBus) Publish(p *Publication) {
	if p.Origin != 0 {
		b.mine[p.Origin] = append(b.mine[p.Origin], string(p.Value))
	}
	if b.far {
		b.dir.Reserve(p)
		lane := b.dir.laneOf(p.Room)
		b.away[lane] = append(b.away[lane], p)
		return
	}
	b.Embedded.Publish(p)
	b.order[p.Room] = append(b.order[p.Room], string(p.Value))
}

// comeBack brings back the publications that are away in a lane, and puts publications of other nodes between them.
func (b *recordingBus) comeBack(lane int, rng *rand.Rand, others int) {
	pubs := b.away[lane]
	b.away[lane] = nil
	for range others {
		room := fmt.Sprintf("r%d", rng.IntN(3))
		if b.dir.laneOf(room) != lane {
			continue
		}
		b.foreign++
		p := &Publication{Room: room, Value: fmt.Appendf(nil, "far.%d.%s", b.foreign, message(rng.IntN(40)))}
		pubs = slices.Insert(pubs, rng.IntN(len(pubs)+1), p)
	}
	if len(pubs) == 0 {
		return
	}
	for _, p := range pubs {
		b.order[p.Room] = append(b.order[p.Room], string(p.Value))
	}
	b.seq++
	before := b.dir.node.Parked()
	Number(pubs, TagOf(7, "", lane), b.seq)
	[]func(*Directory, int, []*Publication){(*Directory).Deliver, (*Directory).DeliverLate}[b.seq%2](b.dir, lane, pubs)
	if b.dir.node.Parked() > before {
		b.parked++
	}
}

func (b *recordingBus) allComeBack() {
	for i := range b.away {
		b.comeBack(i, nil, 0)
	}
}

func newWorld(seed uint64, logf func(string, ...any)) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), logf: logf, now: time.Second}
	cfg := DefaultConfig()
	cfg.Loops = 1 + w.rng.IntN(4)
	cfg.Lanes = 1 + w.rng.IntN(4)
	cfg.LaneOf = func(room string) int { return int(room[len(room)-1]) % cfg.Lanes }
	cfg.Ring = func(i int) { w.events[i] = append(w.events[i], nil) }
	cfg.Encodings[0] = Encoding{Append: simFrame, Size: func(p *Publication) int { return 3 + len(p.Value) }}
	cfg.Encodings[1] = Encoding{Append: simFrameID, Size: func(p *Publication) int { return 15 + len(p.Value) }, NeedsID: true}
	for v := range 3 {
		cfg.Encodings[v] = withSimPresence(cfg.Encodings[min(v, 1)], v == 2)
	}
	cfg.Encodings[2].Watches, cfg.Encodings[2].Plain = true, 1
	cfg.Presence, cfg.PresenceBudget = simPresenceText, 20+w.rng.IntN(200)
	cfg.MaxAge, cfg.FrameTimeout, cfg.HandshakeTimeout = 3*time.Second, 1200*time.Millisecond, 1*time.Second
	cfg.CloseTimeout = 500 * time.Millisecond
	cfg.ReadMessages, cfg.ReadBytes, cfg.ReadBuffer = 4, 256, 128
	cfg.FlushFirst, cfg.FlushBudget, cfg.FlushSlice = 2, 5, 2
	cfg.InboxLimit = int64(2000 + w.rng.IntN(4000))
	cfg.SoftBacklog, cfg.HardBacklog, cfg.BacklogTime = 100, 100+w.rng.IntN(600), time.Second
	cfg.RoomCredit = int64(50 + w.rng.IntN(1000))
	cfg.StallBudget = 300 * time.Millisecond
	w.gentle = w.rng.IntN(2) == 0
	if w.gentle { // half of the worlds do not test slow members
		cfg.HardBacklog, cfg.SoftBacklog, cfg.InboxLimit = 1<<20, 1<<19, 1<<20
	}
	cfg.BacklogTotal, cfg.ParkedTotal = int64(3000+w.rng.IntN(20000)), int64(w.rng.IntN(10000))
	w.events = make([][]*client, cfg.Loops)
	w.node = New(cfg)
	w.bus = &recordingBus{Embedded: NewEmbedded(w.node.Directory(), 7), order: map[string][]string{}, mine: map[ConnID][]string{},
		far: w.rng.IntN(3) == 0, away: make([][]*Publication, cfg.Lanes)}
	w.node.Use(w.bus)
	w.node.KeepHistory(false)
	return w
}

// The wire format of the simulation: a type byte, a length and a payload. From a client, J joins a room, M is a message, H a
// heartbeat and B a broken rule. From the server, X is the last words. Frames of variant 1 have the id before the value; N is a notice.
func simFrame(dst []byte, p *Publication) ([]byte, int) {
	if p.Kind.Notice() {
		return dst, -1
	}
	dst = append(dst, 'M')
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.Value)))
	return append(dst, p.Value...), len(dst)
}

func simFrameID(dst []byte, p *Publication) ([]byte, int) {
	if p.ID.Seq == 0 {
		panic("encoded before it had an id")
	}
	kind := byte('M')
	if p.Kind.Notice() {
		kind = 'N'
	}
	dst = binary.BigEndian.AppendUint16(append(dst, kind), uint16(12+len(p.Value)))
	dst = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, p.ID.Seq), p.ID.Index)
	return append(dst, p.Value...), -1
}

// client is a connection with both ends, the server's and the client's, and the two kernels between them.
type client struct {
	Conn
	w    *world
	name string
	room string
	v    Variant

	toServer  []byte // bytes in the server's receive buffer
	fin, rst  bool
	toClient  []byte // bytes in the server's send buffer
	capacity  int
	wantsRoom bool // AwaitRoom: Writable will be called
	closed    bool // by the transport
	finSent   bool // by the server
	shut      bool

	received  []byte
	pushed    []byte // everything that arrived at the server
	reading   bool
	seq       int
	held      []byte // bytes that the client wrote and that are not in the server's buffer yet (short writes)
	touched   time.Duration
	joined    bool
	joinedAt  int // upper limit for the length of the room's order at which the server said Joined
	endReason CloseReason
	endedBy   byte // last words
	accepted  ConnID
	continued bool    // another connection continues it
	before    *client // the connection that it continues: a client of variant 1 names the last id that it has
	since     ID
	after     string // the message that has it
	resumed   bool   // the server honoured the id
	watch     *Watch // nil: it does not watch its room
	live      bool   // the repetition is over, or there was none
	abandoned bool   // one side reset the connection: the client may have received only a part of its bytes
}

func (c *client) ready() {
	i := c.Loop().Index()
	if !slices.Contains(c.w.events[i], c) {
		c.w.events[i] = append(c.w.events[i], c)
	}
}

// The methods of loop.Socket.

func (c *client) Open() error { c.accepted = c.ID(); c.ready(); return nil }

func (c *client) Read(p []byte) (int, error) {
	switch {
	case c.closed, c.shut, c.rst:
		return 0, io.ErrClosedPipe
	case len(c.toServer) > 0:
		n := copy(p, c.toServer)
		c.toServer = c.toServer[n:]
		return n, nil
	case c.fin:
		return 0, io.EOF
	}
	return 0, ErrAgain
}

func (c *client) Send(p []byte) (int, error) {
	if c.closed || c.rst || c.shut {
		return 0, io.ErrClosedPipe
	}
	if c.finSent {
		panic("send after CloseWrite")
	}
	n := min(len(p), c.capacity-len(c.toClient))
	c.toClient = append(c.toClient, p[:n]...)
	return n, nil
}

func (c *client) AwaitRoom() {
	c.wantsRoom = true
	if len(c.toClient) < c.capacity {
		c.ready()
	}
}

func (c *client) Finished() bool { return c.fin || c.rst || c.closed }
func (c *client) CloseWrite() {
	if c.backlog != nil {
		panic("FIN before everything was sent")
	}
	c.finSent = true
}
func (c *client) Shutdown() {
	c.shut = true
	if !c.closed {
		c.ready()
	}
}

// The methods of loop.Session.

func (c *client) Input(p []byte) (used int) {
	for len(p) >= 3 && c.MayParse() {
		n := 3 + int(binary.BigEndian.Uint16(p[1:]))
		if len(p) < n {
			break
		}
		c.frame(p[0], p[3:n])
		c.Took()
		p, used = p[n:], used+n
	}
	if c.Conn.Open() {
		c.SetPartial(len(p) > 0 && c.MayParse())
	}
	return used
}

func (c *client) frame(kind byte, body []byte) {
	l := c.Loop()
	c.Touch(l.Now())
	c.touched = c.w.now
	switch kind {
	case 'J':
		c.Hold()
		if c.before != nil || c.watch != nil {
			c.JoinFrom(string(body), c.v, Start{Since: c.since, HasSince: c.before != nil, Watch: c.watch})
			return
		}
		c.Join(string(body), c.v)
	case 'M':
		c.Publish(KindText, body)
	case 'P':
		c.Control([]byte{'p', 0, 0})
	case 'A':
		c.AskMembers("")
	case 'B':
		c.endReason = ReasonClosed
		c.Finish([]byte{'X', 0, 1, 'B'}, ReasonClosed)
	case 'C':
		c.endReason = ReasonClosed
		c.Finish([]byte{'X', 0, 1, 'C'}, ReasonClosed)
	}
}

func (c *client) Joined(string) {
	c.joined = true
	c.live = true
	if c.before != nil {
		o := c.Loop().Opening()
		c.resumed, c.live = o.Resumed, !o.Repeats
	}
	c.joinedAt = len(c.w.bus.order[c.room])
	c.Upgraded(c.Loop().Now())
	c.touched = c.w.now
	if n, err := c.Send([]byte{'J', 0, 0}); err == nil && n < 3 {
		panic("no room for the handshake")
	}
	c.Release()
}

func (c *client) Kick(reason CloseReason) {
	if reason == ReasonHeartbeat && c.w.now-c.touched < 3*time.Second {
		c.w.fail("%s kicked after %v of silence", c.name, c.w.now-c.touched)
	}
	c.endReason = reason
	c.Finish([]byte{'X', 0, 1, 'K'}, reason)
}

func (c *client) Ping() { c.Control([]byte{'p', 0, 0}) }

func (c *client) AppendLive(dst []byte, _ string, _ ID, _ Fenced) []byte { c.live = true; return dst }

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *world) log(format string, args ...any) {
	if w.logf != nil {
		w.logf("%8v "+format, append([]any{w.now}, args...)...)
	}
}

// run does the steps, brings everything to rest, and then checks.
func (w *world) run() error {
	for i := 0; i < 600 && w.err == nil; i++ {
		w.step()
	}
	if w.rng.IntN(2) == 0 {
		w.drain()
	}
	w.rest()
	for _, c := range w.clients {
		w.checkClient(c)
	}
	w.quiet()
	for _, c := range w.clients {
		w.checkPresence(c)
	}
	w.endAll()
	return w.err
}

func (w *world) step() {
	switch k := w.rng.IntN(100); {
	case k < 4 && len(w.clients) < 14:
		w.connect()
	case k < 45:
		w.poll(w.rng.IntN(len(w.events)))
	case k < 55:
		w.tick(time.Duration(w.rng.IntN(250)) * time.Millisecond)
	case k < 58:
		w.transportCloses()
	case k < 65 && w.bus.far:
		w.bus.comeBack(w.rng.IntN(len(w.bus.away)), w.rng, w.rng.IntN(8))
	case k < 59:
		room := fmt.Sprintf("r%d", w.rng.IntN(3))
		w.node.Publish(room, 0, KindText, fmt.Appendf(nil, "api.%d", len(w.bus.order[room])))
	case len(w.clients) > 0:
		w.act(w.clients[w.rng.IntN(len(w.clients))])
	}
}

func (w *world) tick(d time.Duration) {
	before := tickDown(w.now)
	w.now += d
	if tickDown(w.now) != before {
		w.paced += uint64(w.node.dir.draining())
		w.bus.allComeBack() // so that no publication is away for longer than an ending may take
		for _, l := range w.node.loops {
			l.Ring()
		}
	}
}

func (w *world) connect() {
	c := &client{w: w, name: fmt.Sprintf("c%d", len(w.clients)), room: fmt.Sprintf("r%d", w.rng.IntN(3)), v: Variant(w.rng.IntN(2)),
		capacity: 20 + w.rng.IntN(200), reading: true}
	if w.gentle {
		c.capacity = 20 + w.rng.IntN(4000)
	}
	c.Init(c)
	w.clients = append(w.clients, c)
	if w.rng.IntN(2) == 0 {
		c.resume()
	}
	if c.v == 1 {
		c.watch = simWatch(w)
	}
	w.node.loops[w.rng.IntN(len(w.node.loops))].Adopt(&c.Conn)
	c.write('J', c.room)
	w.log("%s connects to %s", c.name, c.room)
}

// resume makes c continue an earlier connection, if there is one that is over.
func (c *client) resume() {
	for _, old := range c.w.clients {
		over := (old.closed || old.rst || old.shut) && !old.continued
		if !over || old == c || old.v != 1 {
			continue
		}
		if got := framesOf(old.received); len(got) > 0 {
			last := got[len(got)-1]
			c.v, c.room, c.before, c.after, old.continued = 1, old.room, old, last[12:], true
			lane := c.w.node.dir.laneOf(c.room)
			c.since = ID{Seq: binary.BigEndian.Uint64([]byte(last)), Index: binary.BigEndian.Uint32([]byte(last[8:])), Tag: TagOf(7, "", lane)}
			return
		}
	}
}

// framesOf returns the bodies of the whole messages in the bytes that a client received.
func framesOf(p []byte) (got []string) {
	for len(p) >= 3 {
		n := 3 + int(binary.BigEndian.Uint16(p[1:]))
		if len(p) < n {
			break
		}
		if p[0] == 'M' {
			got = append(got, string(p[3:n]))
		}
		p = p[n:]
	}
	return got
}

func (c *client) write(kind byte, body string) {
	c.held = append(c.held, kind)
	c.held = binary.BigEndian.AppendUint16(c.held, uint16(len(body)))
	c.held = append(c.held, body...)
}

// act lets a client do something.
func (w *world) act(c *client) {
	if c.fin || c.rst || c.Loop() == nil {
		c.read(w.rng.IntN(300))
		return
	}
	switch k := w.rng.IntN(100); {
	case k < 45:
		for range 1 + w.rng.IntN(6) {
			c.write('M', fmt.Sprintf("%s.%d.%s", c.name, c.seq, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"[:w.rng.IntN(40)]))
			c.seq++
		}
	case k < 50:
		c.write('H', "")
	case k < 52:
		c.write('P', "")
	case k < 53 && c.v == 1:
		c.write('A', "")
	case k < 78:
		c.read(w.rng.IntN(400))
	case k < 82:
		c.reading = w.gentle || !c.reading
	case k == 82 && w.rng.IntN(2) == 0:
		c.write('B', "")
	case k == 83 && w.rng.IntN(2) == 0:
		c.write('C', "")
	case k == 84 && w.rng.IntN(2) == 0:
		w.log("%s finishes", c.name)
		c.push(len(c.held))
		c.fin = true
		c.ready()
		return
	case k == 85 && w.rng.IntN(2) == 0:
		w.log("%s resets", c.name)
		c.rst, c.abandoned = true, true
		w.resets++
		c.ready()
		return
	}
	c.push(w.rng.IntN(len(c.held) + 1))
}

// push lets n bytes of the client arrive at the server.
func (c *client) push(n int) {
	if n == 0 || c.closed || c.rst || c.shut {
		return
	}
	c.toServer = append(c.toServer, c.held[:n]...)
	c.pushed = append(c.pushed, c.held[:n]...)
	c.held = c.held[n:]
	c.ready()
}

// read takes up to n bytes out of the server's send buffer.
func (c *client) read(n int) {
	if !c.reading {
		return
	}
	n = min(n, len(c.toClient))
	c.received = append(c.received, c.toClient[:n]...)
	c.toClient = c.toClient[n:]
	if n > 0 && c.wantsRoom && !c.closed {
		c.ready()
	}
}

// poll handles one batch of a loop's events, as epoll reports them: flush, read, close at FIN, and the turn when the doorbell
// comes.
func (w *world) poll(i int) {
	batch := w.events[i]
	w.events[i] = nil
	l := w.node.loops[i]
	for _, c := range batch {
		if c == nil {
			l.Turn(w.now)
		} else if !c.closed {
			if c.wantsRoom && len(c.toClient) < c.capacity {
				c.wantsRoom = false
				l.Writable(&c.Conn)
			}
			if w.rng.IntN(3) == 0 { // as after a pause without events
				l.ReadableAlone(&c.Conn, w.now)
			} else {
				l.Readable(&c.Conn, w.now)
			}
			if c.fin || c.rst || c.shut {
				c.closed = true
				w.closes = append(w.closes, c)
			}
		}
		if _, err := l.CheckLedger(); err != nil {
			w.fail("%v", err)
		}
	}
	w.checkSilence(l)
}

// checkSilence: after a turn at a tick and the turn after it, no connection may be left that was silent for MaxAge.
func (w *world) checkSilence(l *Loop) {
	if w.now < l.now || len(w.events[l.index]) > 0 || len(l.timeouts.suspects) > 0 {
		return
	}
	for _, c := range l.slots.conns {
		if c == nil || c.state != stateOpen || !c.has(flagUpgraded) || c.flags&(flagReady|flagPaused|flagHeld|flagEOF) != 0 {
			continue
		}
		if c.has(flagArmed) && c.due == l.tick+1 {
			continue // the connection was paused when it was judged, and is judged again at the next tick
		}
		at, reason, ping := c.deadline(l.tick)
		if at < l.tick {
			w.fail("%x: due (%v) at tick %d, still there after tick %d", c.id, reason, at, l.tick)
		}
		if ping && (!c.has(flagArmed) || c.due > at) {
			w.fail("%x: a ping is due at tick %d and not in the wheel (armed %v for %d)", c.id, at, c.has(flagArmed), c.due)
		}
	}
}

func (w *world) transportCloses() {
	for _, c := range w.closes {
		c.Loop().Closed(&c.Conn)
	}
	w.closes = nil
}

// drain ends all connections, as a drain of the server does.
func (w *world) drain() {
	for _, l := range w.node.loops {
		l.Call(func(l *Loop) {
			l.Each(func(c *Conn) bool {
				if c.Open() {
					w.drained++
					p := c.Peer().(*client)
					p.endReason = ReasonClosed
					c.Finish([]byte{'X', 0, 1, 'D'}, ReasonClosed)
				}
				return true
			})
		})
	}
}

// rest runs everything that can happen without the clock, and some ticks so that connections can end.
func (w *world) rest() {
	for round := 0; round < 10_000 && w.err == nil; round++ { // a repetition may go through a socket that takes 20 bytes at a time
		busy := false
		for _, c := range w.clients {
			if c.reading || round > 200 {
				c.reading = true
				busy = busy || len(c.toClient) > 0
				c.read(1 << 20)
			}
		}
		for i := range w.events {
			busy = busy || len(w.events[i]) > 0
			w.poll(i)
		}
		busy = busy || len(w.closes) > 0
		w.transportCloses()
		w.bus.allComeBack()
		if !busy && round > 200 && w.node.Parked() == 0 {
			return
		}
		if !busy {
			w.checkIdle()
		}
		if round%20 == 0 || !busy && round > 200 { // deferred publications may need ticks to go on
			w.tick(50 * time.Millisecond)
		}
	}
}

// checkIdle: when no event is pending, no loop may have work left that it would find only at a tick. This check finds a lost
// ring.
func (w *world) checkIdle() {
	for _, l := range w.node.loops {
		if len(w.events[l.index]) > 0 {
			return // the last rounds of polling rang doorbells
		}
	}
	for i := range w.node.dir.lanes {
		for _, e := range w.node.dir.lanes[i].entries {
			if e.flow.defers() && w.node.flows.admit(&e.flow, srcDeferred) {
				w.fail("%d publications are parked and may go on", len(e.flow.pressure.Load().deferred.pubs))
			}
		}
	}
	for _, l := range w.node.loops {
		if len(l.reader.ready)+l.fanout.dirty.len()+len(l.timeouts.suspects)+l.slow.unblocked.len()+l.toClose.len() > 0 {
			w.fail("loop %d sleeps with %d ready, %d dirty, %d suspects, %d unblocked, %d to close", l.index, len(l.reader.ready),
				l.fanout.dirty.len(), len(l.timeouts.suspects), l.slow.unblocked.len(), l.toClose.len())
		}
		for _, p := range slices.Concat(l.reader.hungry, l.reader.paused) {
			if p.conn.state == stateOpen && !p.conn.blocked() {
				w.fail("loop %d sleeps and connection %x may go on", l.index, p.conn.id)
			}
		}
	}
}

// endAll closes every client and checks that no connection, room or frame is left.
func (w *world) endAll() {
	for _, c := range w.clients {
		if !c.fin && !c.rst {
			c.fin = true
			c.ready()
		}
	}
	w.rest()
	w.tick(2 * time.Second)
	w.rest()
	for _, l := range w.node.loops {
		s, err := l.CheckLedger()
		if err != nil {
			w.fail("%v", err)
		}
		if l.slots.live != 0 || len(l.rooms.byName) != 0 || l.timeouts.wheel.armed != 0 || len(l.slow.lagging) != 0 || l.load.bytes.Load() != 0 || s.InFlight != 0 {
			w.fail("loop %d is not empty: %d connections, %d rooms, %d timers, %d lagging, load %d, in flight %d", l.index, l.slots.live,
				len(l.rooms.byName), l.timeouts.wheel.armed, len(l.slow.lagging), l.load.bytes.Load(), s.InFlight)
		}
	}
	if w.node.Held() != 0 || w.node.Parked() != 0 || w.node.Congested() != 0 || w.node.dir.Rooms() != 0 {
		w.fail("node: %d bytes held, %d parked, %d congested, %d rooms in the directory", w.node.Held(), w.node.Parked(), w.node.Congested(), w.node.dir.Rooms())
	}
}

// checkClient checks the frames that the client received.
func (w *world) checkClient(c *client) {
	var got []string
	p := c.received
	for len(p) >= 3 {
		n := 3 + int(binary.BigEndian.Uint16(p[1:]))
		if len(p) < n {
			break
		}
		switch p[0] {
		case 'M':
			got = append(got, string(p[3:n]))
		case 'X':
			c.endedBy = p[3]
			if len(p) > n {
				w.fail("%s: %d bytes after the last words", c.name, len(p)-n)
			}
		case 'J', 'p', 'N', 'S', 'E':
		default:
			w.fail("%s: garbage %q", c.name, p[:min(len(p), 20)])
			return
		}
		p = p[n:]
	}
	if len(p) > 0 && !c.abandoned && !c.fin && !c.shut {
		w.fail("%s: half a frame at the end: %q", c.name, p)
	}
	order := w.bus.order[c.room]
	at := 0
	if c.v == 1 {
		for i := range got {
			got[i] = got[i][12:]
		}
	}
	if c.resumed && len(got) > 0 {
		w.resumed++
		if want := slices.Index(order, c.after) + 1; want >= len(order) || got[0] != order[want] {
			w.fail("%s continues %s from %d on and received %q first", c.name, c.before.name, want, got[0])
		}
	}
	if len(got) > 0 {
		at = slices.Index(order, got[0])
		if at < 0 || at+len(got) > len(order) || !slices.Equal(order[at:at+len(got)], got) {
			w.fail("%s in %s: what it received is no gapless piece of the room's order\ngot  %q\nfrom %q", c.name, c.room, got, order)
			return
		}
		if at > c.joinedAt {
			w.fail("%s joined at %d and received from %d on", c.name, c.joinedAt, at)
		}
	}
	if c.joined && c.Conn.Open() && !c.has(flagEOF) && !c.rst && !c.fin && at+len(got) != len(order) && len(order) > c.joinedAt {
		w.fail("%s stayed and misses the last %d of %d", c.name, len(order)-at-len(got), len(order))
	}
	if c.endedBy != 0 && (c.live || !c.resumed) && !c.endReason.Slow() && !c.abandoned && !c.fin && w.bus.parked == 0 {
		// A client that has sent FIN gets its last words at once. And deferred publications may wait for longer than an ending
		// takes.
		for _, m := range w.bus.mine[c.accepted] {
			if !slices.Contains(got, m) {
				w.fail("%s ended by %c (%v) without its own %q", c.name, c.endedBy, c.endReason, m)
			}
		}
	}
	if c.fin && !c.rst && c.joined && c.endReason == ReasonLeft {
		if want, mine := messagesIn(c.pushed), w.bus.mine[c.accepted]; !slices.Equal(mine, want) {
			w.fail("%s sent %q before FIN, accepted were %q", c.name, want, mine)
		}
	}
	if mine := w.bus.mine[c.accepted]; !slices.IsSortedFunc(mine, func(a, b string) int { return seqOf(a) - seqOf(b) }) {
		w.fail("%s: its own messages are out of order: %q", c.name, mine)
	}
}

// messagesIn returns the whole messages that a client wrote, up to the message that ends the connection.
func messagesIn(p []byte) (all []string) {
	for len(p) >= 3 {
		n := 3 + int(binary.BigEndian.Uint16(p[1:]))
		if len(p) < n || p[0] == 'B' || p[0] == 'C' {
			return all
		}
		if p[0] == 'M' {
			all = append(all, string(p[3:n]))
		}
		p = p[n:]
	}
	return all
}

func seqOf(m string) (n int) {
	f := bytes.Split([]byte(m), []byte("."))
	fmt.Sscan(string(f[1]), &n)
	return n
}
