package loop

// A backlog is what a member could not take at once. Three stages of back-pressure, each with its limit:
//
//  1. Batches. Under load more frames share a write, so that a write costs less per frame. Nothing to configure.
//  2. Stall. A member over SoftBacklog stalls its room: local publishers into that room are read no further, so that TCP
//     slows them down, until it is below again, for as long as its budget lasts (stall.go).
//  3. Kick. A member over HardBacklog, or over SoftBacklog for BacklogTime, is a slow consumer and is kicked. If all
//     backlogs of the node together hold more than BacklogTotal, the slowest are shed first. What it is owed is dropped
//     whole frame by whole frame: a frame that the kernel has begun to send is finished, then comes the close frame.
//
// The memory is the frames themselves, which all members of the room share: a lagging member holds references to batches and
// a position, and of the frame that the kernel has taken in part a reference to the rest. Node.held counts each frame once,
// whoever holds it and how often, and each reference: where messages are small and come one by one, a batch is a message, and
// the references of many members are more than what they refer to. The limits of a member count its references too.
//
// Invariant: while a backlog exists, nothing is sent to the socket but by resend, so that order is kept.
//
// Loop's goroutine only.

// shedsPerTurn is small, for each looks at all lagging members.
const shedsPerTurn = 64

// The bytes that it takes to hold a batch, beside what Publication.memory counts.
const (
	refMemory   = 24  // a ref, in a list that grows by a quarter
	batchMemory = 168 // the batch itself
)

// ref is the part of a batch that a member still has to get: pubs[next:].
type ref struct {
	batch *batch
	next  int
}

// What waits goes out in this order: rest, control, refs.
type backlog struct {
	rest      []byte          // of a frame of which the kernel has taken the beginning
	begun     *Publication    // whose frame that is; nil if it is a control frame or there is none
	control   []byte          // a control frame that waits, or the last words of a slow consumer
	refs      []ref           // whole frames
	bytes     int             // of rest, and of the frames in refs
	index     int             // in Loop.lagging
	softSince uint32          // tick since which it is over SoftBacklog; 0 if it is not
	progress  uint32          // tick at which the member last took something
	stalls    [numBrakes]bool // it is one of its room's stallers
}

// block begins a backlog with the rest of a frame that the kernel took in part: of p's, or of a control frame (nil). rest is
// not copied.
func (l *Loop) block(c *Conn, rest []byte, p *Publication) {
	if c.back == nil {
		c.back = &backlog{index: len(l.lagging), progress: tickDown(l.now)}
		l.lagging = append(l.lagging, c)
		l.stats.Lags++
	}
	l.begin(c.back, rest, p)
	c.peer.AwaitRoom()
}

// begin notes that the kernel has taken a frame in part.
func (l *Loop) begin(k *backlog, rest []byte, p *Publication) {
	k.rest, k.begun = rest, p
	k.bytes += len(rest)
	if p != nil {
		l.node.hold(p)
	}
}

// endRest forgets the rest of the begun frame, and reports how many frames of rooms that was (0 or 1).
func (l *Loop) endRest(k *backlog) (frames uint64) {
	k.bytes -= len(k.rest)
	if k.begun != nil {
		l.node.release(k.begun)
		frames = 1
	}
	k.rest, k.begun = nil, nil
	return frames
}

// lagFrom begins the backlog of c in the middle of a batch: n bytes from the beginning of pubs[skip] were sent.
func (l *Loop) lagFrom(c *Conn, b *batch, skip, n int) {
	i := skip
	f := b.pubs[i].frame(&l.cfg.Encodings, c.variant)
	for n >= len(f) {
		n -= len(f)
		l.stats.Delivered++
		i++
		f = b.pubs[i].frame(&l.cfg.Encodings, c.variant)
	}
	l.block(c, f[n:], b.pubs[i])
	if i+1 < len(b.pubs) {
		l.lag(c, b, i+1)
		return
	}
	l.judge(c)
}

// lag puts pubs[from:] of a batch behind what already waits for c, and judges it by its limits.
func (l *Loop) lag(c *Conn, b *batch, from int) {
	k := c.back
	l.hold(b)
	k.refs = append(k.refs, ref{b, from})
	size := len(l.encoded(b, c.variant))
	if from > 0 {
		size -= l.offset(b, c.variant, from)
	}
	k.bytes += size
	l.judge(c)
}

// hold counts one more lagging member on the batch.
func (l *Loop) hold(b *batch) {
	l.node.held.Add(refMemory)
	b.refs++
	if b.refs > 1 {
		return
	}
	l.node.held.Add(batchMemory)
	for _, p := range b.pubs {
		l.node.hold(p)
	}
}

func (l *Loop) release(b *batch) {
	l.node.held.Add(-refMemory)
	b.refs--
	if b.refs > 0 {
		return
	}
	l.node.held.Add(-batchMemory)
	for _, p := range b.pubs {
		l.node.release(p)
	}
	if b.cost == 0 { // flushed already
		l.freeBatch(b)
	}
}

// hold counts one more holder of p: a batch that lagging members of some loop hold, or a member that was sent a part of it.
// The first one counts its bytes to the node.
func (n *Node) hold(p *Publication) {
	if p.held.Add(1) == 1 {
		n.held.Add(p.memory())
	}
}

func (n *Node) release(p *Publication) {
	if p.held.Add(-1) == 0 {
		n.held.Add(-p.memory())
	}
}

// judge applies the limits to what waits for c.
func (l *Loop) judge(c *Conn) {
	k := c.back
	switch weight := k.weight(); {
	case c.state > stateEnding:
	case weight > l.cfg.HardBacklog:
		l.mark(c, WhyBacklogHard)
	case weight <= l.cfg.SoftBacklog:
		k.softSince = 0
		l.unstallFor(c)
	case k.softSince == 0:
		k.softSince = max(l.tick, 1)
		l.stallFor(c)
	}
}

// resend goes on with the backlog of c: there is room again.
func (l *Loop) resend(c *Conn) {
	k := c.back
	if k == nil || c.state == stateGone {
		return // settled meanwhile
	}
	for {
		buf := l.gather(k, c.variant)
		if len(buf) == 0 {
			l.unlag(c)
			if c.state == stateClosing {
				l.lastWords(c)
				l.queueReady(c) // to discard
			}
			return
		}
		n, err := c.peer.Send(buf)
		l.stats.Writes++
		l.stats.WrittenBytes += uint64(n)
		if err != nil {
			l.eof(c)
			return
		}
		if n > 0 {
			k.progress = tickDown(l.now)
		}
		short := n < len(buf)
		l.advance(c, n)
		if short {
			c.peer.AwaitRoom()
			l.judge(c)
			return
		}
	}
}

// gather returns what goes out next: as much as makes a good write, copied into the loop's scratch buffer, but for a rest that
// is as much already.
func (l *Loop) gather(k *backlog, v Variant) []byte {
	if len(k.rest) >= maxBatch {
		return k.rest
	}
	buf := append(append(l.scratch[:0], k.rest...), k.control...)
fill:
	for _, r := range k.refs {
		for _, p := range r.batch.pubs[r.next:] {
			f := p.frame(&l.cfg.Encodings, v)
			if len(buf) > 0 && len(buf)+len(f) > maxBatch {
				break fill
			}
			buf = append(buf, f...)
		}
	}
	if cap(buf) <= 2*maxBatch {
		l.scratch = buf[:0]
	}
	return buf
}

// advance takes n sent bytes off the backlog.
func (l *Loop) advance(c *Conn, n int) {
	k := c.back
	if n < len(k.rest) {
		k.rest = k.rest[n:]
		k.bytes -= n
		return
	}
	n -= len(k.rest)
	l.stats.Delivered += l.endRest(k)
	switch {
	case n == 0:
		return
	case n < len(k.control):
		l.begin(k, k.control[n:], nil)
		k.control = nil
		return
	}
	n -= len(k.control)
	k.control = nil
	for n > 0 {
		n -= l.advanceFrame(c, n)
	}
}

// advanceFrame takes the next whole frame off the backlog, of which n bytes were sent, or more than there are.
func (l *Loop) advanceFrame(c *Conn, n int) (sent int) {
	k := c.back
	r := &k.refs[0]
	b, p := r.batch, r.batch.pubs[r.next]
	f := p.frame(&l.cfg.Encodings, c.variant)
	k.bytes -= len(f)
	sent = min(n, len(f))
	if sent < len(f) {
		l.begin(k, f[sent:], p)
	} else {
		l.stats.Delivered++
	}
	if r.next++; r.next == len(b.pubs) {
		k.refs = k.refs[1:]
		l.release(b)
	}
	return sent
}

// unlag ends the backlog of c: everything in it was delivered, or dropped by the caller.
func (l *Loop) unlag(c *Conn) {
	k := c.back
	l.unstallFor(c)
	last := len(l.lagging) - 1
	l.lagging[k.index] = l.lagging[last]
	l.lagging[k.index].back.index = k.index
	l.lagging[last] = nil
	l.lagging = l.lagging[:last]
	c.back = nil
}

// dropRefs drops the whole frames that wait for c. The rest of the begun one stays.
func (l *Loop) dropRefs(c *Conn, why Why) {
	k := c.back
	for _, r := range k.refs {
		l.stats.Dropped[why] += uint64(len(r.batch.pubs) - r.next)
		l.release(r.batch)
	}
	k.refs, k.control = nil, nil
	k.bytes = len(k.rest)
}

// weight is what waits for the member, with the memory of its own that this takes.
func (k *backlog) weight() int { return k.bytes + refMemory*len(k.refs) }

// frames is how many frames of rooms wait for the member, for the ledger.
func (k *backlog) frames() (n uint64) {
	for _, r := range k.refs {
		n += uint64(len(r.batch.pubs) - r.next)
	}
	if k.begun != nil {
		n++
	}
	return n
}

// tickBacklogs is done once a tick: who lags for too long is marked, who takes nothing stalls nobody any more, and each
// stalled room pays for the tick.
func (l *Loop) tickBacklogs(passed uint32) {
	for _, c := range l.lagging {
		k := c.back
		if k.softSince == 0 || c.state > stateEnding {
			continue
		}
		if l.tick-k.softSince > l.ticks.backlog {
			l.mark(c, WhyBacklogSoft)
		}
		l.tickStalls(c, passed)
	}
}

// shed ends the slowest member of the node if it is on this loop and the node holds more than BacklogTotal. What the other
// loops say about theirs may be a tick old: a loop that would wait for another has it look.
func (l *Loop) shed() (ended bool) {
	if l.node.held.Load() <= l.cfg.BacklogTotal {
		return false
	}
	var slowest *Conn
	weight := 0
	for _, c := range l.lagging {
		if w := c.back.weight(); c.sheddable() && w > weight {
			slowest, weight = c, w
		}
	}
	l.slowest.Store(int64(weight))
	if slowest == nil {
		return false
	}
	for _, other := range l.node.loops {
		if other != l && other.slowest.Load() > int64(weight) {
			other.again()
			return false
		}
	}
	if slowest.state > stateEnding { // kicked already, and does not even take the frame that it was sent a part of
		l.gone(slowest, WhyShed)
		return true
	}
	l.mark(slowest, WhyShed)
	return true
}

// sheddable reports whether c holds frames that its end would free.
func (c *Conn) sheddable() bool { return len(c.back.refs) > 0 || c.back.begun != nil }
