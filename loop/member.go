package loop

import (
	"cmp"
	"slices"
)

// A connection is a member of one room, or of many. Nearly all connections have one room, so its Member is a part of the Conn. A
// connection with many rooms (Many.Join) has a list of them in the table rooms.many, and its own Member is not used. So a
// connection with one room takes no memory for the rooms that others have.

// Member is a connection in a room.
type Member struct {
	conn  *Conn
	room  *room  // nil: not a member
	index uint32 // index in room.members, or one of the two values below
	from  uint32 // the member gets the publications from this room.pos on; updated regularly, because room.pos wraps around
}

// Values of Member.index of members that are not in room.members.
const (
	indexJoining   = ^uint32(0)     // waits to join
	indexRepeating = ^uint32(0) - 1 // is given what it missed (repeat.go)
)

func (m *Member) joining() bool   { return m.room != nil && m.index == indexJoining }
func (m *Member) repeating() bool { return m.room != nil && m.index == indexRepeating }
func (m *Member) seated() bool    { return m.room != nil && m.index < indexRepeating }

// Slow says what happens to a member that reads too slowly.
type Slow uint8

// The values of Slow.
const (
	SlowKick   Slow = iota // the connection is kicked
	SlowGap                // its backlog is dropped, and Session.AppendGap says so
	SlowLatest             // while something waits for the member, only the newest publication of the room waits; the rest is a gap
)

// many has the rooms of a connection with many rooms.
type many struct {
	members []*Member        // in the order of the names of their rooms
	slow    map[*Member]Slow // of the members for which it is not SlowGap; nil for nearly every connection
	spoke   []*Member        // those that published since all of their rooms admitted publications, and the one that published last
}

func (y *many) find(room string) (i int, ok bool) {
	return slices.BinarySearchFunc(y.members, room, func(m *Member, name string) int { return cmp.Compare(m.room.name, name) })
}

// memberIn returns the member of c in the room, nil if there is none. It may still wait to join.
func memberIn(c *Conn, room string) *Member {
	if !c.has(flagMany) {
		if c.member.room == nil {
			return nil
		}
		return &c.member
	}
	if y := c.loop.rooms.many[c]; y != nil {
		if i, ok := y.find(room); ok {
			return y.members[i]
		}
	}
	return nil
}

// eachMember calls f for each member of c. f may take this member out of its room.
func eachMember(c *Conn, f func(*Member)) {
	if !c.has(flagMany) {
		if c.member.room != nil {
			f(&c.member)
		}
		return
	}
	for _, m := range slices.Clone(c.loop.rooms.many[c].members) {
		f(m)
	}
}

// slowOf says what happens if m reads too slowly.
func slowOf(m *Member) Slow {
	c := m.conn
	switch {
	case c.has(flagMany):
		if slow, ok := c.loop.rooms.many[c].slow[m]; ok {
			return slow
		}
		return SlowGap
	case c.has(flagLatest):
		return SlowLatest
	case c.has(flagGap):
		return SlowGap
	}
	return SlowKick
}
