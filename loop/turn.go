package loop

import (
	"sync"
	"sync/atomic"
	"time"
)

// Loop owns its connections, its part of the rooms, and a wheel.
type Loop struct {
	// Immutable after New.
	node  *Node
	cfg   Config
	ticks struct{ handshake, maxAge, ping, frame, close, backlog, stall uint32 }
	index int
	host  any

	// Any goroutine.
	inbox   inbox
	load    atomic.Int64 // bytes of publications in the inbox and in batches not yet flushed
	over    atomic.Bool  // load is counted in node.congested
	resumed atomic.Bool  // paused connections should be looked at
	conns   atomic.Int64 // adopted or about to be, and not yet freed
	slowest atomic.Int64 // weight of what its slowest member has waiting

	// Owned by the loop's goroutine.
	now       time.Duration
	tick      uint32 // tickDown(now) of the last turn
	wheel     wheel
	rooms     map[string]*room
	slots     []*Conn // by ConnID.slot
	gens      []uint32
	freeSlots []uint32
	live      int // slots in use

	ready          []*Conn
	serving        worklist[*Conn]
	hungry, paused []paused // those who parsed nothing before they were paused, and the others
	current        *Conn    // being served
	lagging        []*Conn
	unblocked      worklist[*Conn]
	suspects       []*Conn         // expired; kicked in the next turn if they stay silent
	judging        worklist[*Conn] // the suspects of the last turn
	marked         worklist[marked]
	dirty          worklist[*room]

	posts   worklist[post] // the snapshot of the inbox
	adopts  worklist[*Conn]
	budget  int    // messages that the connection being served may still parse
	buf     []byte // what is read
	scratch []byte // what is sent again
	buffers [][]byte
	batches []*batch
	stats   Stats

	statsMu   sync.Mutex
	published Stats // guarded by statsMu
}

func newLoop(n *Node, cfg Config, index int) *Loop {
	l := &Loop{node: n, cfg: cfg, index: index, rooms: map[string]*room{}, buf: make([]byte, cfg.ReadBuffer)}
	l.inbox.loop = l
	l.ticks.handshake = ticks(cfg.HandshakeTimeout)
	l.ticks.maxAge = ticks(cfg.MaxAge)
	l.ticks.ping = max(ticks(cfg.MaxAge/3), 1)
	l.ticks.frame = ticks(cfg.FrameTimeout)
	l.ticks.close = ticks(cfg.CloseTimeout)
	l.ticks.backlog = ticks(cfg.BacklogTime)
	l.ticks.stall = ticks(cfg.StallBudget)
	return l
}

// Turn is one turn of the loop. The poller calls it when the doorbell rang; it rings the doorbell itself if work is left.
// Everything that is not a read happens here, in this order:
//
//  1. adopt new connections, before any write: a descriptor number that is freed in this turn cannot be registered in it
//  2. take one snapshot of the inbox: joins, publications into the batches of their rooms, sockets closed, calls
//  3. resend to members that can take more; kick who was suspect and stayed silent; advance the wheel
//  4. parse and read what was left over, within the budgets
//  5. flush dirty rooms, within the budget
//  6. sweep who must go; ring again if work is left
func (l *Loop) Turn(now time.Duration) {
	l.now = now
	l.stats.Turns++
	l.takeInbox()
	l.resendAll()
	l.advanceTime()
	if l.resumed.Swap(false) {
		l.unpause()
	}
	l.serveReady()
	l.flush()
	l.sweep()
	sheds := 0
	for ; sheds < shedsPerTurn && l.shed(); sheds++ {
		l.sweep()
	}
	l.relieve()
	if sheds > 0 || len(l.ready) > 0 || l.serving.len() > 0 || l.dirty.len() > 0 ||
		len(l.suspects) > 0 || l.judging.len() > 0 || l.unblocked.len() > 0 || l.marked.len() > 0 {
		l.again()
	}
	l.publishStats()
}

// takeInbox is steps 1 and 2.
func (l *Loop) takeInbox() {
	l.adoptAll() // what a turn that panicked has left
	l.handleAll()
	l.inbox.take(&l.posts, &l.adopts)
	l.adoptAll()
	l.handleAll()
}

// takePosts handles what is in the inbox now, but adopts nobody: that is for the turn.
func (l *Loop) takePosts() {
	l.handleAll()
	l.inbox.takePosts(&l.posts)
	l.handleAll()
}

func (l *Loop) adoptAll() {
	for c, ok := l.adopts.next(); ok; c, ok = l.adopts.next() {
		l.adopt(c)
	}
}

func (l *Loop) handleAll() {
	for p, ok := l.posts.next(); ok; p, ok = l.posts.next() {
		l.handle(p)
	}
}

func (l *Loop) handle(p post) {
	switch p.kind {
	case postPublication:
		l.append(p.pub)
		l.settleOrigin(p.pub.Origin)
	case postJoined:
		l.joined(p.entry)
	case postClosed:
		l.closed(p.conn)
	case postCall:
		p.call(l)
	case postRefused:
		l.disown(p.pub, WhyBackend)
	case postDoubted:
		l.disown(p.pub, WhyDoubt)
	case postLost:
		l.settleOrigin(p.pub.Origin)
	}
}

// disown kicks who published what the bus will not deliver.
func (l *Loop) disown(p *Publication, why Why) {
	if c := l.Conn(p.Origin); c != nil && c.state == stateOpen {
		l.mark(c, why)
	}
	l.settleOrigin(p.Origin)
}

// settleOrigin counts a publication of one of our connections as no longer on its way.
func (l *Loop) settleOrigin(id ConnID) {
	if id == 0 || id.Loop() != l.index {
		return
	}
	c := l.Conn(id)
	if c == nil {
		return
	}
	c.pending--
	if c.state == stateEnding && c.pending == 0 {
		l.close(c)
	}
}

// advanceTime kicks suspects and moves the wheel on.
//
// Expiry only marks, and the kick comes one turn later: what had arrived in the socket before the mark is reported by the
// poller before the doorbell that this turn rings, so a heartbeat that was in time is read first, however late we are.
func (l *Loop) advanceTime() {
	l.judgeAll()
	l.suspects = l.judging.refill(l.suspects)
	l.judgeAll()
	to := tickDown(l.now)
	if to == l.tick {
		return
	}
	passed := to - l.tick
	l.tick = to
	l.wheel.advance(to, l.expire)
	l.tickBacklogs(passed)
	if l.index == 0 {
		l.node.dir.tickPaced()
	}
	l.countBacklogs()
}

func (l *Loop) judgeAll() {
	for c, ok := l.judging.next(); ok; c, ok = l.judging.next() {
		l.judgeSilence(c)
	}
}

// expire is the wheel's callback: c's entry has come, perhaps too early.
func (l *Loop) expire(c *Conn) {
	at, _, ping := c.deadline(c.due - 1) // it was armed for the first that was not sent
	switch {
	case at > l.tick:
		l.wheel.start(c, at)
	case c.state >= stateEnding:
		l.overdue(c)
	case ping:
		c.peer.Ping()
		l.rearm(c)
	default:
		l.suspects = append(l.suspects, c)
	}
}

// judgeSilence kicks a suspect that is still silent. One whose input is about to be parsed stays suspect until it was.
func (l *Loop) judgeSilence(c *Conn) {
	if c.state != stateOpen {
		return
	}
	at, why, _ := c.deadline(l.tick)
	switch {
	case at > l.tick || c.has(flagPaused|flagHeld):
		l.rearm(c)
	case c.has(flagReady):
		l.suspects = append(l.suspects, c)
	default:
		l.mark(c, why)
	}
}

// rearm sets the wheel's entry of c to its earliest deadline, if that is earlier than the entry.
func (l *Loop) rearm(c *Conn) {
	if c.state == stateNew || c.state == stateGone {
		return
	}
	at, _, _ := c.deadline(l.tick)
	if !c.has(flagArmed) || at < c.due {
		l.wheel.start(c, at)
	}
}

func (l *Loop) resendAll() {
	for c, ok := l.unblocked.next(); ok; c, ok = l.unblocked.next() {
		l.resend(c)
	}
}

// Writable is called once after AwaitRoom, when the kernel has room for c again. On the loop's goroutine: it only takes a note.
func (l *Loop) Writable(c *Conn) {
	l.unblocked.add(c)
	l.again()
}

// Adopt gives a new connection to the loop. Any goroutine.
func (l *Loop) Adopt(c *Conn) {
	l.conns.Add(1)
	c.loop = l
	if l.inbox.adopt(c) {
		l.ring()
	}
}

func (l *Loop) adopt(c *Conn) {
	var slot uint32
	if n := len(l.freeSlots); n > 0 {
		slot = l.freeSlots[n-1]
		l.freeSlots = l.freeSlots[:n-1]
	} else {
		slot = uint32(len(l.slots))
		l.slots = append(l.slots, nil)
		l.gens = append(l.gens, 0)
	}
	if l.gens[slot]++; l.gens[slot]&0xffffff == 0 {
		l.gens[slot]++ // id 0 is nobody
	}
	l.slots[slot] = c
	l.live++
	c.id = makeID(l.index, l.gens[slot], slot)
	c.state = stateOpen
	c.opened, c.moved = tickDown(l.now), tickUp(l.now)
	l.stats.Opened++
	if err := c.peer.Open(); err != nil {
		c.flags |= flagFreed
		l.gone(c, WhyLeft)
		return
	}
	l.rearm(c)
}

// free gives the slot of a connection back; its id will never be used again (but after 16 million others in that slot).
func (l *Loop) free(c *Conn) {
	slot := c.id.slot()
	if l.slots[slot] != c {
		return
	}
	l.slots[slot] = nil
	l.freeSlots = append(l.freeSlots, slot)
	l.live--
	l.conns.Add(-1)
}

// Closed says that the transport has closed the socket of c. Any goroutine.
func (l *Loop) Closed(c *Conn) { l.post(post{kind: postClosed, conn: c}) }

// Call has f called in a turn. Any goroutine.
func (l *Loop) Call(f func(*Loop)) { l.post(post{kind: postCall, call: f}) }

// Joined is for buses with a directory of their own; Directory.Join does it under the lane's mutex. Any goroutine.
func (l *Loop) Joined(e *Entry) { l.post(post{kind: postJoined, entry: e}) }

func (l *Loop) post(p post) {
	if l.inbox.put(p) {
		l.ring()
	}
}

// Ring wakes the loop: time has passed. Any goroutine.
func (l *Loop) Ring() { l.again() }

func (l *Loop) again() {
	if l.inbox.knock() {
		l.ring()
	}
}

func (l *Loop) ring() { l.cfg.Ring(l.index) }

// SetHost keeps something for the sessions of this loop, so that not each of them needs a pointer to it. Before the first
// Adopt.
func (l *Loop) SetHost(host any) { l.host = host }

// Host returns what SetHost was given.
func (l *Loop) Host() any { return l.host }

// Current is the connection that is being served, nil between: whom a panic is about.
func (l *Loop) Current() *Conn { return l.current }

// Index of the loop in its node.
func (l *Loop) Index() int { return l.index }

// Now is the time of the call in progress.
func (l *Loop) Now() time.Duration { return l.now }

// Connections is the number of connections adopted or about to be, for choosing the least loaded loop. Any goroutine.
func (l *Loop) Connections() int { return int(l.conns.Load()) }

// Conn returns the connection with this id, nil if it is gone.
func (l *Loop) Conn(id ConnID) *Conn {
	slot := id.slot()
	if int(slot) >= len(l.slots) || l.slots[slot] == nil || l.slots[slot].id != id {
		return nil
	}
	return l.slots[slot]
}

// Each calls f for every connection of the loop until it returns false. f may end connections.
func (l *Loop) Each(f func(*Conn) bool) {
	for _, c := range l.slots {
		if c != nil && !f(c) {
			return
		}
	}
}
