package loop

import "fmt"

// The ledger is even when nothing was lost in silence. For every loop, at any time between two calls:
//
//	Expected = Delivered + ΣDropped + in flight
//
// Expected grows by the number of members when a publication is appended to a room; Delivered when the kernel has taken
// the whole frame; Dropped by reason when a member leaves or is a slow consumer; in flight is what stands in batches and
// backlogs, counted by walking them. Over the loops of a node, Accepted
// publications that had members somewhere are Appended by each loop that has members.

// Stats are the counters of a loop; they only grow, except where a comment says so.
type Stats struct {
	Turns, Reads, ReadBytes  uint64
	Opened                   uint64 // connections adopted
	Joins, Leaves            uint64
	Accepted                 uint64 // publications of own connections
	Appended                 uint64 // publications taken from the bus for a room with members
	Expected, Delivered      uint64 // frames, one per member
	Writes, WrittenBytes     uint64 // sends of the fan-out
	Lags, Stalls, Pauses     uint64 // backlogs begun, rooms stalled, readers paused
	Dropped, Ended           [NumWhy]uint64
	InputBytes               int64 // copied because parsing had to stop
	UnparsedBytes            int64 // now: of them those that wait
	Conns, Rooms, Timers     int   // now
	LaggingConns, PausedNow  int   // now
	LoadBytes                int64 // now: inbox and batches
	InFlight                 uint64
	BacklogBytes, BacklogMax int64 // at the last tick: frames waiting for lagging members, counted per member; the largest
}

// publishStats makes the counters visible to Stats.
func (l *Loop) publishStats() {
	s := l.stats
	s.Conns, s.Rooms, s.Timers = l.live, len(l.rooms), l.wheel.armed
	s.LaggingConns, s.PausedNow, s.LoadBytes = len(l.lagging), len(l.hungry)+len(l.paused), l.load.Load()
	if len(l.lagging) == 0 && s.BacklogBytes > 0 {
		l.countBacklogs()
		s.BacklogBytes, s.BacklogMax = 0, 0
	}
	l.statsMu.Lock()
	l.published = s
	l.statsMu.Unlock()
}

// countBacklogs walks all lagging members, so it is done once a tick; the other loops are told the size of the slowest.
func (l *Loop) countBacklogs() {
	l.stats.BacklogBytes, l.stats.BacklogMax = 0, 0
	slowest := int64(0)
	for _, c := range l.lagging {
		b := int64(c.back.bytes)
		l.stats.BacklogBytes += b
		l.stats.BacklogMax = max(l.stats.BacklogMax, b)
		if c.sheddable() {
			slowest = max(slowest, int64(c.back.weight()))
		}
	}
	l.slowest.Store(slowest)
}

// Stats returns the counters as of the end of the last turn. Any goroutine.
func (l *Loop) Stats() Stats {
	l.statsMu.Lock()
	defer l.statsMu.Unlock()
	return l.published
}

// CheckLedger walks the loop and returns an error unless the ledger is even and the structures agree with each other.
// On the loop's goroutine (Call). It costs a visit to everything: for tests, and for the admin address on demand.
func (l *Loop) CheckLedger() (Stats, error) {
	s := l.stats
	for name, r := range l.rooms {
		if r.entry != nil && len(r.members) == 0 && len(r.waiting) == 0 {
			return s, fmt.Errorf("room %q is empty and did not vanish", name)
		}
		for i, m := range r.members {
			if m.conn == nil || m.room != r || int(m.index) != i {
				return s, fmt.Errorf("room %q: member %d stands at %d", name, i, m.index)
			}
			s.InFlight += uint64(r.pos - r.position(m))
		}
	}
	for i, c := range l.lagging {
		if c.back == nil || c.back.index != i {
			return s, fmt.Errorf("connection %x is on the list of lagging ones at %d and does not know it", c.id, i)
		}
		s.InFlight += c.back.frames()
	}
	var unparsed int64
	for _, c := range l.slots {
		if c != nil && c.in != nil {
			unparsed += int64(len(c.in.rest()))
		}
	}
	if s.UnparsedBytes != unparsed {
		return s, fmt.Errorf("loop %d: %d bytes are not parsed yet and %d are counted", l.index, unparsed, s.UnparsedBytes)
	}
	dropped := uint64(0)
	for _, n := range s.Dropped {
		dropped += n
	}
	if s.Expected != s.Delivered+dropped+s.InFlight {
		return s, fmt.Errorf("loop %d: expected %d frames != delivered %d + dropped %d + in flight %d", l.index, s.Expected,
			s.Delivered, dropped, s.InFlight)
	}
	return s, nil
}
