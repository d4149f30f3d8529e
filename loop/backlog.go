package loop

// A backlog holds the frames that a member could not take at once. Back-pressure has three stages, each with its own limit:
//
//  1. Batches. Under load a write has more frames, so it costs less per frame. This stage has no setting.
//  2. Stall. A member over SoftBacklog stalls its room: the loops stop reading the local publishers of that room, so that TCP
//     slows them down, until the member is below SoftBacklog again or the budget is used up (stall.go).
//  3. Kick. A member over HardBacklog, or over SoftBacklog for BacklogTime, is a slow consumer and is kicked. If all backlogs of
//     the node together hold more than BacklogTotal, the slowest members are shed first. Whole frames that wait for a kicked
//     member are dropped; a frame that the kernel has begun to send is finished, then comes the close frame.
//
// All members of a room share the memory of the frames. The backlog of a member refers to batches, each with a position, and
// holds the rest of the frame that the kernel has taken in part. Node.held counts each frame once, however many members refer
// to it. It also counts each reference: if small messages come one by one, each batch has one message, and the references of
// many members take more memory than the frames. The limits of a member count its references too.
//
// Invariant: while a backlog exists, only resend writes to the socket, so that order is kept.
//
// Only the loop's goroutine uses a backlog.

// mostSaid is the number of bytes of control frames that may wait for a connection; one with many rooms gets more of them.
const mostSaid, mostSaidMany = 16 << 10, 64 << 10

// The memory of a reference to a batch, and of a batch, in bytes; Publication.memory does not count them.
const (
	refMemory   = 24  // a ref, in a list that grows by a quarter
	batchMemory = 280 // the batch itself
)

// ref is the part of a batch that a member still has to get: pubs[next:].
type ref struct {
	batch *batch
	next  int
}

// backlog is written in this order: rest, control, refs.
type backlog struct {
	rest      []byte         // the rest of a frame whose beginning the kernel has taken
	begun     *Publication   // the publication of that frame; nil for a control frame, or if rest is empty
	said      []byte         // control frames that wait and must not be dropped
	control   []byte         // a control frame that waits, or the last words of a slow consumer
	refs      []ref          // whole frames that wait
	gaps      []lost         // what the connection lost, and was not told yet (skip.go)
	repeat    *repeat        // publications that a member missed and is given first (repeat.go); nil for nearly every backlog
	bytes     int            // size of rest and of the frames in refs; control does not count
	index     int            // in slowSet.lagging
	softSince uint32         // tick since which the member is over SoftBacklog; 0 if it is not
	progress  uint32         // tick at which the member last took a byte
	stalls    [numGates]bool // whether the member keeps this gate of its room closed
}

// begin notes that the kernel has taken a frame in part.
func (s *slowSet) begin(k *backlog, rest []byte, p *Publication) {
	k.rest, k.begun = rest, p
	k.bytes += len(rest)
	if p != nil {
		s.loop.node.ref(p)
	}
}

// endRest forgets the rest of the begun frame. It returns 1 if the frame was a frame of a room, and 0 if it was a control frame
// or if there was none.
func (s *slowSet) endRest(k *backlog) (frames uint64) {
	k.bytes -= len(k.rest)
	if k.begun != nil {
		s.loop.node.unref(k.begun)
		frames = 1
	}
	k.rest, k.begun = nil, nil
	return frames
}

// ref counts one more lagging member that refers to the batch.
func (s *slowSet) ref(b *batch) {
	l := s.loop
	l.node.held.Add(refMemory)
	b.frozen = true
	b.refs++
	if b.refs > 1 {
		return
	}
	l.node.held.Add(batchMemory)
	for _, p := range b.pubs {
		l.node.ref(p)
	}
}

func (s *slowSet) unref(b *batch) {
	l := s.loop
	l.node.held.Add(-refMemory)
	b.refs--
	if b.refs > 0 {
		return
	}
	l.node.held.Add(-batchMemory)
	for _, p := range b.pubs {
		l.node.unref(p)
	}
	if b.cost == 0 { // the loop has fanned the batch out already
		l.fanout.batches.give(b)
	}
}

// ref counts one more user of p: a loop that has a batch with p for its lagging members, or a member that was sent a part of p.
// The first user adds the bytes of p to Node.held.
func (n *Node) ref(p *Publication) {
	if p.refs.Add(1) == 1 {
		n.held.Add(p.memory())
	}
}

func (n *Node) unref(p *Publication) {
	if p.refs.Add(-1) == 0 {
		n.held.Add(-p.memory())
	}
}

// gather returns the bytes to send next, enough for one efficient write. They are copied into the loop's scratch buffer, unless
// the rest alone is large enough. ok is false if c missed publications that are no longer in the history.
func (s *slowSet) gather(c *Conn) (_ []byte, ok bool) {
	k := c.backlog
	switch {
	case len(k.rest) >= maxBatch:
		return k.rest, true
	case k.repeat != nil && k.repeat.sent > 0: // nothing may come between the parts of a frame
		return s.loop.repeats.gather(c, nil)
	}
	if c.state <= stateEnding {
		s.tellGaps(c)
		s.loop.repeats.endCaughtUp(c)
	}
	ok, all := true, true
	buf := append(append(append(s.scratch[:0], k.rest...), k.said...), k.control...)
fill:
	for _, r := range k.refs {
		v := variantIn(c, r.batch)
		for _, p := range r.batch.pubs[r.next:] {
			f := p.frame(&s.loop.cfg.Encodings, v)
			if len(buf) > 0 && len(buf)+len(f) > maxBatch {
				all = false
				break fill
			}
			buf = append(buf, f...)
		}
	}
	if k.repeat != nil && all {
		buf, ok = s.loop.repeats.gather(c, buf)
	}
	if cap(buf) <= 2*maxBatch {
		s.scratch = buf[:0]
	}
	return buf, ok
}

// advance removes n sent bytes from the backlog.
func (s *slowSet) advance(c *Conn, n int) {
	k := c.backlog
	if k.repeat != nil && k.repeat.sent > 0 {
		s.loop.repeats.advance(k.repeat, n)
		return
	}
	if n < len(k.rest) {
		k.rest = k.rest[n:]
		k.bytes -= n
		return
	}
	n -= len(k.rest)
	s.loop.stats.Delivered += s.endRest(k)
	switch {
	case n == 0:
		return
	case n < len(k.said)+len(k.control):
		s.begin(k, append(k.said, k.control...)[n:], nil)
		k.said, k.control = nil, nil
		return
	}
	answers := len(k.said) + len(k.control)
	n -= answers
	k.said, k.control = nil, nil
	for len(k.refs) > 0 && (n > 0 || s.nextIsEmpty(c)) {
		n -= s.advanceFrame(c, n)
	}
	if n > 0 {
		s.loop.repeats.advance(k.repeat, n)
	}
}

// nextIsEmpty reports whether the next whole frame of the backlog has no bytes: its publication is not for the variant of c.
func (s *slowSet) nextIsEmpty(c *Conn) bool {
	r := &c.backlog.refs[0]
	return len(r.batch.pubs[r.next].frame(&s.loop.cfg.Encodings, variantIn(c, r.batch))) == 0
}

// advanceFrame removes the next whole frame from the backlog. n is the number of bytes sent, counted from the beginning of that
// frame; they may end inside the frame or after it.
func (s *slowSet) advanceFrame(c *Conn, n int) (sent int) {
	k := c.backlog
	r := &k.refs[0]
	b, p := r.batch, r.batch.pubs[r.next]
	f := p.frame(&s.loop.cfg.Encodings, variantIn(c, b))
	k.bytes -= len(f)
	sent = min(n, len(f))
	if sent < len(f) {
		s.begin(k, f[sent:], p)
	} else {
		s.loop.stats.passed(f)
	}
	if r.next++; r.next == len(b.pubs) {
		k.refs = k.refs[1:]
		s.unref(b)
	}
	return sent
}

// dropRefs drops the whole frames that wait for c. The rest of the begun frame stays.
func (s *slowSet) dropRefs(c *Conn, reason CloseReason) {
	k := c.backlog
	for _, r := range k.refs {
		s.loop.stats.Dropped[reason] += uint64(len(r.batch.pubs) - r.next)
		s.unref(r.batch)
	}
	k.refs, k.said, k.control, k.gaps = nil, nil, nil, nil
	k.bytes = len(k.rest)
}

// weight is the size of the backlog in bytes, with the memory of its references.
func (k *backlog) weight() int { return k.bytes + refMemory*len(k.refs) }

// betweenFrames reports whether a control frame may be sent at once: a repetition pulls its frames, so nothing waits before it.
func (k *backlog) betweenFrames() bool {
	return k.repeat != nil && k.repeat.sent+len(k.rest)+len(k.said)+len(k.control)+len(k.gaps) == 0
}

// frames is the number of frames of rooms that wait for the member; the ledger needs it.
func (k *backlog) frames() (n uint64) {
	for _, r := range k.refs {
		n += uint64(len(r.batch.pubs) - r.next)
	}
	if k.begun != nil {
		n++
	}
	return n
}
