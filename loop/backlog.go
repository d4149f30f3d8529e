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
// The memory is the frames themselves, which all members of the room share: a lagging member holds references to batches
// and a position. Only the rest of ONE frame is copied, into the transport's queue: Socket.Queue is what makes the
// transport tell when there is room again (Unblocked).
//
// Invariant: while a backlog exists, nothing is sent to the socket but by resend, so that order is kept.
//
// Loop's goroutine only.

// shedsPerTurn is small, for each looks at all lagging members.
const shedsPerTurn = 64

// ref is the part of a batch that a member still has to get: pubs[next:].
type ref struct {
	batch *batch
	next  int
}

type backlog struct {
	refs      []ref
	bytes     int             // of frames in refs, and of what is in the transport's queue
	queued    int             // bytes in the transport's queue
	remnant   uint64          // frames that are delivered once those are written (0 or 1)
	control   []byte          // a control frame that waits
	index     int             // in Loop.lagging
	softSince uint32          // tick since which bytes is over SoftBacklog; 0 if it is not
	progress  uint32          // tick at which the member last took something
	stalls    [numBrakes]bool // it is one of its room's stallers
}

// block begins a backlog or goes on with one: rest is handed to the transport, frames is 1 if it ends a frame of a room.
func (l *Loop) block(c *Conn, rest []byte, frames uint64) {
	k := c.back
	if k == nil {
		k = &backlog{index: len(l.lagging), progress: tickDown(l.now)}
		c.back = k
		l.lagging = append(l.lagging, c)
		l.stats.Lags++
	}
	k.queued += len(rest)
	k.bytes += len(rest)
	k.remnant += frames
	c.peer.Queue(rest)
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
	l.block(c, f[n:], 1)
	if i+1 < len(b.pubs) {
		l.lag(c, b, i+1)
	}
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

// hold counts one more lagging member on the batch; the first one on any loop counts its publications to the node.
func (l *Loop) hold(b *batch) {
	b.refs++
	if b.refs > 1 {
		return
	}
	for _, p := range b.pubs {
		if p.held.Add(1) == 1 {
			l.node.held.Add(p.cost())
		}
	}
}

func (l *Loop) release(b *batch) {
	b.refs--
	if b.refs > 0 {
		return
	}
	for _, p := range b.pubs {
		if p.held.Add(-1) == 0 {
			l.node.held.Add(-p.cost())
		}
	}
	if b.cost == 0 { // flushed already
		l.freeBatch(b)
	}
}

// judge applies the limits to what waits for c.
func (l *Loop) judge(c *Conn) {
	k := c.back
	switch {
	case c.state > stateEnding:
	case k.bytes > l.cfg.HardBacklog:
		l.mark(c, WhyBacklogHard)
	case k.bytes <= l.cfg.SoftBacklog:
		k.softSince = 0
		l.unstallFor(c)
	case k.softSince == 0:
		k.softSince = max(l.tick, 1)
		l.stallFor(c)
	}
}

// resend continues where the transport had no room: what it queued is written now.
func (l *Loop) resend(c *Conn) {
	k := c.back
	if k == nil || c.state == stateGone || c.peer.Pending() > 0 {
		return // settled meanwhile, or more was queued since
	}
	l.stats.Delivered += k.remnant
	k.bytes -= k.queued
	k.queued, k.remnant = 0, 0
	k.progress = tickDown(l.now)
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
		l.advance(c, n, n < len(buf))
		if k.queued > 0 {
			l.judge(c)
			return
		}
	}
}

// gather copies the waiting control frame and as many frames as make a good write into the loop's scratch buffer.
func (l *Loop) gather(k *backlog, v Variant) []byte {
	buf := append(l.scratch[:0], k.control...)
	for _, r := range k.refs {
		for _, p := range r.batch.pubs[r.next:] {
			f := p.frame(&l.cfg.Encodings, v)
			if len(buf) > 0 && len(buf)+len(f) > maxBatch {
				return buf
			}
			buf = append(buf, f...)
		}
	}
	if cap(buf) <= 2*maxBatch {
		l.scratch = buf[:0]
	}
	return buf
}

// advance takes n sent bytes off the backlog. If the send was short, the rest of the frame that it stopped in goes to the
// transport; if it stopped right between two, the whole next one: something must be there for Unblocked to come.
func (l *Loop) advance(c *Conn, n int, short bool) {
	k := c.back
	if n < len(k.control) {
		rest := k.control[n:]
		k.control = nil
		l.block(c, rest, 0)
		return
	}
	n -= len(k.control)
	k.control = nil
	for len(k.refs) > 0 && (n > 0 || short) {
		r := &k.refs[0]
		f := r.batch.pubs[r.next].frame(&l.cfg.Encodings, c.variant)
		whole := n >= len(f)
		r.next++
		k.bytes -= len(f)
		b, done := r.batch, r.next == len(r.batch.pubs)
		if done {
			k.refs = k.refs[1:]
		}
		if !whole {
			l.block(c, f[n:], 1)
		} else {
			n -= len(f)
			l.stats.Delivered++
		}
		if done {
			l.release(b)
		}
		if !whole {
			return
		}
	}
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

// dropRefs drops the whole frames that wait for c. What is in the transport's queue stays.
func (l *Loop) dropRefs(c *Conn, why Why) {
	k := c.back
	for _, r := range k.refs {
		l.stats.Dropped[why] += uint64(len(r.batch.pubs) - r.next)
		l.release(r.batch)
	}
	k.refs, k.control = nil, nil
	k.bytes = k.queued
}

// frames is how many frames of rooms wait for the member, for the ledger.
func (k *backlog) frames() (n uint64) {
	for _, r := range k.refs {
		n += uint64(len(r.batch.pubs) - r.next)
	}
	return n + k.remnant
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

// shed marks the slowest member of the node if it is on this loop and the node holds more than BacklogTotal. What the other
// loops say about theirs is from the end of their last turn, at most a tick old.
func (l *Loop) shed() (marked bool) {
	if l.node.held.Load() <= l.cfg.BacklogTotal {
		return false
	}
	var slowest *Conn
	for _, c := range l.lagging {
		if c.sheddable() && (slowest == nil || c.back.bytes > slowest.back.bytes) {
			slowest = c
		}
	}
	if slowest == nil {
		return false
	}
	for _, other := range l.node.loops {
		if other != l && other.slowest.Load() > int64(slowest.back.bytes) {
			return false
		}
	}
	l.mark(slowest, WhyShed)
	return true
}

// sheddable reports whether a kick would free frames that c holds.
func (c *Conn) sheddable() bool { return c.state <= stateEnding && len(c.back.refs) > 0 }
