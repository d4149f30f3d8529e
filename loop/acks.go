package loop

import "slices"

// A publication with a Ref is acknowledged when it has its place in the order, that is, when it has come back from the bus. The
// acknowledgement follows the publication on the socket of its sender. So it waits for the fan-out of the room, unless something
// waits for the sender: then it is said without a position. One acknowledgement speaks for all earlier ones of the connection.

// acks are the acknowledgements that a loop owes its members. Only the loop's goroutine uses them.
type acks struct {
	loop  *Loop
	notes []ackNote // the oldest first
	ready worklist[ackNote]
	rooms map[connRoom]bool // flagAcked of connections with many rooms
}

type connRoom struct {
	conn ConnID
	room string
}

type ackNote struct {
	conn  ConnID
	room  string
	ref   uint64
	id    ID
	pos   uint32 // room.pos behind the publication
	ready bool   // to be said in this turn
}

// note is called when p has come back, and was appended to its room.
func (a *acks) note(p *Publication) {
	if p.By == nil || p.Origin.Loop() != a.loop.index {
		return
	}
	if c := a.loop.Conn(p.Origin); c != nil && c.state == stateOpen {
		n := ackNote{conn: p.Origin, room: p.Room, ref: p.By.Ref, id: p.ID}
		if m := c.memberIn(p.Room); m != nil {
			n.pos = m.room.pos
		}
		a.notes = append(a.notes, n)
	}
}

// serve acknowledges what the fan-out of this turn has given to its senders. The rest waits: for a later turn that serves its room,
// which the room rings for, or until the sender takes more.
func (a *acks) serve() {
	a.ready.each(a.say) // those that a turn that panicked has left
	if len(a.notes) == 0 {
		return
	}
	for i := len(a.notes) - 1; i >= 0; i-- { // the latest of each connection and room
		n := &a.notes[i]
		switch c := a.loop.Conn(n.conn); {
		case c == nil || c.state != stateOpen || a.spoken(c, n.room):
			n.conn = 0
		case a.given(c, n):
			n.ready = true
			a.speak(c, n.room)
		}
	}
	kept := a.notes[:0]
	for _, n := range a.notes {
		switch {
		case n.conn == 0:
		case n.ready:
			a.loop.Conn(n.conn).flags &^= flagAcked
			a.ready.add(n)
		default:
			kept = append(kept, n)
		}
	}
	clear(a.notes[len(kept):])
	a.notes = kept
	clear(a.rooms)
	a.ready.each(a.say)
}

// spoken reports whether this turn acknowledges a later publication of c into the room.
func (a *acks) spoken(c *Conn, room string) bool {
	if !c.has(flagMany) {
		return c.has(flagAcked)
	}
	return a.rooms[connRoom{c.id, room}]
}

func (a *acks) speak(c *Conn, room string) {
	if !c.has(flagMany) {
		c.flags |= flagAcked
		return
	}
	if a.rooms == nil {
		a.rooms = map[connRoom]bool{}
	}
	a.rooms[connRoom{c.id, room}] = true
}

// given reports whether c may be told: it was given its publication, or something waits for it.
func (a *acks) given(c *Conn, n *ackNote) bool {
	m := c.memberIn(n.room)
	switch {
	case c.backlog != nil && len(c.backlog.said) > mostSaid/2: // one acknowledgement will do for all
		return false
	case c.backlog != nil || m == nil || !m.seated():
		return true
	}
	return int32(m.room.position(m)-n.pos) >= 0
}

func (a *acks) say(n ackNote) {
	if c := a.loop.Conn(n.conn); c != nil {
		m := c.memberIn(n.room)
		c.peer.Ack(n.room, n.ref, n.id, c.backlog != nil || m == nil || !m.seated())
	}
}

// sayBehind acknowledges everything of c whose turn has not come, because c loses what waits for it.
func (a *acks) sayBehind(c *Conn) {
	for i := len(a.notes) - 1; i >= 0; i-- {
		if n := a.notes[i]; n.conn == c.id && !a.spoken(c, n.room) {
			a.speak(c, n.room)
			c.peer.Ack(n.room, n.ref, n.id, true)
		}
	}
	a.notes = slices.DeleteFunc(a.notes, func(n ackNote) bool { return n.conn == c.id })
	c.flags &^= flagAcked
	clear(a.rooms)
}
