package loop

import "slices"

// The calls of sessions with many rooms, and of those that must not be kicked for reading slowly.

// OnSlow says what happens if c reads too slowly. It is for a connection with one room; call it before Join.
func (c *Conn) OnSlow(slow Slow) {
	switch slow {
	case SlowGap:
		c.flags |= flagGap
	case SlowLatest:
		c.flags |= flagLatest
	}
}

// Many is a connection with many rooms. Its methods take the place of those of Conn with the same names.
type Many struct{ *Conn }

// Begin makes c a connection with many rooms. It is in none yet.
func (c Many) Begin(v Variant) {
	c.variant = v
	c.flags |= flagMany
	c.loop.rooms.many[c.Conn] = &many{}
}

// Rooms is the number of rooms of a connection with many rooms, with those that it waits to join.
func (c Many) Rooms() int { return len(c.loop.rooms.many[c.Conn].members) }

// Join asks to make c a member of one more room. Session.Joined or Session.NotJoined is called, perhaps before Join
// returns. It reports false if c is a member of the room already, or waits to be one.
func (c Many) Join(room string, start Start, slow Slow) bool {
	y := c.loop.rooms.many[c.Conn]
	i, ok := y.find(room)
	if ok {
		return false
	}
	m := &Member{conn: c.Conn, index: indexJoining}
	if start != (Start{}) {
		c.loop.repeats.starts[m] = start
	}
	r := c.loop.rooms.get(m, room)
	if r == nil {
		return true
	}
	m.room = r
	if n := len(y.members); n == cap(y.members) { // append would double it
		y.members = append(make([]*Member, 0, n+max(n/8, 4)), y.members...)
	}
	y.members = slices.Insert(y.members, i, m)
	if slow != SlowGap {
		if y.slow == nil {
			y.slow = map[*Member]Slow{}
		}
		y.slow[m] = slow
	}
	c.loop.rooms.join(m, r)
	return true
}

// admitted reports whether all rooms into which the connection has published admit more. It must wait for each of them, also for one
// that is not the latest.
func (y *many) admitted(n *Node) bool {
	for _, m := range y.spoke {
		if !n.admits(m.room.entry) {
			return false
		}
	}
	if last := len(y.spoke) - 1; last > 0 {
		y.spoke[0] = y.spoke[last]
		clear(y.spoke[1:])
		y.spoke = y.spoke[:1]
	}
	return true
}

// Leave takes c out of a room. Nothing of the room is sent to c after it. It reports false
// if c is not a member of the room.
func (c Many) Leave(room string) bool {
	m := memberIn(c.Conn, room)
	if m == nil {
		return false
	}
	if m.repeating() && !c.loop.repeats.stop(m) {
		c.closeLater(ReasonBacklogSoft)
		return true
	}
	if k := c.backlog; k != nil {
		k.gaps = slices.DeleteFunc(k.gaps, func(g lost) bool { return g.room == room })
	}
	c.loop.slow.dropRoom(c.Conn, room, ReasonClosed)
	c.loop.rooms.leaveRoom(m, ReasonClosed)
	return true
}

// Publish is Conn.PublishBy into one of the rooms. It reports false if c is not a member of the room.
func (c Many) Publish(room string, by *Sender, kind Kind, value []byte) bool {
	m := memberIn(c.Conn, room)
	if m == nil {
		return false
	}
	if y := c.loop.rooms.many[c.Conn]; !slices.Contains(y.spoke, m) {
		y.spoke = append(y.spoke, m)
	}
	c.loop.stats.Accepted++
	m.publish(by, kind, value)
	return true
}
