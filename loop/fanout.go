package loop

// Fan-out: a dirty room writes its batch to every member, with one write per member, however many frames the batch has. One
// send() of a frame to a loopback socket costs 5 to 8 µs, and nearly the same up to 4 KB; with 32 frames in it, it costs 0.25 µs
// per frame. So frames per write matter most, and the batch gathers them.
//
// A giant room must not delay reads: a turn makes at most Config.FlushBudget writes, and Config.FlushFirst in the turn in which
// something was published. After a slice of Config.FlushSlice writes it is the next dirty room's turn. Publications that are read between two slices join the batch (room.go): the members
// that come next get old and new frames in one write.

// fanout is the rooms that have something to write. Only the loop's goroutine uses it.
type fanout struct {
	loop    *Loop
	batches batches
	dirty   worklist[*room]
	budget  int    // writes of the last turn
	seen    uint64 // publications appended until then
}

// flush serves the dirty rooms in the order in which they became dirty, within the budget.
func (f *fanout) flush() {
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

// turnBudget is how many writes this turn may make. A burst of messages arrives within some 100 us, so soon after the first of them
// the loop looks for more: they join the batch. If none has come, each further look is half as likely to find one and costs as much.
func (f *fanout) turnBudget() int {
	cfg := &f.loop.cfg
	f.budget = min(2*f.budget, cfg.FlushBudget)
	if n := f.loop.stats.Appended; n != f.seen {
		f.seen, f.budget = n, min(cfg.FlushFirst, cfg.FlushBudget)
	}
	return f.budget
}

// flushRoom makes at most budget deliveries and returns how many it made. No member leaves meanwhile: connections that must go
// are closed at the end of the turn.
func (f *fanout) flushRoom(r *room, budget int) (used int) {
	const looks = 16 // at members that have it all cost about as much as a write
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

// deliver gives m its part of the batch: to the kernel, or to its backlog if it has one. It reports whether m lacked any of it.
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
		l.slow.lag(c, b, skip)
		return true
	}
	buf := f.batches.encoded(b, c.variant)
	if skip > 0 {
		buf = buf[f.batches.offset(b, c.variant, skip):]
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
		l.stats.Delivered += uint64(frames)
	default:
		l.slow.lagFrom(c, b, skip, n)
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

// fannedOut says that this loop has fanned p out, or has no members for it. The last loop releases the credit of the room.
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
