package stub

import "sync"

// Hub is a correct room server for tests: all members of a room get each
// message of a member, in one order. It answers heartbeats only if Beat is set.
type Hub struct {
	// Tamper makes the server wrong: it returns the frames that a member gets
	// in place of the correct frame of a message. A nil Tamper changes nothing.
	// member is the number of the member in its room, from 0 in the order of
	// joining; n is the number of the message for this member, from 1. The lock
	// of the hub is held during the call.
	Tamper func(room string, member, n int, message []byte) [][]byte
	Silent bool   // a member does not get its own messages
	Beat   []byte // frame that answers a heartbeat; nil: no answer

	sync.Mutex
	rooms map[string][]*seat // guarded by Mutex
}

// seat is the place of a member in its room. The seat stays when the member has
// left, so that the numbers of the other members do not change.
type seat struct {
	c *Conn // nil: the member has left
	n int
}

// Serve serves a connection as a member of its room.
func (h *Hub) Serve(c *Conn) {
	s := &seat{c: c}
	h.Lock()
	if h.rooms == nil {
		h.rooms = map[string][]*seat{}
	}
	h.rooms[c.Room] = append(h.rooms[c.Room], s)
	h.Unlock()
	defer func() {
		h.Lock()
		s.c = nil
		h.Unlock()
	}()
	for {
		op, payload, err := c.Read()
		if err != nil {
			return
		}
		switch {
		case op == Close:
			c.Write(Frame(Close, payload))
			return
		case op != Text:
		case string(payload) != `"heartbeat"`:
			h.broadcast(c.Room, s, payload)
		case h.Beat != nil:
			c.Write(h.Beat)
		}
	}
}

// Send writes a frame to a member, if it has not left.
func (h *Hub) Send(room string, member int, frame []byte) {
	h.Lock()
	defer h.Unlock()
	if c := h.rooms[room][member].c; c != nil {
		c.Write(frame)
	}
}

func (h *Hub) broadcast(room string, sender *seat, message []byte) {
	h.Lock()
	defer h.Unlock()
	for i, s := range h.rooms[room] {
		if s.c == nil || h.Silent && s == sender {
			continue
		}
		s.n++
		frames := [][]byte{Frame(Text, message)}
		if h.Tamper != nil {
			frames = h.Tamper(room, i, s.n, message)
		}
		for _, f := range frames {
			s.c.Write(f)
		}
	}
}
