package loop

import "sync/atomic"

// slots holds the connections of a loop. A free slot is given to the next connection. Each slot counts its connections, and the
// count is part of the id (its generation). So an id is used again only after 16 million other connections in the same slot.
type slots struct {
	promised atomic.Int64 // connections adopted or about to be adopted, and not freed yet. Any goroutine.

	// Owned by the loop's goroutine.
	conns []*Conn // by ConnID.slot
	gens  []uint32
	free  []uint32
	live  int // slots in use
}

// occupy gives c a slot, and its id on the loop.
func (s *slots) occupy(c *Conn, loop int) {
	var slot uint32
	if n := len(s.free); n > 0 {
		slot = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		slot = uint32(len(s.conns))
		s.conns = append(s.conns, nil)
		s.gens = append(s.gens, 0)
	}
	if s.gens[slot]++; s.gens[slot]&0xffffff == 0 {
		s.gens[slot]++ // the first generation is 1, because id 0 means no connection
	}
	s.conns[slot] = c
	s.live++
	c.id = makeID(loop, s.gens[slot], slot)
}

// vacate frees the slot of c.
func (s *slots) vacate(c *Conn) {
	slot := c.id.slot()
	if s.conns[slot] != c {
		return
	}
	s.conns[slot] = nil
	s.free = append(s.free, slot)
	s.live--
	s.promised.Add(-1)
}

// conn returns the connection with this id, nil if it is gone.
func (s *slots) conn(id ConnID) *Conn {
	slot := id.slot()
	if int(slot) >= len(s.conns) || s.conns[slot] == nil || s.conns[slot].id != id {
		return nil
	}
	return s.conns[slot]
}
