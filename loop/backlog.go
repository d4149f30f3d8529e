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
	rest      []byte         // of a frame of which the kernel has taken the beginning
	begun     *Publication   // whose frame that is; nil if it is a control frame or there is none
	control   []byte         // a control frame that waits, or the last words of a slow consumer
	refs      []ref          // whole frames
	bytes     int            // of rest, and of the frames in refs
	index     int            // in slowSet.lagging
	softSince uint32         // tick since which it is over SoftBacklog; 0 if it is not
	progress  uint32         // tick at which the member last took something
	stalls    [numGates]bool // it is one of its room's stallers
}

// begin notes that the kernel has taken a frame in part.
func (s *slowSet) begin(k *backlog, rest []byte, p *Publication) {
	k.rest, k.begun = rest, p
	k.bytes += len(rest)
	if p != nil {
		s.loop.node.ref(p)
	}
}

// endRest forgets the rest of the begun frame, and reports how many frames of rooms that was (0 or 1).
func (s *slowSet) endRest(k *backlog) (frames uint64) {
	k.bytes -= len(k.rest)
	if k.begun != nil {
		s.loop.node.unref(k.begun)
		frames = 1
	}
	k.rest, k.begun = nil, nil
	return frames
}

// ref counts one more lagging member on the batch.
func (s *slowSet) ref(b *batch) {
	l := s.loop
	l.node.held.Add(refMemory)
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
	if b.cost == 0 { // flushed already
		l.fanout.batches.give(b)
	}
}

// ref counts one more holder of p: a batch that lagging members of some loop hold, or a member that was sent a part of it.
// The first one counts its bytes to the node.
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

// gather returns what goes out next: as much as makes a good write, copied into the loop's scratch buffer, but for a rest that
// is as much already.
func (s *slowSet) gather(k *backlog, v Variant) []byte {
	if len(k.rest) >= maxBatch {
		return k.rest
	}
	buf := append(append(s.scratch[:0], k.rest...), k.control...)
fill:
	for _, r := range k.refs {
		for _, p := range r.batch.pubs[r.next:] {
			f := p.frame(&s.loop.cfg.Encodings, v)
			if len(buf) > 0 && len(buf)+len(f) > maxBatch {
				break fill
			}
			buf = append(buf, f...)
		}
	}
	if cap(buf) <= 2*maxBatch {
		s.scratch = buf[:0]
	}
	return buf
}

// advance takes n sent bytes off the backlog.
func (s *slowSet) advance(c *Conn, n int) {
	k := c.backlog
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
	case n < len(k.control):
		s.begin(k, k.control[n:], nil)
		k.control = nil
		return
	}
	n -= len(k.control)
	k.control = nil
	for n > 0 {
		n -= s.advanceFrame(c, n)
	}
}

// advanceFrame takes the next whole frame off the backlog, of which n bytes were sent, or more than there are.
func (s *slowSet) advanceFrame(c *Conn, n int) (sent int) {
	k := c.backlog
	r := &k.refs[0]
	b, p := r.batch, r.batch.pubs[r.next]
	f := p.frame(&s.loop.cfg.Encodings, c.variant)
	k.bytes -= len(f)
	sent = min(n, len(f))
	if sent < len(f) {
		s.begin(k, f[sent:], p)
	} else {
		s.loop.stats.Delivered++
	}
	if r.next++; r.next == len(b.pubs) {
		k.refs = k.refs[1:]
		s.unref(b)
	}
	return sent
}

// dropRefs drops the whole frames that wait for c. The rest of the begun one stays.
func (s *slowSet) dropRefs(c *Conn, reason CloseReason) {
	k := c.backlog
	for _, r := range k.refs {
		s.loop.stats.Dropped[reason] += uint64(len(r.batch.pubs) - r.next)
		s.unref(r.batch)
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
