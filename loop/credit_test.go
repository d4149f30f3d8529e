package loop

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestALoopOverItsInboxLimitStopsAllLoopsUntilItHasDrainedToHalf(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Loops, c.InboxLimit, c.FlushBudget, c.FlushSlice = 2, 10_000, 1, 1 })
	busy, other := []*fake{}, r.open(1, "other", 0)
	for _, room := range numbered("busy", 14) {
		busy = append(busy, r.open(0, room, 0))
	}
	for _, room := range numbered("busy", 14) {
		r.publish(room, message(500)) // each is 756 bytes of load, and a batch of its own
	}
	if got, want := r.node.Congested(), 1; got != want {
		t.Fatalf("%d loops congested, want %d", got, want)
	}
	r.send(other, "waits")
	if len(other.parsed) > 0 || r.loop(1).pausedNow() != 1 {
		t.Fatalf("%d messages parsed on the other loop and %d paused, want 0 and 1", len(other.parsed), r.loop(1).pausedNow())
	}
	for r.node.Congested() > 0 {
		if r.turn(1); len(other.parsed) > 0 {
			t.Fatalf("parsed with a load of %d", r.loop(0).load.bytes.Load())
		}
		r.turn(0)
	}
	if got, limit := r.loop(0).load.bytes.Load(), int64(10_000/2); got >= limit {
		t.Errorf("credit again with a load of %d, want less than %d", got, limit)
	}
	if !r.rang[1] {
		t.Error("the doorbell of the other loop did not ring")
	}
	r.turn(1)
	if got, want := len(other.parsed), 1; got != want {
		t.Errorf("%d messages parsed after the credit came back, want %d", got, want)
	}
	r.rest()
	for i, f := range busy {
		if got, want := len(f.frames(t)), 1; got != want {
			t.Errorf("%d messages in busy room %d, want %d", got, i, want)
		}
	}
}

// reserve may declare congestion at the moment at which the last bytes are released; then no further release comes.
func TestACongestionThatWasDeclaredTooLateEndsWithTheTurn(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Loops = 2 })
	other := r.open(1, "other", 0)
	r.loop(0).load.over.Store(true)
	r.node.flows.congested.Add(1)
	r.send(other, "waits")
	r.turn(0)
	r.rest()
	if got, want := len(other.parsed), 1; got != want || r.node.Congested() != 0 {
		t.Errorf("%d messages parsed and %d loops congested after the turn, want %d and 0", got, r.node.Congested(), want)
	}
}

func TestARoomWithoutCreditStopsItsOwnPublishersOnAllLoopsUntilAllHaveFannedOut(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Loops, c.RoomCredit = 2, 1000 })
	near, far, other := r.open(0, "room", 0), r.open(1, "room", 0), r.open(0, "another room", 0)
	r.publish("room", message(600), message(600))
	for _, f := range []*fake{near, far, other} {
		r.send(f, "question")
	}
	if len(near.parsed)+len(far.parsed) != 0 || len(other.parsed) != 1 {
		t.Errorf("%d and %d messages of the room parsed, %d of another one, want 0, 0, 1", len(near.parsed), len(far.parsed), len(other.parsed))
	}
	r.turn(0) // one loop has fanned out, the other has not
	if len(near.parsed)+len(far.parsed) != 0 {
		t.Error("parsed before all loops have fanned out")
	}
	r.rest()
	if len(near.parsed)+len(far.parsed) != 2 || len(near.frames(t)) != 4 || len(far.frames(t)) != 4 {
		t.Errorf("%d and %d messages parsed, %d and %d frames, want 1, 1, 4, 4", len(near.parsed), len(far.parsed), len(near.frames(t)), len(far.frames(t)))
	}
}

func TestTheCreditOfARoomIsWholeAgainWhateverBecomesOfItsMembers(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Loops, c.FlushBudget, c.FlushSlice = 2, 1, 1 })
	stays := r.open(0, "room", 0)
	entry := r.node.Directory().Lookup("room")
	leaves := r.openAll(3, 1, "room")
	r.publish("room", numbered("m", 10)...)
	r.turn(1) // this turn ends in the middle of a fan-out
	for _, f := range leaves {
		f.gone(ReasonLeft)
	}
	r.publish("room", "only for one loop now")
	r.rest()
	r.publish("room", "x")
	stays.gone(ReasonLeft) // while a publication for its room is in the inbox
	r.rest()
	if got := entry.flow.bytes[srcLocal].Load(); got != 0 {
		t.Errorf("%d bytes are still counted, want 0", got)
	}
}

func TestAPublicationLargerThanTheLimitPassesAlone(t *testing.T) {
	r := newRig(t, func(c *Config) { c.InboxLimit = 1000 })
	f := r.open(0, "room", 0)
	r.send(f, message(5000), message(5000), message(5000))
	r.rest()
	if got, want := len(f.frames(t)), 3; got != want {
		t.Errorf("%d messages arrived, want %d", got, want)
	}
	if got := r.node.Congested(); got != 0 {
		t.Errorf("%d loops congested at rest, want 0", got)
	}
}

// The rest of this file runs the loops on goroutines, as the server does, so that the race detector checks the core.
//
// Each loop has a poller: a list of ready sockets, with the doorbell among them. Clients on their own goroutines write into a
// receive buffer of a few hundred bytes, and read from a send buffer of the same size. So publishers are blocked, members lag,
// rooms stall and loops run out of credit all the time. No connection is kicked, so every message must arrive. Meanwhile other
// members come and go, one goroutine publishes without a connection, and one calls into the loops.

func TestLoopsAsGoroutinesLoseNothingAndNoWakeUp(t *testing.T) {
	const (
		loops, rooms, stable   = 3, 4, 5 // stable: members per room that stay until the end
		perMember, perAPI      = 400, 200
		churners, churn, calls = 4, 60, 300
	)
	w := newCity(t, loops)
	var members []*citizen
	for room := range rooms {
		for i := range stable {
			members = append(members, w.connect((room+i)%loops, fmt.Sprintf("r%d", room), Variant(i%3)))
		}
	}
	for _, c := range members {
		c.waitJoined()
	}
	var work sync.WaitGroup
	for i, c := range members {
		work.Go(func() {
			for n := range perMember {
				c.write(fmt.Sprintf("m%d.%d.%s", i, n, message(n%90)))
			}
		})
	}
	work.Go(func() {
		for n := range perAPI {
			for room := range rooms {
				w.node.Publish(fmt.Sprintf("r%d", room), 0, KindText, fmt.Appendf(nil, "api.%d.", n))
			}
		}
	})
	for i := range churners {
		work.Go(func() {
			for n := range churn {
				c := w.connect((i+n)%loops, fmt.Sprintf("r%d", (i+n)%(rooms+1)), 0) // the last room is only for these members
				c.waitJoined()
				c.finish(n%2 == 0)
			}
		})
	}
	work.Go(func() { w.callFromOutside(calls) })
	const want = stable*perMember + perAPI
	orders := make([][]string, len(members))
	for i, c := range members {
		work.Go(func() { orders[i] = c.waitFrames(want) })
	}
	w.wait(&work)
	for i, got := range orders {
		if first := orders[i/stable*stable]; !slices.Equal(got, first) {
			t.Errorf("members %d and %d of a room saw different orders", i, i/stable*stable)
		}
		checkSenders(t, got, perMember)
	}
	var ends sync.WaitGroup
	for _, c := range members {
		ends.Go(func() { c.finish(false) })
	}
	w.wait(&ends)
	w.stop()
	w.checkEmpty()
}

// checkSenders checks that every sender's messages came once and in the sender's order.
func checkSenders(t *testing.T, got []string, perMember int) {
	t.Helper()
	next := map[string]int{}
	for _, m := range got {
		f := strings.SplitN(m, ".", 3)
		if f[1] != fmt.Sprint(next[f[0]]) {
			t.Fatalf("%q after %d messages of this sender", m[:min(20, len(m))], next[f[0]])
		}
		next[f[0]]++
	}
	for sender, n := range next {
		if sender[0] == 'm' && n != perMember {
			t.Errorf("%d messages of %s, want %d", n, sender, perMember)
		}
	}
}

// city is the node with its pollers.
type city struct {
	t       *testing.T
	node    *Node
	pollers []*cityPoller
	now     atomic.Int64
	stopped atomic.Bool
	done    sync.WaitGroup
}

func newCity(t *testing.T, loops int) *city {
	w := &city{t: t}
	w.now.Store(int64(time.Second))
	cfg := DefaultConfig()
	cfg.Loops, cfg.Lanes = loops, 2
	cfg.MaxAge, cfg.HandshakeTimeout, cfg.FrameTimeout, cfg.BacklogTime = time.Hour, time.Hour, time.Hour, time.Hour
	cfg.ReadMessages, cfg.ReadBytes, cfg.ReadBuffer = 5, 300, 100
	cfg.FlushBudget, cfg.FlushSlice = 7, 3
	cfg.InboxLimit, cfg.RoomCredit = 9_000, 2_000
	cfg.SoftBacklog, cfg.HardBacklog = 1_000, 1<<30
	cfg.Ring = func(i int) { w.pollers[i].post(nil) }
	encoding := Encoding{
		Append: func(dst []byte, p *Publication) ([]byte, int) { return appendFrame(dst, p.Value), len(dst) + 2 },
		Size:   func(p *Publication) int { return 2 + len(p.Value) },
	}
	cfg.Encodings = [MaxVariants]Encoding{encoding, encoding, encoding}
	cfg.Encodings[2].NeedsID = true
	for range loops {
		p := &cityPoller{}
		p.wake.L = &p.mu
		w.pollers = append(w.pollers, p)
	}
	w.node = New(cfg)
	w.node.Use(NewEmbedded(w.node.Directory(), 7))
	for i := range loops {
		w.done.Go(func() { w.run(i) })
	}
	w.done.Go(w.tick)
	return w
}

type cityPoller struct {
	mu     sync.Mutex
	wake   sync.Cond
	events []*citizen // nil is the doorbell
	closed bool
}

func (p *cityPoller) post(c *citizen) {
	p.mu.Lock()
	p.events = append(p.events, c)
	p.mu.Unlock()
	p.wake.Signal()
}

// run is the goroutine of a loop: it handles the events in batches. Every turn takes a millisecond.
func (w *city) run(i int) {
	p, l := w.pollers[i], w.node.loops[i]
	for {
		p.mu.Lock()
		for len(p.events) == 0 && !p.closed {
			p.wake.Wait()
		}
		batch := p.events
		p.events = nil
		p.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, c := range batch {
			if c == nil {
				l.Turn(time.Duration(w.now.Add(int64(time.Millisecond))))
			} else {
				c.event(l, time.Duration(w.now.Load()))
			}
		}
	}
}

// tick advances the time also when no socket is ready.
func (w *city) tick() {
	for !w.stopped.Load() {
		time.Sleep(time.Millisecond)
		w.now.Add(int64(Tick) / 10)
		for _, l := range w.node.loops {
			l.Ring()
		}
	}
}

func (w *city) stop() {
	w.stopped.Store(true)
	for _, p := range w.pollers {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.wake.Signal()
	}
	w.done.Wait()
}

// wait waits with a time limit: if a wake-up is lost, the test fails here instead of waiting without end.
func (w *city) wait(work *sync.WaitGroup) {
	w.t.Helper()
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		for _, l := range w.node.loops {
			w.t.Logf("loop %d: %+v", l.index, l.Stats())
		}
		w.t.Fatalf("hangs: somebody was not woken up (%d loops congested)", w.node.Congested())
	}
}

// callFromOutside makes the calls of the API, on a goroutine that does not belong to a loop.
func (w *city) callFromOutside(times int) {
	for n := range times {
		l := w.node.loops[n%len(w.node.loops)]
		answer := make(chan error)
		l.Call(func(l *Loop) {
			_, err := l.CheckLedger()
			l.Each(func(c *Conn) bool { _ = c.Room(); return true })
			answer <- err
		})
		if err := <-answer; err != nil {
			w.t.Error(err)
		}
		_, _ = l.Stats(), l.Connections()
		w.node.Directory().Each(func(e *Entry) { _ = e.Members() })
		_, _ = w.node.Held(), w.node.Directory().Rooms()
	}
}

// checkEmpty checks the loops after their goroutines have ended.
func (w *city) checkEmpty() {
	w.t.Helper()
	pauses, lags := uint64(0), uint64(0)
	for _, l := range w.node.loops {
		s, err := l.CheckLedger()
		if err != nil {
			w.t.Error(err)
		}
		pauses, lags = pauses+s.Pauses, lags+s.Lags
		if l.slots.live != 0 || len(l.rooms.byName) != 0 || l.timeouts.wheel.armed != 0 || len(l.slow.lagging) != 0 || l.load.bytes.Load() != 0 || s.InFlight != 0 {
			w.t.Errorf("loop %d at the end: %d connections, %d rooms, %d timers, %d lagging, load %d, in flight %d; want none", l.index,
				l.slots.live, len(l.rooms.byName), l.timeouts.wheel.armed, len(l.slow.lagging), l.load.bytes.Load(), s.InFlight)
		}
	}
	if pauses == 0 || lags == 0 {
		w.t.Errorf("%d pauses and %d lags: the test does not reach what it is for", pauses, lags)
	}
	if w.node.Held() != 0 || w.node.Congested() != 0 || w.node.Directory().Rooms() != 0 {
		w.t.Errorf("node at the end: %d bytes held, %d congested, %d rooms; want none", w.node.Held(), w.node.Congested(), w.node.Directory().Rooms())
	}
}

// citizen is a connection with both ends, the server's and the client's.
type citizen struct {
	Conn
	w       *city
	name    string // name of its room
	variant Variant
	freed   chan struct{}

	mu       sync.Mutex
	change   sync.Cond
	toServer []byte
	fin      bool
	toClient []byte
	wants    bool // AwaitRoom was called: the server waits for space in the send buffer
	joined   bool
	shut     bool
	closed   bool
	received []byte
}

const cityBuffer = 250

func (w *city) connect(loop int, room string, v Variant) *citizen {
	c := &citizen{w: w, name: room, variant: v, freed: make(chan struct{})}
	c.change.L = &c.mu
	c.Init(c)
	w.node.loops[loop].Adopt(&c.Conn)
	return c
}

// The client's end of the connection.

func (c *citizen) waitJoined() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.joined {
		c.change.Wait()
	}
}

func (c *citizen) write(body string) {
	c.mu.Lock()
	for len(c.toServer) > cityBuffer {
		c.change.Wait()
	}
	c.toServer = appendFrame(c.toServer, []byte(body))
	c.mu.Unlock()
	c.post()
}

func (c *citizen) post() { c.w.pollers[c.Loop().Index()].post(c) }

// finish sends FIN or resets, and waits until the server has freed everything.
func (c *citizen) finish(reset bool) {
	c.mu.Lock()
	c.fin = true
	c.shut = c.shut || reset
	c.mu.Unlock()
	c.post()
	<-c.freed
}

// waitFrames reads a little at a time until n frames have come.
func (c *citizen) waitFrames(n int) (bodies []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.toClient) == 0 {
			c.change.Wait()
		}
		c.received = append(c.received, c.toClient...)
		c.toClient = c.toClient[:0]
		if c.wants {
			c.post()
		}
		for p := c.received; len(p) >= 2 && len(p) >= 2+int(binary.BigEndian.Uint16(p)); p = c.received {
			size := 2 + int(binary.BigEndian.Uint16(p))
			bodies = append(bodies, string(p[2:size]))
			c.received = p[size:]
		}
		if len(bodies) >= n {
			return bodies
		}
	}
}

// The server's end of the connection. The mutex stands for the kernel.

// event does the work of the poller for a socket that is ready.
func (c *citizen) event(l *Loop, now time.Duration) {
	c.mu.Lock()
	closed := c.closed
	room := c.wants && len(c.toClient) < cityBuffer
	c.wants = c.wants && !room
	c.mu.Unlock()
	if closed {
		return
	}
	if room {
		l.Writable(&c.Conn)
	}
	l.Readable(&c.Conn, now)
	c.mu.Lock()
	closes := !c.closed && (c.fin || c.shut)
	c.closed = c.closed || closes
	c.mu.Unlock()
	if closes {
		go func() { // nbio, too, makes this call on another goroutine
			l.Closed(&c.Conn)
			l.Call(func(*Loop) { l.Call(func(*Loop) { c.waitFreed() }) })
		}()
	}
}

// waitFreed waits until the transport may free the socket. While there is unparsed input, it asks again in the next turn.
func (c *citizen) waitFreed() {
	if l := c.Loop(); c.state == stateGone && l.Conn(c.ID()) == nil {
		close(c.freed)
	} else {
		l.Call(func(*Loop) { c.waitFreed() })
	}
}

func (c *citizen) Open() error {
	c.w.node.loops[c.Loop().Index()].Call(func(*Loop) { c.Join(c.name, c.variant) })
	return nil
}

func (c *citizen) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed, c.shut:
		return 0, io.ErrClosedPipe
	case len(c.toServer) > 0:
		n := copy(p, c.toServer)
		c.toServer = c.toServer[n:]
		c.change.Broadcast()
		return n, nil
	case c.fin:
		return 0, io.EOF
	}
	return 0, ErrAgain
}

func (c *citizen) Send(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.shut {
		return 0, io.ErrClosedPipe
	}
	n := max(0, min(len(p), cityBuffer-len(c.toClient)))
	c.toClient = append(c.toClient, p[:n]...)
	c.change.Broadcast()
	return n, nil
}

func (c *citizen) AwaitRoom() {
	c.mu.Lock()
	c.wants = true
	room := len(c.toClient) < cityBuffer
	c.mu.Unlock()
	if room {
		c.post()
	}
}

func (c *citizen) Finished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fin || c.shut || c.closed
}

func (c *citizen) CloseWrite() {}

func (c *citizen) Shutdown() {
	c.mu.Lock()
	c.shut = true
	closed := c.closed
	c.mu.Unlock()
	if !closed {
		c.post()
	}
}

func (c *citizen) Input(p []byte) (used int) {
	for len(p) >= 2 && c.MayParse() {
		n := 2 + int(binary.BigEndian.Uint16(p))
		if len(p) < n {
			break
		}
		c.Publish(KindText, p[2:n])
		c.Took()
		p, used = p[n:], used+n
	}
	return used
}

func (c *citizen) Joined(string) {
	c.Upgraded(c.Loop().Now())
	c.mu.Lock()
	c.joined = true
	c.change.Broadcast()
	c.mu.Unlock()
}

func (c *citizen) Kick(reason CloseReason) { c.w.t.Errorf("kicked for %v, want no kick", reason) }
func (c *citizen) Ping()                   {}
