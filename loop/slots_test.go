package loop

import (
	"testing"

	"pgregory.net/rapid"
)

func TestAnIDFindsItsConnectionAndNoLaterOneInItsSlot(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s slots
		here, gone := map[ConnID]*Conn{}, map[ConnID]bool{}
		rt.Repeat(map[string]func(*rapid.T){
			"occupy": func(rt *rapid.T) {
				c := &Conn{}
				s.occupy(c, 3)
				if c.id == 0 || c.id.Loop() != 3 || here[c.id] != nil || gone[c.id] {
					rt.Fatalf("id %x, want a new one of loop 3", c.id)
				}
				here[c.id] = c
			},
			"vacate": func(rt *rapid.T) {
				for id, c := range here {
					s.vacate(c)
					s.vacate(c) // the second call has no effect
					delete(here, id)
					gone[id] = true
					return
				}
			},
			"": func(rt *rapid.T) {
				for id, c := range here {
					if got := s.conn(id); got != c {
						rt.Fatalf("id %x is of %p, want %p", id, got, c)
					}
				}
				for id := range gone {
					if got := s.conn(id); got != nil {
						rt.Fatalf("id %x is of %p, want none: it is gone", id, got)
					}
				}
				if s.live != len(here) || len(s.conns) != len(here)+len(s.free) {
					rt.Fatalf("%d live in %d slots, %d of them free, want %d live", s.live, len(s.conns), len(s.free), len(here))
				}
			},
		})
	})
}

// The generation has 24 bits. When it wraps around it skips 0, because the first connection of loop 0 would get id 0, which means
// no connection.
func TestNoConnectionIsNobody(t *testing.T) {
	s := slots{conns: []*Conn{nil}, gens: []uint32{1<<24 - 1}, free: []uint32{0}}
	c := &Conn{}
	s.occupy(c, 0)
	if c.id == 0 || s.conn(c.id) != c || s.conn(0) != nil {
		t.Errorf("id %x of %p, and id 0 of %p, want a new id, and no connection with id 0", c.id, s.conn(c.id), s.conn(0))
	}
}
