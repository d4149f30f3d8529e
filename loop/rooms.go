package loop

// rooms holds the rooms that have members on this loop, and the rooms whose first join the bus has not confirmed yet. Only the
// loop's goroutine uses it.
type rooms struct {
	loop   *Loop
	byName map[string]*room
}

// join puts c into the room. If the loop already gets the publications of the room, it does so at once, otherwise when the bus
// has confirmed the join.
func (rs *rooms) join(c *Conn, name string) {
	l := rs.loop
	r := rs.byName[name]
	if r == nil {
		if n := int(l.node.maxRooms.Load()); n > 0 && l.node.dir.Rooms() >= n && l.node.dir.Lookup(name) == nil {
			c.peer.Kick(ReasonNodeFull)
			return
		}
		r = &room{name: name}
		rs.byName[name] = r
		l.node.bus.Join(name, l)
	}
	if r.entry == nil {
		r.waiting = append(r.waiting, c)
		c.member.room = r
		c.flags |= flagJoining
		return
	}
	rs.enter(c, r)
}

// joined handles the bus's confirmation of a join: the publications after this place in the inbox are for the loop.
func (rs *rooms) joined(e *Entry, at *ID) {
	r := rs.byName[e.Name]
	if r == nil || r.entry != nil {
		return
	}
	r.entry, e.rooms[rs.loop.index] = e, r
	if at != nil {
		r.last = *at
	}
	for len(r.waiting) > 0 { // a connection may end inside Joined; the others still wait
		c := r.waiting[0]
		r.waiting = r.waiting[1:]
		c.flags &^= flagJoining
		if c.state == stateOpen {
			rs.enter(c, r)
		} else {
			c.member.room = nil
		}
	}
	r.waiting = nil
	rs.vanish(r)
}

func (rs *rooms) enter(c *Conn, r *room) {
	l := rs.loop
	if l.repeats.wait(c, r) {
		return
	}
	if n, limit := r.entry.members.Add(1), l.node.roomMembers.Load(); limit > 0 && int64(n) > limit {
		r.entry.members.Add(-1)
		l.node.dir.countChanged(r.entry)
		c.member.room = nil
		c.peer.Kick(ReasonRoomFull)
		return
	}
	l.node.dir.countChanged(r.entry)
	c.member = Member{conn: c, room: r, from: r.pos}
	l.stats.Joins++
	rep := l.repeats.open(c, r)
	if rep == nil {
		r.push(&c.member)
		c.peer.Joined()
		return
	}
	l.repeats.begin(c, rep)
	c.peer.Joined()
}

// leave takes c out of its room. Publications that c did not get are counted as dropped, under the given reason.
func (rs *rooms) leave(c *Conn, reason CloseReason) {
	l := rs.loop
	m := &c.member
	r := m.room
	if r == nil || c.has(flagJoining) { // joined will skip c
		return
	}
	l.unstallFor(c)
	if k := c.backlog; k != nil && k.repeat != nil {
		k.repeat = nil
		r.repeating--
		l.slow.unblocked.add(c) // it may wait for nothing else
		l.again()
	} else {
		l.stats.Dropped[reason] += uint64(r.pos - r.position(m))
		r.remove(int(m.index))
	}
	r.entry.members.Add(-1)
	l.node.dir.countChanged(r.entry)
	l.stats.Leaves++
	*m = Member{}
	rs.vanish(r)
}

// vanish removes an empty room. Batches still queued have no receivers.
func (rs *rooms) vanish(r *room) {
	if len(r.members) > 0 || r.repeating > 0 || r.entry == nil || len(r.waiting) > 0 {
		return
	}
	for _, b := range r.queue {
		rs.loop.fanout.complete(b)
	}
	r.queue = nil
	r.begin()
	delete(rs.byName, r.name)
	r.entry.rooms[rs.loop.index] = nil
	rs.loop.node.bus.Leave(r.entry, rs.loop)
	r.entry = nil
}

// append puts a publication into the room's open batch.
func (rs *rooms) append(p *Publication) {
	l := rs.loop
	r := p.entry.rooms[l.index]
	if r != nil && p.ID.Tag != 0 {
		r.last = p.ID
	}
	if r == nil || len(r.members) == 0 {
		l.load.release(p.cost())
		l.fannedOut(p)
		return
	}
	var b *batch
	if n := len(r.queue); n > 0 {
		b = r.queue[n-1]
	}
	if b == nil || b.frozen || b.bytes+p.weight() > maxBatch {
		b = l.fanout.batches.take(r.pos)
		r.queue = append(r.queue, b)
	}
	if len(r.queue) == 1 {
		if r.owed < len(r.members) && len(b.pubs) > 0 {
			l.stats.Rolled++
		}
		r.owed = len(r.members) // also those that had the rest of the batch
	}
	b.pubs = append(b.pubs, p)
	b.bytes += p.weight()
	b.cost += p.cost()
	r.pos++
	l.stats.Expected += uint64(len(r.members))
	l.stats.Appended++
	if !r.dirty {
		r.dirty = true
		l.fanout.dirty.add(r)
	}
}
