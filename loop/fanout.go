package loop

// Fan-out: a dirty room writes its batch to every member, one write a member, however many frames the batch has. One
// send() of a frame to a loopback socket costs 5 to 8 µs and nearly the same up to 4 KB; 32 frames in it cost 0.25 µs a
// frame. Frames per write is the big lever, and the batch is what gathers them.
//
// A giant room must not starve reads: a turn makes at most Config.FlushBudget writes, and after a slice of
// Config.FlushSlice writes the next dirty room has its turn.

// flush serves the dirty rooms in the order in which they became dirty, within the budget.
func (l *Loop) flush() {
	budget := l.cfg.FlushBudget
	for r, ok := l.dirty.first(); ok && budget > 0; r, ok = l.dirty.first() {
		budget -= l.flushRoom(r, min(budget, l.cfg.FlushSlice))
		l.dirty.next()
		if len(r.queue) > 0 {
			l.dirty.add(r)
		} else {
			r.dirty = false
		}
	}
}

// flushRoom makes at most budget deliveries and returns how many it made. Nobody leaves meanwhile: who must go is marked
// and swept at the end of the turn.
func (l *Loop) flushRoom(r *room, budget int) (used int) {
	for len(r.queue) > 0 && used < budget {
		b := r.queue[0]
		b.frozen = true
		for r.cursor < len(r.members) && used < budget {
			m := r.members[r.cursor]
			r.cursor++
			l.deliver(m, b)
			used++
		}
		if r.cursor < len(r.members) {
			return used
		}
		copy(r.queue, r.queue[1:])
		r.queue[len(r.queue)-1] = nil
		r.queue = r.queue[:len(r.queue)-1]
		r.cursor = 0
		l.complete(b)
	}
	return used
}

// deliver gives m its part of the batch: to the kernel, or behind what already waits for it.
func (l *Loop) deliver(m *Member, b *batch) {
	skip := 0
	if d := int32(m.from - b.base); d > 0 {
		if int(d) >= len(b.pubs) {
			return // joined after all of it
		}
		skip = int(d)
	}
	m.from = b.end()
	c := m.conn
	frames := len(b.pubs) - skip
	if c.has(flagEOF | flagFreed) {
		l.stats.Dropped[WhyLeft] += uint64(frames)
		return
	}
	if c.back != nil {
		l.lag(c, b, skip)
		return
	}
	buf := l.encoded(b, c.variant)
	if skip > 0 {
		buf = buf[l.offset(b, c.variant, skip):]
	}
	n, err := c.peer.Send(buf)
	l.stats.Writes++
	l.stats.WrittenBytes += uint64(n)
	switch {
	case err != nil: // the transport will say so; until then it is a member that gets nothing
		c.flags |= flagEOF
		l.stats.Dropped[WhyLeft] += uint64(frames)
		l.mark(c, WhyLeft)
	case n == len(buf):
		l.stats.Delivered += uint64(frames)
	default:
		l.lagFrom(c, b, skip, n)
	}
}

// encoded returns the frames of the whole batch for a variant. A batch of one is the publication's own shared frame.
func (l *Loop) encoded(b *batch, v Variant) []byte {
	if buf := b.bufs[v]; buf != nil {
		return buf
	}
	if len(b.pubs) == 1 {
		b.bufs[v] = b.pubs[0].frame(&l.cfg.Encodings, v)
		return b.bufs[v]
	}
	buf := l.takeBuffer()
	for _, p := range b.pubs {
		buf = append(buf, p.frame(&l.cfg.Encodings, v)...)
	}
	b.bufs[v], b.pooled = buf, true
	return buf
}

// offset is where the frame of pubs[i] begins in the encoded batch.
func (l *Loop) offset(b *batch, v Variant, i int) (at int) {
	for _, p := range b.pubs[:i] {
		at += len(p.frame(&l.cfg.Encodings, v))
	}
	return at
}

// complete is called when every member was given the batch. Lagging members may still hold it; they need its frames only.
func (l *Loop) complete(b *batch) {
	l.settle(b.cost)
	b.cost = 0
	for _, p := range b.pubs {
		l.landed(p)
	}
	for v, buf := range b.bufs {
		if b.pooled && cap(buf) == bufferSize && len(l.buffers) < 16 {
			l.buffers = append(l.buffers, buf[:0])
		}
		b.bufs[v] = nil
	}
	b.pooled = false
	if b.refs == 0 {
		l.freeBatch(b)
	}
}

func (l *Loop) newBatch(base uint32) *batch {
	if n := len(l.batches); n > 0 {
		b := l.batches[n-1]
		l.batches = l.batches[:n-1]
		b.base = base
		return b
	}
	return &batch{base: base}
}

func (l *Loop) freeBatch(b *batch) {
	clear(b.pubs)
	pubs := b.pubs[:0]
	if cap(pubs) > 256 {
		pubs = nil
	}
	*b = batch{pubs: pubs}
	if len(l.batches) < 256 {
		l.batches = append(l.batches, b)
	}
}

// bufferSize holds a batch and the headers of its frames in all usual cases; a larger one grows its own buffer.
const bufferSize = maxBatch + maxBatch/8

// takeBuffer returns an empty buffer that a usual batch fits into.
func (l *Loop) takeBuffer() []byte {
	if n := len(l.buffers); n > 0 {
		buf := l.buffers[n-1]
		l.buffers = l.buffers[:n-1]
		return buf
	}
	return make([]byte, 0, bufferSize)
}
