package loop

import (
	"time"
)

// Loop owns its connections, its part of the rooms, and a wheel.
type Loop struct {
	// Immutable after New.
	*settings
	node  *Node
	index int
	host  any

	// Any goroutine.
	inbox inbox
	load  load

	// Owned by the loop's goroutine, except for the parts whose types say otherwise.
	now      time.Duration
	tick     uint32 // tickDown(now) at the last turn
	intake   intake
	slots    slots
	timeouts timeouts
	reader   reader
	rooms    rooms
	fanout   fanout
	slow     slowSet
	repeats  repeater
	toClose  worklist[toClose]
	ledger
}

func newLoop(n *Node, index int) *Loop {
	l := &Loop{settings: n.settings, node: n, index: index}
	l.inbox.loop = l
	l.load.node, l.load.limit = n, n.cfg.InboxLimit
	l.intake.loop = l
	l.timeouts.loop = l
	l.reader = reader{loop: l, buf: make([]byte, l.cfg.ReadBuffer)}
	l.rooms = rooms{loop: l, marks: marks{loop: l}, byName: map[string]*room{}, many: map[*Conn]*many{}}
	l.fanout = fanout{loop: l, batches: batches{encodings: &l.cfg.Encodings}}
	l.slow.loop = l
	l.fanout.acks.loop = l
	l.repeats = repeater{loop: l, starts: map[*Member]Start{}}
	return l
}

// Turn is one turn of the loop. The poller calls it after the doorbell rang; Turn rings the doorbell itself if work is left.
// Everything except reading happens here, in this order:
//
//  1. adopt new connections, before any write: a descriptor number that is freed in this turn cannot be registered in it
//  2. take one snapshot of the inbox: joins, publications into the batches of their rooms, sockets closed, calls
//  3. resend to members that can take more; kick the suspects that stayed silent; advance the wheel
//  4. parse and read the connections that were left over, within the budgets
//  5. flush dirty rooms, within the budget
//  6. sweep the connections that must be closed; ring again if work is left
func (l *Loop) Turn(now time.Duration) { l.turn(now, true) }

func (l *Loop) turn(now time.Duration, adopts bool) {
	l.now = now
	l.stats.Turns++
	if adopts {
		l.intake.take()
	} else {
		l.intake.takeAlone()
	}
	l.repeats.serveLate()
	l.slow.unblocked.each(l.slow.resend)
	l.repeats.serve()
	l.advanceTime()
	if l.reader.resumed.Swap(false) {
		l.reader.unpause()
	}
	l.reader.serveReady()
	l.fanout.flush()
	l.sweep()
	sheds := 0
	for ; sheds < shedsPerTurn && l.slow.shed(); sheds++ {
		l.sweep()
	}
	l.load.relieve()
	if sheds > 0 || len(l.reader.ready) > 0 || l.reader.serving.len() > 0 || l.fanout.dirty.len() > 0 ||
		len(l.timeouts.suspects) > 0 || l.timeouts.judging.len() > 0 || l.slow.unblocked.len() > 0 || l.repeats.queue.len() > 0 || l.toClose.len() > 0 {
		l.again()
	}
	l.publishStats()
}

// advanceTime kicks suspects and advances the wheel.
func (l *Loop) advanceTime() {
	l.timeouts.judge()
	to := tickDown(l.now)
	if to == l.tick {
		return
	}
	passed := to - l.tick
	l.tick = to
	l.timeouts.wheel.advance(to, l.timeouts.expire)
	l.repeats.walked = 0
	l.slow.tickBacklogs(passed)
	l.rooms.marks.tick()
	if l.index == 0 {
		l.node.dir.tickDrains(l.tick)
		l.node.dir.Presences().tickPresence(l.tick)
	}
	l.slow.countBacklogs()
}

// Readable is called by the poller when there is something to read, or when the peer is gone.
func (l *Loop) Readable(c *Conn, now time.Duration) {
	l.now = now
	l.stats.Reads++
	if c.has(flagReady|flagPaused) && !c.peer.Finished() {
		return // c is served when its turn on the ready or paused list comes
	}
	if c.state == stateEnding && c.peer.Finished() {
		c.close()
	}
	l.reader.serve(c)
	if l.toClose.len() > 0 {
		l.again()
	}
}

// ReadableAlone is Readable for a socket that has woken the poller after a pause. If there is work then, it runs a turn at
// once, so that a single message is served without the doorbell, which costs two system calls. While more messages come, turns
// that the doorbell starts should gather them.
func (l *Loop) ReadableAlone(c *Conn, now time.Duration) {
	if !l.inbox.hush() {
		l.Readable(c, now)
		return
	}
	read := false
	defer func() {
		if !read { // it panicked
			l.inbox.unhush()
			l.ring()
		}
	}()
	l.Readable(c, now)
	read = true
	if l.inbox.unhush() {
		l.turn(now, false)
	}
}

// Writable is called once after each AwaitRoom, on the loop's goroutine, when the kernel has space for bytes of c again. It
// only puts c on the list of members to resend to.
func (l *Loop) Writable(c *Conn) {
	l.slow.unblocked.add(c)
	l.again()
}

// Adopt hands a new connection to the loop. Any goroutine.
func (l *Loop) Adopt(c *Conn) {
	l.slots.promised.Add(1)
	c.loop = l
	if l.inbox.adopt(c) {
		l.ring()
	}
}

// Closed tells the loop that the transport has closed the socket of c. Any goroutine.
func (l *Loop) Closed(c *Conn) { l.post(post{kind: postClosed, conn: c}) }

// Call makes the loop call f in its next turn. Any goroutine.
func (l *Loop) Call(f func(*Loop)) { l.post(post{kind: postCall, call: f}) }

// Joined tells the loop that its join is confirmed. Only a bus that has a directory of its own calls it; Directory.Join does
// the same under the lane's mutex. Any goroutine.
func (l *Loop) Joined(e *Entry) { l.post(post{kind: postJoined, entry: e}) }

// Ring wakes the loop because time has passed. Any goroutine.
func (l *Loop) Ring() { l.again() }

// SetHost stores one value for all sessions of this loop, so that each session does not need its own pointer to it. Call it
// before the first Adopt.
func (l *Loop) SetHost(host any) { l.host = host }

// Host returns the value given to SetHost.
func (l *Loop) Host() any { return l.host }

// Current is the connection that is being served, or nil if none is. After a panic it tells which connection the panic concerns.
func (l *Loop) Current() *Conn { return l.reader.current }

// Opening says where the stream of the member begins that has just joined. It is valid during Session.Joined.
func (l *Loop) Opening() Opening { return l.repeats.opening }

// Index is the index of the loop in its node. Any goroutine.
func (l *Loop) Index() int { return l.index }

// Now is the time that was passed to the call in progress.
func (l *Loop) Now() time.Duration { return l.now }

// Connections is the number of connections that the loop has adopted or is about to adopt. The server uses it to choose the least
// loaded loop. Any goroutine.
func (l *Loop) Connections() int { return int(l.slots.promised.Load()) }

// Conn returns the connection with this id, nil if it is gone.
func (l *Loop) Conn(id ConnID) *Conn { return l.slots.conn(id) }

// Each calls f for every connection of the loop until f returns false. f may end connections.
func (l *Loop) Each(f func(*Conn) bool) {
	for _, c := range l.slots.conns {
		if c != nil && !f(c) {
			return
		}
	}
}

// Slots is the number of slots for connections that the loop has. With Slot, a caller can visit the connections a few at a time.
func (l *Loop) Slots() int { return len(l.slots.conns) }

// Slot is the connection in slot i, nil if the slot is free. i is less than Slots.
func (l *Loop) Slot(i int) *Conn { return l.slots.conns[i] }
