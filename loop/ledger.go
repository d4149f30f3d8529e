package loop

import "fmt"

// The ledger is even if no frame was lost silently. For every loop, at any time between two calls:
//
//	Expected = Delivered + Blank + ΣDropped + in flight
//
// Expected grows by the number of members when a publication is appended to a room. Delivered grows when the kernel has taken a
// whole frame. Dropped grows, by reason, when a member leaves or is a slow consumer. "In flight" is the number of frames in
// batches and backlogs, counted by walking through them. An accepted publication counts as Appended once in each loop that has
// members of its room.

// publishStats makes the counters visible to Stats.
func (l *Loop) publishStats() {
	s := l.stats
	s.Conns, s.Rooms, s.Timers = l.slots.live, len(l.rooms.byName), l.timeouts.wheel.armed
	s.LaggingConns, s.PausedNow, s.LoadBytes = len(l.slow.lagging), len(l.reader.hungry)+len(l.reader.paused), l.load.bytes.Load()
	if len(l.slow.lagging) == 0 && s.BacklogBytes > 0 {
		l.slow.countBacklogs()
		s.BacklogBytes, s.BacklogMax = 0, 0
	}
	l.statsMu.Lock()
	l.published = s
	l.statsMu.Unlock()
}

// countRepeating counts the members of each room that are not in its list of members yet.
func (l *Loop) countRepeating() map[*room]int32 {
	repeating := map[*room]int32{}
	for _, c := range l.slow.lagging {
		if c.backlog == nil {
			continue
		}
		for rep := c.backlog.repeat; rep != nil; rep = rep.next {
			repeating[rep.member.room]++
		}
	}
	for _, w := range l.repeats.late {
		repeating[w.room]++
	}
	return repeating
}

// CheckLedger returns an error unless the ledger is even and the structures of the loop agree with each other. Call it on the
// loop's goroutine (Call). It visits all members and batches, so only tests and requests to the admin address call it.
func (l *Loop) CheckLedger() (Stats, error) {
	s := l.stats
	repeating := l.countRepeating()
	for name, r := range l.rooms.byName {
		if r.entry != nil && len(r.members)+len(r.waiting) == 0 && r.repeating == 0 {
			return s, fmt.Errorf("room %q is empty and did not vanish", name)
		}
		if n := repeating[r]; n != r.repeating {
			return s, fmt.Errorf("room %q: %d members are repeated to, but %d are counted", name, n, r.repeating)
		}
		for _, m := range r.waiting {
			if m.room != nil && (m.room != r || !m.joining()) {
				return s, fmt.Errorf("room %q: connection %x waits to join, but its state says otherwise", name, m.conn.id)
			}
		}
		for i, m := range r.members {
			if m.conn == nil || m.room != r || int(m.index) != i {
				return s, fmt.Errorf("room %q: the member at %d has index %d", name, i, m.index)
			}
			s.InFlight += uint64(r.pos - r.position(m))
			if len(r.queue) > 0 && !r.owes(i) && int32(r.position(m)-r.queue[0].end()) < 0 {
				return s, fmt.Errorf("room %q: the member at %d lacks a part of the first batch, and its turn does not come", name, i)
			}
		}
		if r.cursor > len(r.members) || r.owed > len(r.members) || len(r.queue) == 0 && r.owed > 0 {
			return s, fmt.Errorf("room %q: %d of %d members are owed something from %d on, with %d batches", name, r.owed, len(r.members), r.cursor, len(r.queue))
		}
	}
	for i, c := range l.slow.lagging {
		if c.backlog == nil || c.backlog.index != i {
			return s, fmt.Errorf("connection %x is at %d on the list of lagging connections, but its state says otherwise", c.id, i)
		}
		s.InFlight += c.backlog.frames()
	}
	var unparsed int64
	for _, c := range l.slots.conns {
		if c != nil && c.in != nil {
			unparsed += int64(len(c.in.rest()))
		}
	}
	if s.UnparsedBytes != unparsed {
		return s, fmt.Errorf("loop %d: %d bytes are not parsed yet, but %d are counted", l.index, unparsed, s.UnparsedBytes)
	}
	dropped := uint64(0)
	for _, n := range s.Dropped {
		dropped += n
	}
	if s.Expected != s.Delivered+s.Blank+dropped+s.InFlight {
		return s, fmt.Errorf("loop %d: expected %d frames != delivered %d + blank %d + dropped %d + in flight %d", l.index, s.Expected,
			s.Delivered, s.Blank, dropped, s.InFlight)
	}
	return s, nil
}
