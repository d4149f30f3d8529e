package loop

// A member may have to wait before it joins. Meanwhile it is not a member of its room, which stays although it may have no other.

// late is a member that waits to join.
type late struct {
	member *Member
	room   *room // which it may have left since
	why    lateness
	due    uint32 // tick at which it no longer waits
	ripe   bool   // latePosition: everything up to its position was in the inbox before the last turn
}

// lateness is what a member waits for.
type lateness uint8

const (
	// latePosition: it names a position behind that of its room on this loop, because it comes from a loop or a node that was ahead.
	// If it joined now, it would get again what it has. Or the history is being filled.
	latePosition lateness = iota
	// lateFence: its fence has not come back (fence.go).
	lateFence
	// lateBudget: this loop has looked for missed publications enough in this tick. A client that comes back with an old position
	// again and again would hold up the lane of its room otherwise.
	lateBudget
)

const (
	longestLate  = 20     // ticks that a member waits for its position
	longestFence = 100    // and for its fence
	mostWalked   = 50_000 // publications of histories that a loop looks at in a tick before members wait
)

// wait makes m wait if its position is behind that of its room.
func (s *repeater) wait(m *Member) (waits bool) {
	start, asked := s.starts[m]
	id, r := start.Since, m.room
	if start.Fence != nil && start.fence == fenceNot {
		s.fence(m, start)
		return true
	}
	switch {
	case !asked:
		return false
	case start.HasSince && !start.waited && s.mustWait(r, id):
		w := late{member: m}
		if w.ripe, w.due = s.placed(r, id), tickDown(s.loop.now)+longestLate; !w.ripe && !s.mayReach(r) {
			w.due = 0
		}
		s.hold(w)
		s.loop.again()
		return true
	case s.walked > mostWalked:
		s.hold(late{member: m, why: lateBudget})
		return true
	}
	return false
}

// hold makes a member wait.
func (s *repeater) hold(w late) {
	w.room = w.member.room
	w.member.index = indexJoining
	w.room.repeating++ // so that the room stays
	s.late = append(s.late, w)
}

// mustWait reports whether the room's part of the lane is not known up to id on this loop, or the history is being filled.
func (s *repeater) mustWait(r *room, id ID) bool {
	if id.Tag == r.last.Tag && id.compare(r.last) > 0 {
		return true
	}
	ln := &s.loop.node.dir.lanes[r.entry.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return ln.history != nil && ln.history.filling
}

// mayReach reports whether the lane may have to reach a position that others gave out. If not, nobody was given a later one.
func (s *repeater) mayReach(r *room) bool {
	ln := &s.loop.node.dir.lanes[r.entry.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	h := ln.history
	return h != nil && (h.filling || h.partial && !h.fresh)
}

// placed reports whether everything of the room up to id is in the inboxes, or if there is no use in waiting for that.
func (s *repeater) placed(r *room, id ID) bool {
	ln := &s.loop.node.dir.lanes[r.entry.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	switch h := ln.history; {
	case h != nil && h.filling:
		return false
	case id.Tag != ln.last.Tag:
		return true
	case h == nil, !h.partial, h.fresh:
		return id.compare(ln.last) <= 0
	}
	p := r.entry.flow.firstDeferred()
	return id.compare(ln.last) <= 0 && (p == nil || p.ID.compare(id) > 0)
}

// serveLate lets connections join whose wait is over. It is called in every turn, after the inbox was taken.
func (s *repeater) serveLate() {
	if len(s.late)+s.serving.len() == 0 {
		return
	}
	s.serving.each(s.look) // those that a turn that panicked has left
	s.late = s.serving.refill(s.late)
	s.serving.each(s.look)
}

// look lets a member join if its wait is over.
func (s *repeater) look(w late) {
	m, r := w.member, w.room
	here := m.room == r && m.conn.state == stateOpen
	if here && s.waitsOn(&w) {
		s.late = append(s.late, w)
		return
	}
	r.repeating--
	if here {
		s.loop.rooms.enter(m)
		return
	}
	s.loop.rooms.joinedOne(m, r)
	s.loop.rooms.vanish(r)
}

// waitsOn reports whether a member must go on waiting. If not, its start says how the wait has ended.
func (s *repeater) waitsOn(w *late) bool {
	start := s.starts[w.member]
	switch w.why {
	case lateFence:
		if start.fence != fenceAsked {
			return false
		}
		if s.loop.tick < w.due {
			return true
		}
		start.fence = fenceFailed
	case lateBudget:
		return s.walked > mostWalked
	case latePosition:
		if !w.ripe && s.loop.tick < w.due {
			if w.ripe = s.placed(w.room, start.Since); w.ripe {
				s.loop.again()
			}
			return true
		}
		start.waited, start.HasSince = true, w.ripe
	}
	s.starts[w.member] = start
	return false
}

// fence asks the bus for the fence that m wants. m waits for it.
func (s *repeater) fence(m *Member, start Start) {
	start.fence = fenceAsked
	s.starts[m] = start
	s.hold(late{member: m, why: lateFence, due: tickDown(s.loop.now) + longestFence})
	m.publish(&Sender{Me: start.Fence.Sender}, KindFence, start.Fence.Value)
}

// fenced is called when a fence has come back from the bus, and everything of the room before it was appended; or when it never
// will.
func (s *repeater) fenced(p *Publication, ok bool) {
	if p.Origin == 0 || p.Origin.Loop() != s.loop.index {
		return // the fence of a member elsewhere
	}
	c := s.loop.Conn(p.Origin)
	if c == nil {
		return
	}
	m := memberIn(c, p.Room) // no search in late: after an outage thousands may wait there
	if start, waits := s.starts[m]; waits && start.fence == fenceAsked {
		start.fence = fenceFailed
		if ok && p.ID.Tag != 0 {
			start.fence = fenceDone
		}
		s.starts[m] = start
		s.loop.again()
	}
}

// fenceState is how far the fence of a member is that waits to join.
type fenceState uint8

const (
	fenceNot fenceState = iota
	fenceAsked
	fenceFailed
	fenceDone
)

func (f fenceState) outcome() Fenced {
	switch f {
	case fenceNot:
		return NotAsked
	case fenceDone:
		return IsFenced
	}
	return NotFenced
}
