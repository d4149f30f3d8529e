package peer

import (
	"slices"
	"testing"
)

func reached(s *Seat[string]) []string {
	var members []string
	s.Publish(func(member string) { members = append(members, member) })
	slices.Sort(members)
	return members
}

func TestAPublicationReachesWhoIsInTheRoom(t *testing.T) {
	var rooms Rooms[string]
	a, b, c := rooms.Join("one", "a"), rooms.Join("one", "b"), rooms.Join("one", "c")
	other := rooms.Join("two", "other")
	check := func(s *Seat[string], want ...string) {
		t.Helper()
		if got := reached(s); !slices.Equal(got, want) {
			t.Errorf("reached %v, want %v", got, want)
		}
	}
	check(a, "a", "b", "c")
	check(other, "other")
	a.Leave() // c, the last one in the slice, takes the place of a
	check(b, "b", "c")
	c.Leave()
	c.Leave() // changes nothing
	check(b, "b")
	check(a, "b") // a message that a sent before it left still reaches the others
}

func TestARoomEndsWithItsLastMember(t *testing.T) {
	var rooms Rooms[string]
	a, b := rooms.Join("one", "a"), rooms.Join("one", "b")
	a.Leave()
	b.Leave()
	if len(rooms.rooms) != 0 {
		t.Errorf("%d rooms without members are kept, want 0", len(rooms.rooms))
	}
	if got := reached(rooms.Join("one", "c")); !slices.Equal(got, []string{"c"}) {
		t.Errorf("reached %v in the new room, want [c]", got)
	}
}

func TestARoomIsFoundByItsName(t *testing.T) {
	var rooms Rooms[string]
	a := rooms.Join("one", "a")
	rooms.Join("two", "b")
	var members []string
	for _, name := range []string{a.Room(), "nowhere"} {
		rooms.Publish(name, func(member string) { members = append(members, member) })
	}
	if !slices.Equal(members, []string{"a"}) {
		t.Errorf("reached %v, want only a", members)
	}
}
