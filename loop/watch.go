package loop

// The members of a loop that watch their rooms (presence.go). A watcher gets the events of its room as frames in the batches of
// the room, like messages. The other members have empty frames there: a publication of KindPresence has frames only in the
// variants of watchers.
//
// A new watcher has a variant without these frames, until it is given the state. The state comes through the inbox, so it has a
// place between the publications of the room. The loop first gives the watcher what its room has appended before; then it
// changes the variant, and gives it the state. So the watcher gets no change that the state has already, and each later one.
//
// If something waits for the member, the state would overtake it. Then the member is owed the state, and asks again once nothing
// waits any more. The same happens if the member has lost events (skip.go). A member that is repeated to asks when that is over.
//
// A connection with many rooms may watch some of them, so its variant depends on the room (variantIn).

// watching is what a room has for presence; nearly every room has none.
type watching struct {
	of    map[*Member]*watch
	asked map[*Member]uint32   // tick of the last AskMembers
	owed  map[*Member]struct{} // members that ask as soon as nothing waits for them
}

// watch is a member that watches its room.
type watch struct {
	Watch
	told bool // it has the state
}

func (r *room) needWatching() *watching {
	if r.watch == nil {
		r.watch = &watching{of: map[*Member]*watch{}, asked: map[*Member]uint32{}, owed: map[*Member]struct{}{}}
	}
	return r.watch
}

// variantIn returns the variant of the frames that c gets of a batch.
func variantIn(c *Conn, b *batch) Variant {
	if !c.has(flagMany) || c.loop.rooms.told == 0 {
		return c.variant
	}
	if m := memberIn(c, b.pubs[0].Room); m != nil && m.room.watch != nil {
		if w := m.room.watch.of[m]; w != nil && w.told {
			return w.Variant
		}
	}
	return c.variant
}

// watch makes m a watcher.
func (rs *rooms) watch(m *Member, w *Watch) {
	m.room.needWatching().of[m] = &watch{Watch: *w}
	rs.loop.node.dir.Presences().watch(m.room.entry, w)
}

// unwatch is called when m leaves its room.
func (rs *rooms) unwatch(m *Member) {
	k := m.room.watch
	if k == nil {
		return
	}
	if w := k.of[m]; w != nil {
		rs.loop.node.dir.Presences().unwatch(m.room.entry, &w.Watch)
		if w.told && m.conn.has(flagMany) {
			rs.told--
		}
	}
	if _, owed := k.owed[m]; owed {
		rs.owed--
	}
	delete(k.of, m)
	delete(k.asked, m)
	delete(k.owed, m)
}

// askFor asks for the state of the room of m, if m is a watcher.
func (rs *rooms) askFor(m *Member) {
	if k := m.room.watch; k != nil && k.of[m] != nil {
		rs.loop.node.dir.Presences().ask(rs.loop, m)
	}
}

// owe makes m ask for the state of its room as soon as nothing waits for it, if m is a watcher.
func (rs *rooms) owe(m *Member) {
	if k := m.room.watch; k != nil && k.of[m] != nil {
		rs.oweTo(m)
	}
}

func (rs *rooms) oweTo(m *Member) {
	k := m.room.needWatching()
	if _, owed := k.owed[m]; !owed {
		k.owed[m] = struct{}{}
		rs.owed++
	}
}

// askOwed asks for what the members of c are owed. Nothing waits for c any more.
func (rs *rooms) askOwed(c *Conn) {
	if rs.owed == 0 || c.state != stateOpen {
		return
	}
	eachMember(c, func(m *Member) {
		if k := m.room.watch; k != nil && m.seated() {
			if _, owed := k.owed[m]; owed {
				delete(k.owed, m)
				rs.owed--
				rs.loop.node.dir.Presences().ask(rs.loop, m)
			}
		}
	})
}

// giveState gives m the state of its room, which has come through the inbox.
func (rs *rooms) giveState(name string, m *Member, body []byte) {
	r, c := rs.byName[name], m.conn
	if r == nil || m.room != r || m.joining() || c.state != stateOpen {
		return
	}
	if c.backlog == nil {
		for _, b := range r.queue {
			rs.loop.fanout.deliver(m, b)
		}
	}
	if c.backlog != nil {
		rs.oweTo(m)
		return
	}
	if w := r.needWatching().of[m]; w != nil && !w.told {
		if w.told = true; c.has(flagMany) {
			rs.told++
		} else {
			c.variant = w.Variant
		}
	}
	c.peer.Presence(name, body)
}

// AskMembers asks for the state of a room of c, "" for the only one; Session.Presence brings it. It does nothing and returns false if
// the last call for this room was less than a second ago, or if c is not a member.
func (c *Conn) AskMembers(room string) (asked bool) {
	m, l := memberIn(c, room), c.loop
	if m == nil || m.joining() {
		return false
	}
	k := m.room.needWatching()
	if last, again := k.asked[m]; again && int32(l.tick-last) < presenceEvery {
		return false
	}
	k.asked[m] = l.tick
	if c.backlog != nil {
		l.rooms.oweTo(m)
		return true
	}
	l.node.dir.Presences().ask(l, m)
	return true
}
