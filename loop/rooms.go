package loop

import "slices"

// rooms holds the rooms that have members on this loop, and the rooms whose first join the bus has not confirmed yet. Only the
// loop's goroutine uses it.
type rooms struct {
	loop   *Loop
	byName map[string]*room
	many   map[*Conn]*many
	owed   int // members that are owed the state of their room (watch.go)
	told   int // watchers with many rooms that have the state of a room
	marks  marks
}

// get returns the room with this name, and makes it if it is the first join of the loop. It returns nil if the node may have no
// more rooms; then m was told so.
func (rs *rooms) get(m *Member, name string) *room {
	l := rs.loop
	r := rs.byName[name]
	if r == nil {
		if n := int(l.node.maxRooms.Load()); n > 0 && l.node.dir.Rooms() >= n && l.node.dir.Lookup(name) == nil {
			delete(l.repeats.starts, m)
			notJoined(m.conn, name, ReasonNodeFull)
			return nil
		}
		r = &room{name: name}
		rs.byName[name] = r
		l.node.bus.Join(name, l)
	}
	return r
}

// notJoined kicks a connection that cannot be in its only room.
func notJoined(c *Conn, room string, why CloseReason) {
	if c.has(flagMany) {
		c.peer.NotJoined(room, why)
	} else {
		c.peer.Kick(why)
	}
}

// join puts m into its room. If the loop already gets the publications of the room, it does so at once, otherwise when the bus
// has confirmed the join.
func (rs *rooms) join(m *Member, r *room) {
	m.room, m.index = r, indexJoining
	if r.entry == nil {
		r.waiting = append(r.waiting, m)
		return
	}
	rs.enter(m)
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
		m := r.waiting[0]
		r.waiting = r.waiting[1:]
		rs.joinedOne(m, r)
	}
	r.waiting = nil
	rs.vanish(r)
}

// joinedOne lets m enter the room that it waited for, unless it has left meanwhile.
func (rs *rooms) joinedOne(m *Member, r *room) {
	switch {
	case m.room != r:
	case m.conn.state == stateOpen:
		rs.enter(m)
	default:
		rs.unseat(m)
	}
}

func (rs *rooms) enter(m *Member) {
	l, r, c := rs.loop, m.room, m.conn
	if l.repeats.wait(m) {
		return
	}
	if n, limit := r.entry.members.Add(1), l.node.roomMembers.Load(); limit > 0 && int64(n) > limit {
		r.entry.members.Add(-1)
		l.node.dir.countChanged(r.entry)
		delete(l.repeats.starts, m)
		rs.unseat(m)
		notJoined(c, r.name, ReasonRoomFull)
		rs.vanish(r)
		return
	}
	l.node.dir.countChanged(r.entry)
	l.stats.Joins++
	watch := l.repeats.starts[m].Watch
	rep := l.repeats.open(m)
	if watch != nil {
		rs.watch(m, watch)
	}
	if rep != nil {
		l.repeats.begin(m, rep)
	} else {
		rs.seat(m)
		rs.askFor(m)
	}
	c.peer.Joined(r.name)
}

// seat makes m one of the members that the fan-out serves, from now on.
func (rs *rooms) seat(m *Member) {
	m.from = m.room.pos
	m.room.push(m)
	rs.marks.count(m, 1)
}

// leave takes c out of its rooms. Publications that c did not get are counted as dropped, under the given reason.
func (rs *rooms) leave(c *Conn, reason CloseReason) {
	eachMember(c, func(m *Member) { rs.leaveRoom(m, reason) })
}

// leaveRoom takes m out of its room.
func (rs *rooms) leaveRoom(m *Member, reason CloseReason) {
	l, r, c := rs.loop, m.room, m.conn
	if m.joining() {
		delete(l.repeats.starts, m)
		if c.has(flagMany) { // otherwise joinedOne does it, because c is no longer open
			rs.unseat(m)
		}
		return
	}
	l.unstallFor(c)
	rs.unwatch(m)
	if m.repeating() {
		c.backlog.endRepeat(m)
		r.repeating--
		l.slow.unblocked.add(c) // it may wait for nothing else
		l.again()
	} else {
		l.stats.Dropped[reason] += uint64(r.pos - r.position(m))
		rs.marks.count(m, -1)
		r.remove(int(m.index))
	}
	r.entry.members.Add(-1)
	l.node.dir.countChanged(r.entry)
	l.stats.Leaves++
	rs.unseat(m)
	rs.vanish(r)
}

// unseat makes m the member of no room. Everything else that refers to it is gone already.
func (rs *rooms) unseat(m *Member) {
	c := m.conn
	if !c.has(flagMany) {
		*m = Member{conn: c}
		return
	}
	y := rs.many[c]
	if i, ok := y.find(m.room.name); ok && y.members[i] == m {
		y.members = slices.Delete(y.members, i, i+1)
	}
	delete(y.slow, m)
	y.spoke = slices.DeleteFunc(y.spoke, func(other *Member) bool { return other == m })
	m.room = nil
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
	if r != nil && p.Kind == KindGap {
		r.gaps++
	}
	if r == nil || len(r.members) == 0 || p.Kind.Notice() && r.ids == 0 || p.Kind == KindFence {
		l.load.release(p.cost())
		l.fannedOut(p)
		return
	}
	rs.put(r, p)
}

// notice gives the members of the room on this loop a notice. They have everything of the room up to at before it.
func (rs *rooms) notice(r *room, kind Kind, at ID) {
	r.last = at
	p := &Publication{Room: r.name, Kind: kind, ID: at}
	p.loops.Store(1)
	rs.loop.load.reserve(p.cost())
	rs.put(r, p)
}

func (rs *rooms) put(r *room, p *Publication) {
	l := rs.loop
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
	if p.Kind.Notice() {
		b.blanks++
	}
	b.bytes += p.weight()
	b.cost += p.cost()
	r.pos++
	l.stats.Expected += uint64(len(r.members))
	if p.Kind != KindPresence {
		l.stats.Appended++
	}
	if !r.dirty {
		r.dirty = true
		l.fanout.dirty.add(r)
	}
}
