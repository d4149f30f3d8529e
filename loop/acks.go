package loop

// A publication with a Ref is acknowledged when it has its place in the order, that is, when it has come back from the bus. The
// acknowledgement follows the publication on the socket of its sender. So it waits for the fan-out of the room, unless something
// waits for the sender: then it is said without a position. One acknowledgement speaks for all earlier ones of the connection.

// acks are the acknowledgements that a loop owes its members. Only the loop's goroutine uses them.
type acks struct {
	loop  *Loop
	notes []ackNote // the oldest first
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

// serve acknowledges what the fan-out of this turn has given to its senders. The rest waits for the next turn.
func (a *acks) serve() {
	if len(a.notes) == 0 {
		return
	}
	notes := a.notes
	for i := len(notes) - 1; i >= 0; i-- { // the latest of each connection
		n := &notes[i]
		c := a.loop.Conn(n.conn)
		switch {
		case c == nil || c.state != stateOpen:
			n.conn = 0
		case c.has(flagAcked):
			n.conn = 0
		case c.backlog != nil && len(c.backlog.said) > mostSaid/2: // one acknowledgement will do for all
		case c.backlog != nil || c.member.room == nil || c.has(flagJoining):
			c.flags |= flagAcked
		case int32(c.member.room.position(&c.member)-n.pos) >= 0:
			c.flags |= flagAcked
		}
	}
	kept := notes[:0]
	for _, n := range notes {
		if n.conn == 0 {
			continue
		}
		c := a.loop.Conn(n.conn)
		if c == nil || !c.has(flagAcked) {
			kept = append(kept, n)
			continue
		}
		c.flags &^= flagAcked
		c.peer.Ack(n.ref, n.id, c.backlog != nil || c.member.room == nil)
	}
	clear(notes[len(kept):])
	a.notes = kept
}
