package loop

import "time"

// The wheel holds every timeout of every connection: a hashed timing wheel (Varghese and Lauck 1987, scheme 6).
//
// Time is counted in ticks of 100 ms. There are 1,024 slots; the entry for tick t is in the list of slot t mod 1,024. Each tick
// looks at one slot: entries for this very tick expire, entries for a later rotation stay. A connection has one entry, inside the
// Conn itself (two pointers and a tick), for the earliest of its deadlines:
//
//	tick 100   opened: handshake due by 150   -> started for 150, slot 150
//	tick 103   101 sent, life due by 703      -> the entry stays at 150: too early is harmless
//	tick 150   expires; really due at 703     -> started for 703, slot 703
//	tick 400   heartbeat: due at 1000         -> only a number is stored, the entry is not touched (lazy)
//	tick 703   expires; really due at 1000    -> started for 1000, slot 1000
//
// So a heartbeat costs one store, and an idle connection costs one visit per MaxAge. Starting and stopping an entry are O(1), a
// tick costs only a visit to its slot, and nothing allocates. A heap would cost O(log n) and a cache miss per step at each
// heartbeat. With a time.Timer for each connection (as in nbio), each would take 184 B and a goroutine when it fires.
//
// Only the loop's goroutine uses the wheel.

const (
	// Tick is the resolution of all timeouts.
	Tick = 100 * time.Millisecond

	wheelSlots = 1024
)

// tickDown is the number of whole ticks that have passed at now.
func tickDown(now time.Duration) uint32 { return uint32(now / Tick) }

// tickUp rounds up, so that an event at now never counts as older than it is.
func tickUp(now time.Duration) uint32 { return uint32((now + Tick - 1) / Tick) }

// ticks converts a timeout, rounded up.
func ticks(d time.Duration) uint32 { return tickUp(d) }

// timer is the wheel's entry inside a Conn. While flagArmed is set, it is in a slot, for the tick Conn.due.
type timer struct{ next, prev *Conn }

type wheel struct {
	slots [wheelSlots]*Conn
	now   uint32 // the last tick that advance has handled
	armed int
}

// start arms c for the given tick, or for the next tick if that is later. If c was armed, it is moved.
func (w *wheel) start(c *Conn, at uint32) {
	if c.has(flagArmed) {
		if c.due == at {
			return
		}
		w.stop(c)
	}
	if at <= w.now {
		at = w.now + 1
	}
	head := &w.slots[at%wheelSlots]
	c.timer = timer{next: *head}
	c.due = at
	c.flags |= flagArmed
	if *head != nil {
		(*head).timer.prev = c
	}
	*head = c
	w.armed++
}

// stop disarms c.
func (w *wheel) stop(c *Conn) {
	t := &c.timer
	if !c.has(flagArmed) {
		return
	}
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[c.due%wheelSlots] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	*t = timer{}
	c.flags &^= flagArmed
	w.armed--
}

// advance moves the wheel to the given tick, disarms every entry that is due and calls expire for it. expire may start and stop
// only the connection that is passed to it.
func (w *wheel) advance(to uint32, expire func(*Conn)) {
	if to <= w.now {
		return
	}
	from := w.now + 1
	if to-w.now > wheelSlots { // after more than a whole rotation, it is enough to visit every slot once
		from = to - wheelSlots + 1
	}
	w.now = to
	for tick := from; tick <= to; tick++ {
		for c := w.slots[tick%wheelSlots]; c != nil; {
			next := c.timer.next
			if c.due <= to {
				w.stop(c)
				expire(c)
			}
			c = next
		}
	}
}
