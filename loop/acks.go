package loop

// A publication with a Ref is acknowledged when it has its place in the order, that is, when it has come back from the bus. The
// acknowledgement follows the publication on the socket of its sender. So it waits for the fan-out of the room, unless something
// waits for the sender: then it is said without a position. One acknowledgement speaks for all earlier ones of the connection.

// acks are the acknowledgements that a loop owes its members. Only the loop's goroutine uses them.
type acks struct {
	loop  *Loop
	notes []ackNote // the oldest first
	ready worklist[ackNote]
}

type ackNote struct {
	conn ConnID
	ref  uint64
	id   ID
	pos  uint32 // room.pos behind the publication
}

// note is called when p has come back, and was appended to its room.
func (a *acks) note(p *Publication) {
	if p.By == nil || p.Origin.Loop() != a.loop.index {
		return
	}
	if c := a.loop.Conn(p.Origin); c != nil && c.state == stateOpen {
		n := ackNote{conn: p.Origin, ref: p.By.Ref, id: p.ID}
		if c.member.room != nil {
			n.pos = c.member.room.pos
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
	for i := len(a.notes) - 1; i >= 0; i-- { // the latest of each connection
		n := &a.notes[i]
		switch c := a.loop.Conn(n.conn); {
		case c == nil || c.state != stateOpen || c.has(flagAcked):
			n.conn = 0
		case a.given(c, n):
			c.flags |= flagAcked
		}
	}
	kept := a.notes[:0]
	for _, n := range a.notes {
		if n.conn == 0 {
			continue
		}
		if c := a.loop.Conn(n.conn); c.has(flagAcked) {
			c.flags &^= flagAcked
			a.ready.add(n)
		} else {
			kept = append(kept, n)
		}
	}
	a.notes = kept
	a.ready.each(a.say)
}

// given reports whether c may be told: it was given its publication, or something waits for it.
func (a *acks) given(c *Conn, n *ackNote) bool {
	switch {
	case c.backlog != nil && len(c.backlog.said) > mostSaid/2: // one acknowledgement will do for all
		return false
	case c.backlog != nil || c.member.room == nil || c.has(flagJoining):
		return true
	}
	return int32(c.member.room.position(&c.member)-n.pos) >= 0
}

func (a *acks) say(n ackNote) {
	if c := a.loop.Conn(n.conn); c != nil {
		c.peer.Ack(n.ref, n.id, c.backlog != nil || c.member.room == nil)
	}
}
