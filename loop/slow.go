package loop

import "sync/atomic"

// shedsPerTurn is small because each shed looks at all lagging members.
const shedsPerTurn = 64

// slowSet knows which members lag, which of them can go on, and which must be kicked (backlog.go). Only the loop's goroutine
// uses it, except for slowest.
type slowSet struct {
	loop      *Loop
	slowest   atomic.Int64 // weight of the largest backlog on this loop. Any goroutine.
	lagging   []*Conn
	unblocked worklist[*Conn]
	scratch   []byte // buffer for bytes to send from backlogs
	left      int    // how often in a row shed left the kick to another loop
}

// block begins a backlog with the rest of a frame that the kernel took in part. p is the frame's publication, or nil for a
// control frame. rest is not copied.
func (s *slowSet) block(c *Conn, rest []byte, p *Publication) {
	s.begin(s.add(c), rest, p)
	c.peer.AwaitRoom()
}

// add returns the backlog of c, a new one if it has none.
func (s *slowSet) add(c *Conn) *backlog {
	if c.backlog == nil {
		c.backlog = &backlog{index: len(s.lagging), progress: tickDown(s.loop.now)}
		s.lagging = append(s.lagging, c)
		s.loop.stats.Lags++
	}
	return c.backlog
}

// lagFrom begins the backlog of c in the middle of a batch: the first n bytes of pubs[skip:] were sent.
func (s *slowSet) lagFrom(m *Member, b *batch, skip, n int) {
	l, c := s.loop, m.conn
	i, v := skip, variantIn(c, b)
	f := b.pubs[i].frame(&l.cfg.Encodings, v)
	for n >= len(f) {
		n -= len(f)
		l.stats.passed(f)
		i++
		f = b.pubs[i].frame(&l.cfg.Encodings, v)
	}
	s.block(c, f[n:], b.pubs[i])
	if i+1 < len(b.pubs) {
		s.lag(m, b, i+1)
		return
	}
	s.checkLimits(c)
}

// lag adds pubs[from:] of a batch to the backlog of m's connection, and checks its limits.
func (s *slowSet) lag(m *Member, b *batch, from int) {
	c := m.conn
	k, v := c.backlog, variantIn(c, b)
	size := len(s.loop.fanout.batches.encoded(b, v))
	if from > 0 {
		size -= s.loop.fanout.batches.offset(b, v, from)
	}
	if size == 0 { // publications that are not for this variant
		s.loop.stats.Blank += uint64(len(b.pubs) - from)
		return
	}
	s.ref(b)
	k.refs = append(k.refs, ref{b, from})
	k.bytes += size
	if c.state == stateOpen && (c.has(flagLatest) || c.has(flagMany)) && slowOf(m) == SlowLatest {
		s.keepLatest(m)
	}
	s.checkLimits(c)
}

// checkLimits applies the limits to the backlog of c.
func (s *slowSet) checkLimits(c *Conn) {
	l := s.loop
	k := c.backlog
	switch weight := k.weight(); {
	case c.state > stateEnding:
	case weight > l.cfg.HardBacklog:
		s.tooSlow(c, ReasonBacklogHard)
	case weight <= l.cfg.SoftBacklog:
		k.softSince = 0
		l.unstallFor(c)
	case k.softSince == 0:
		k.softSince = max(l.tick, 1)
		l.stallFor(c)
	}
}

// resend sends more of the backlog of c, because the kernel has space again.
func (s *slowSet) resend(c *Conn) {
	l := s.loop
	k := c.backlog
	if k == nil || c.state == stateGone {
		return // everything was taken, or the member is gone
	}
	for {
		buf, ok := s.gather(c)
		if !ok { // it was too slow for the history, too
			c.closeLater(ReasonBacklogSoft)
			return
		}
		if len(buf) == 0 {
			s.unlag(c)
			if c.state == stateClosing {
				c.lastWords()
				l.reader.queueReady(c) // so that its input is discarded
			}
			return
		}
		n, err := c.peer.Send(buf)
		l.stats.Writes++
		l.stats.WrittenBytes += uint64(n)
		if err != nil {
			c.eof()
			return
		}
		if n > 0 {
			k.progress = tickDown(l.now)
		}
		short := n < len(buf)
		s.advance(c, n)
		if short {
			c.peer.AwaitRoom()
			s.checkLimits(c)
			return
		}
		if k.repeat != nil { // others have their turn first
			l.repeats.queue.add(c)
			l.again()
			return
		}
	}
}

// unlag ends the backlog of c. Everything in it was delivered, or the caller has dropped it.
func (s *slowSet) unlag(c *Conn) {
	k := c.backlog
	s.loop.unstallFor(c)
	last := len(s.lagging) - 1
	s.lagging[k.index] = s.lagging[last]
	s.lagging[k.index].backlog.index = k.index
	s.lagging[last] = nil
	s.lagging = s.lagging[:last]
	c.backlog = nil
	s.loop.rooms.askOwed(c)
}

// countBacklogs publishes the weight of the slowest member for the other loops. It walks all lagging members, so it is called
// only once per tick.
func (s *slowSet) countBacklogs() {
	l := s.loop
	l.stats.BacklogBytes, l.stats.BacklogMax = 0, 0
	slowest := int64(0)
	for _, c := range s.lagging {
		b := int64(c.backlog.bytes)
		l.stats.BacklogBytes += b
		l.stats.BacklogMax = max(l.stats.BacklogMax, b)
		if sheddable(c) {
			slowest = max(slowest, int64(c.backlog.weight()))
		}
	}
	s.slowest.Store(slowest)
}

// tickBacklogs is called once per tick. It kicks members that lag for too long. Members that take no bytes stop stalling their
// rooms, and each stalled room pays for the passed ticks.
func (s *slowSet) tickBacklogs(passed uint32) {
	l := s.loop
	for _, c := range s.lagging {
		k := c.backlog
		if k.repeat != nil && c.state <= stateEnding && l.tick-k.progress > l.ticks.backlog && !c.skips() {
			c.closeLater(ReasonBacklogSoft)
		}
		if k.softSince == 0 || c.state > stateEnding {
			continue
		}
		if l.tick-k.softSince > l.ticks.backlog {
			s.tooSlow(c, ReasonBacklogSoft)
		}
		l.tickStalls(c, passed)
	}
}

// mostLeft is how many turns a loop waits for another loop to end its slowest member. That loop may not run for a while on a busy
// machine, and each turn of the waiting loop may add to the backlogs of the waiting loop.
const mostLeft = 4

// shed ends the slowest member of the node if that member is on this loop and the node holds more than BacklogTotal. The weights
// of the other loops may be a tick old: if another loop seems to have the slowest member, shed wakes that loop instead.
func (s *slowSet) shed() (ended bool) {
	l := s.loop
	if l.node.held.Load() <= l.cfg.BacklogTotal {
		s.left = 0
		return false
	}
	var slowest *Conn
	weight := 0
	for _, c := range s.lagging {
		if w := c.backlog.weight(); sheddable(c) && w > weight {
			slowest, weight = c, w
		}
	}
	s.slowest.Store(int64(weight))
	if slowest == nil {
		return false
	}
	for _, other := range l.node.loops {
		if other != s.loop && s.left < mostLeft && other.slow.slowest.Load() > int64(weight) {
			s.left++
			other.again()
			return false
		}
	}
	if slowest.state > stateEnding { // it was kicked already, and does not even take the rest of its frame
		slowest.gone(ReasonShed)
		return true
	}
	s.tooSlow(slowest, ReasonShed)
	return true
}

// sheddable reports whether ending c would free frames.
func sheddable(c *Conn) bool { return len(c.backlog.refs) > 0 || c.backlog.begun != nil }
