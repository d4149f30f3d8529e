package loop

import (
	"bytes"
	"time"
)

// The methods by which a session acts on its connection. Only the loop's goroutine calls them.

// Touch notes a sign of life. The wheel's entry is not moved: the wheel finds out when the old deadline comes.
func (c *Conn) Touch(now time.Duration) {
	c.seen = tickUp(now)
}

// Upgraded tells the loop that the handshake is done. MaxAge counts from now on.
func (c *Conn) Upgraded(now time.Duration) {
	c.flags |= flagUpgraded
	c.Touch(now)
	c.moved = c.seen
	c.rearm()
}

// WantPings makes the loop call Session.Ping after each third of MaxAge without a sign of life.
func (c *Conn) WantPings() {
	c.flags |= flagPings
	c.rearm()
}

// SetPartial tells the loop whether c is inside a frame. Inside a frame FrameTimeout applies, from now and again from each byte
// that comes.
func (c *Conn) SetPartial(partial bool) {
	if partial == c.has(flagPartial) {
		return
	}
	c.flags ^= flagPartial
	if partial {
		c.moved = tickUp(c.loop.now)
		c.rearm()
	}
}

// Publish accepts a message of c for its room. value is copied.
func (c *Conn) Publish(kind Kind, value []byte) { c.PublishBy(nil, kind, value) }

// PublishBy is Publish for a message that is to be acknowledged: Session.Ack is called with its ref.
func (c *Conn) PublishBy(by *Sender, kind Kind, value []byte) {
	c.loop.stats.Accepted++
	c.member.publish(by, kind, value)
}

func (m *Member) publish(by *Sender, kind Kind, value []byte) {
	c := m.conn
	l := c.loop
	v := c.variant
	if e := &l.cfg.Encodings[v]; e.Watches {
		v = e.Plain
	}
	p := newPublication(&l.cfg.Encodings[v], v, m.room.name, c.id, by, kind, value)
	p.from = m.room.entry
	c.pending++
	l.node.bus.Publish(p)
}

// Control sends a whole control frame between batches, never inside one; frame is not kept. While c is blocked, only the newest
// control frame is kept and the others are dropped: RFC 6455 5.5.3 lets an endpoint answer only the latest ping.
func (c *Conn) Control(frame []byte) {
	if c.state != stateOpen || c.has(flagEOF) {
		return
	}
	if c.backlog != nil && !c.backlog.betweenFrames() {
		c.backlog.control = append(c.backlog.control[:0], frame...)
		return
	}
	if n, err := c.peer.Send(frame); err == nil && n < len(frame) {
		c.loop.slow.block(c, bytes.Clone(frame[n:]), nil)
	}
}

// Say sends a whole control frame like Control, but never drops it. A peer that lets too many wait is a slow consumer.
func (c *Conn) Say(frame []byte) {
	k := c.backlog
	if c.state != stateOpen || c.has(flagEOF) || k == nil || k.betweenFrames() {
		c.Control(frame)
		return
	}
	most := mostSaid
	if c.has(flagMany) {
		most = mostSaidMany
	}
	if k.said = append(k.said, frame...); len(k.said) > most {
		c.closeLater(ReasonBacklogHard)
	}
}

// Position is the id of the latest publication of the room, if c was given all of them.
func (c *Conn) Position() (at ID, ok bool) {
	m := &c.member
	if !m.seated() || c.backlog != nil || m.room.position(m) != m.room.pos {
		return ID{}, false
	}
	return m.room.last, true
}

// Join asks to make c a member of the room. The loop calls Session.Joined once c is a member, perhaps before Join returns.
func (c *Conn) Join(room string, v Variant) {
	c.variant = v
	if r := c.loop.rooms.get(&c.member, room); r != nil {
		c.loop.rooms.join(&c.member, r)
	}
}

// JoinFrom is Join for a member that wants publications that it missed. During Session.Joined, Loop.Opening says from where on it
// gets them.
func (c *Conn) JoinFrom(room string, v Variant, start Start) {
	c.loop.repeats.starts[&c.member] = start
	c.Join(room, v)
}

// MayParse reports whether the session may parse another frame. The session asks before each one.
func (c *Conn) MayParse() bool {
	return c.state == stateOpen && !c.has(flagHeld) && c.loop.reader.budget > 0 && !c.blocked()
}

// Took counts one message against the budget of this turn.
func (c *Conn) Took() { c.loop.reader.budget-- }

// blocked reports whether messages of c may not be accepted now.
func (c *Conn) blocked() bool {
	if c.has(flagMany) {
		return !c.loop.node.admits(nil) || !c.loop.rooms.many[c].admitted(c.loop.node)
	}
	if r := c.member.room; r != nil {
		return !c.loop.node.admits(r.entry)
	}
	return !c.loop.node.admits(nil)
}

// Hold stops parsing until Release.
func (c *Conn) Hold() { c.flags |= flagHeld }

// Release ends Hold.
func (c *Conn) Release() {
	if c.has(flagHeld) {
		c.flags &^= flagHeld
		if c.loop.reader.current != c { // otherwise serve goes on with c
			c.loop.reader.queueReady(c)
		}
	}
}
