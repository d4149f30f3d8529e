package stub

import "sync"

// Hub is a room server: all members of a room get each message of a member, in
// one order. It does not answer heartbeats.
type Hub struct {
	// Tamper returns the frames that a member gets instead of the correct
	// frame of a message; nil changes nothing. Member counts the members of
	// the room from 0 in the order of their joins, n its messages from 1. The
	// hub's lock is held during the call.
	Tamper func(room string, member, n int, message []byte) [][]byte

	sync.Mutex
	rooms map[string][]*seat // guarded by Mutex
}

// seat is a member. The seat of a member that left stays, empty, until all
// have left.
type seat struct {
	c *Conn // nil: the member left
	n int
}

// Serve serves one connection.
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
		case op == Text && string(payload) != `"heartbeat"`:
			h.broadcast(c.Room, payload)
		}
	}
}

func (h *Hub) broadcast(room string, message []byte) {
	h.Lock()
	defer h.Unlock()
	for i, s := range h.rooms[room] {
		if s.c == nil {
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
