package loop

// Fan-out: a dirty room writes its batch to every member, with one write per member, however many frames the batch has. One
// send() of one frame to a loopback socket costs 5 to 8 µs. A send() of up to 4 KB costs nearly the same: with 32 frames it
// costs 0.25 µs per frame. So the cost depends mostly on the number of frames in a write, and the batch gathers frames.
//
// A giant room must not delay reads. So a turn makes at most Config.FlushBudget writes, and only Config.FlushFirst writes if
// something was published in this turn. After Config.FlushSlice writes to one room, the next dirty room is served. Publications
// that are read between two slices join the batch (room.go): the members that are served next get old and new frames in one
// write.

// fanout writes to the members of the dirty rooms. Only the loop's goroutine uses it.
type fanout struct {
	loop    *Loop
	batches batches
	acks    acks
	dirty   worklist[*room]
	budget  int    // writes of the last turn
	seen    uint64 // publications appended until the end of the last turn
}

// flush serves the dirty rooms, and acknowledges what it has given to its senders.
func (f *fanout) flush() {
	f.flushRooms()
	f.acks.serve()
}

// flushRooms serves the dirty rooms in the order in which they became dirty, within the budget.
func (f *fanout) flushRooms() {
	budget := f.turnBudget()
	for r, ok := f.dirty.first(); ok && budget > 0; r, ok = f.dirty.first() {
		budget -= f.flushRoom(r, min(budget, f.loop.cfg.FlushSlice))
		f.dirty.drop()
		if len(r.queue) > 0 {
			f.dirty.add(r)
		} else {
			r.dirty = false
		}
		if f.loop.node.held.Load() > f.loop.cfg.BacklogTotal {
			return // the slowest members are shed at the end of the turn; the other rooms wait for the next one
		}
	}
}

// turnBudget is the number of writes that this turn may make. The messages of a burst arrive within some 100 us. So soon after
// the first message the loop looks for more messages, which then join the batch. Each look that finds none makes the next look
// half as likely to find one, and the next look costs as much. So the budget doubles in each turn that finds none.
func (f *fanout) turnBudget() int {
	cfg := &f.loop.cfg
	f.budget = min(max(2*f.budget, cfg.FlushFirst), cfg.FlushBudget) // never 0, although events of presence do not count as published
	if n := f.loop.stats.Appended; n != f.seen {
		f.seen, f.budget = n, min(cfg.FlushFirst, cfg.FlushBudget)
	}
	return f.budget
}

// flushRoom makes at most budget deliveries and returns how many it made. No member leaves meanwhile: connections that must go
// are closed at the end of the turn.
func (f *fanout) flushRoom(r *room, budget int) (used int) {
	const looks = 16 // to look at 16 members that already have everything costs about as much as one write
	looked := 0
	for len(r.queue) > 0 && used < budget {
		b := r.queue[0]
		for r.owed > 0 && used < budget {
			if f.deliver(r.next(), b) {
				used++
			} else if looked++; looked%looks == 0 {
				used++
			}
		}
		if r.owed > 0 {
			return used
		}
		copy(r.queue, r.queue[1:])
		r.queue[len(r.queue)-1] = nil
		r.queue = r.queue[:len(r.queue)-1]
		r.begin()
		f.complete(b)
	}
	return used
}

// deliver gives m the part of the batch that m lacks: to the kernel, or to the backlog of m if there is one. It reports whether
// m lacked any bytes.
func (f *fanout) deliver(m *Member, b *batch) bool {
	l := f.loop
	skip := 0
	if d := int32(m.from - b.base); d > 0 {
		if int(d) >= len(b.pubs) {
			return false
		}
		skip = int(d)
	}
	m.from = b.end()
	c := m.conn
	frames := len(b.pubs) - skip
	if c.has(flagEOF | flagFreed) {
		l.stats.Dropped[ReasonLeft] += uint64(frames)
		return true
	}
	if c.backlog != nil {
		l.slow.lag(m, b, skip)
		return true
	}
	v := variantIn(c, b)
	buf := f.batches.encoded(b, v)
	if skip > 0 {
		buf = buf[f.batches.offset(b, v, skip):]
	}
	if len(buf) == 0 { // publications that are not for this variant
		l.stats.Blank += uint64(frames)
		return false
	}
	n, err := c.peer.Send(buf)
	l.stats.Writes++
	l.stats.WrittenBytes += uint64(n)
	switch {
	case err != nil: // the transport will report it; until then the member gets nothing
		c.flags |= flagEOF
		l.stats.Dropped[ReasonLeft] += uint64(frames)
		c.closeLater(ReasonLeft)
	case n == len(buf):
		blanks := f.batches.blanksFrom(b, v, skip)
		l.stats.Delivered += uint64(frames - blanks)
		l.stats.Blank += uint64(blanks)
	default:
		l.slow.lagFrom(m, b, skip, n)
	}
	return true
}

// complete is called when every member was given the batch. Lagging members may still refer to it, but need only its
// publications.
func (f *fanout) complete(b *batch) {
	f.loop.load.release(b.cost)
	b.cost = 0
	for _, p := range b.pubs {
		f.loop.fannedOut(p)
	}
	f.batches.strip(b)
	if b.refs == 0 {
		f.batches.give(b)
	}
}

// fannedOut notes that this loop has fanned p out, or has no members for it. The last loop to do so releases the credit of the
// room.
func (l *Loop) fannedOut(p *Publication) {
	if p.loops.Add(-1) != 0 {
		return
	}
	e := p.entry
	if p.delivered {
		l.node.flows.release(&e.flow, srcRemote, int64(p.weight()))
	}
	l.node.dir.release(p)
	if p.delivered {
		l.node.dir.resume(e)
	}
}
