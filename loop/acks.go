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
	rooms map[connRoom]bool // flagAcked and flagAckedHere of connections with many rooms: true if it is flagAckedHere
}

type connRoom struct {
	conn ConnID
	room string
}

type ackNote struct {
	conn   ConnID
	room   string
	member *Member // that the fan-out gives the publication; nil if the sender was not one of those
	ref    uint64
	id     ID
	pos    uint32 // room.pos behind the publication
	ready  bool   // to be said in this turn
}

// note is called when p has come back, and was appended to its room.
func (a *acks) note(p *Publication) {
	if p.By == nil || p.Origin.Loop() != a.loop.index {
		return
	}
	if c := a.loop.Conn(p.Origin); c != nil && c.state == stateOpen {
		n := ackNote{conn: p.Origin, room: p.Room, ref: p.By.Ref, id: p.ID}
		if m := memberIn(c, p.Room); m != nil && m.seated() {
			n.member, n.pos = m, m.room.pos
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
		case c == nil || c.state != stateOpen || a.spoken(c, n):
			n.conn = 0
		case saidMuch(c): // it must wait, and so must the earlier ones, for which it speaks
			a.speak(c, n)
		case a.given(c, n):
			n.ready = true
			a.speak(c, n)
		}
	}
	kept := a.notes[:0]
	for _, n := range a.notes {
		if n.conn == 0 {
			continue
		}
		a.loop.Conn(n.conn).flags &^= flagAcked | flagAckedHere
		if n.ready {
			a.ready.add(n)
		} else {
			kept = append(kept, n)
		}
	}
	clear(a.notes[len(kept):])
	a.notes = kept
	clear(a.rooms)
	a.ready.each(a.say)
}

// spoken reports whether an acknowledgement of a later publication of c into the room speaks for n too: if it has the same scope.
func (a *acks) spoken(c *Conn, n *ackNote) bool {
	here := n.id.Tag == 0
	if c.has(flagMany) {
		last, ok := a.rooms[connRoom{c.id, n.room}]
		return ok && last == here
	}
	return here && c.has(flagAckedHere) || !here && c.has(flagAcked)
}

// speak notes that n is the next one to be said, of those that are not looked at yet.
func (a *acks) speak(c *Conn, n *ackNote) {
	here := n.id.Tag == 0
	switch {
	case c.has(flagMany):
		if a.rooms == nil {
			a.rooms = map[connRoom]bool{}
		}
		a.rooms[connRoom{c.id, n.room}] = here
	case here:
		c.flags = c.flags&^flagAcked | flagAckedHere
	default:
		c.flags = c.flags&^flagAckedHere | flagAcked
	}
}

// saidMuch reports whether so much waits to be said to c that its acknowledgements wait: one will do for all.
func saidMuch(c *Conn) bool { return c.backlog != nil && len(c.backlog.said) > mostSaid/2 }

// given reports whether c may be told: it was given its publication, or something waits for it.
func (a *acks) given(c *Conn, n *ackNote) bool {
	if c.backlog != nil || !n.current(c) {
		return true
	}
	return int32(n.member.room.position(n.member)-n.pos) >= 0
}

// current reports whether the member to which the fan-out gives the publication is still the one of c in the room: c may have left
// the room, and joined it again.
func (n *ackNote) current(c *Conn) bool {
	return n.member != nil && n.member == memberIn(c, n.room)
}

func (a *acks) say(n ackNote) {
	if c := a.loop.Conn(n.conn); c != nil {
		c.peer.Ack(n.room, n.ref, n.id, c.backlog != nil || !n.current(c))
	}
}

// sayBehind acknowledges everything of c whose turn has not come, because c loses what waits for it.
func (a *acks) sayBehind(c *Conn) {
	for i := len(a.notes) - 1; i >= 0; i-- {
		if n := &a.notes[i]; n.conn == c.id && !a.spoken(c, n) {
			a.speak(c, n)
			n.ready = true
		}
	}
	c.flags &^= flagAcked | flagAckedHere
	clear(a.rooms)
	for _, n := range a.notes {
		if n.conn == c.id && n.ready {
			c.peer.Ack(n.room, n.ref, n.id, true)
		}
	}
	a.notes = slices.DeleteFunc(a.notes, func(n ackNote) bool { return n.conn == c.id })
}
