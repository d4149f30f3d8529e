package loop

import "sync"

// Stats are the counters of a loop. They only grow, except where a comment says otherwise.
type Stats struct {
	Turns, Reads, ReadBytes  uint64
	Opened                   uint64 // number of connections adopted
	Joins, Leaves            uint64
	Accepted                 uint64 // publications that came from connections of this loop
	Appended                 uint64 // publications taken from the bus for a room with members
	Rolled                   uint64 // part of Appended: publications that joined a batch when some members had already got a part of it
	Expected, Delivered      uint64 // frames; each publication counts once per member
	Blank                    uint64 // part of Expected: frames without bytes, of events of presence for members that do not watch
	Writes, WrittenBytes     uint64 // sends of the fan-out, and their bytes
	Repeated                 uint64 // frames of the history that members were given
	Lags, Stalls, Pauses     uint64 // backlogs begun, rooms stalled, connections paused
	Dropped, Ended           [NumReasons]uint64
	InputBytes               int64 // bytes copied because parsing had to stop; only grows
	UnparsedBytes            int64 // now: copied bytes that wait to be parsed
	Conns, Rooms, Timers     int   // now
	LaggingConns, PausedNow  int   // now
	LoadBytes                int64 // now: bytes of publications in inbox and batches
	InFlight                 uint64
	BacklogBytes, BacklogMax int64 // at the last tick: bytes of waiting frames, counted once per member; the largest backlog
}

// passed counts a frame that was delivered.
func (s *Stats) passed(frame []byte) {
	if len(frame) == 0 {
		s.Blank++
	} else {
		s.Delivered++
	}
}

// ledger holds the counters of a loop.
type ledger struct {
	stats Stats // owned by the loop's goroutine

	statsMu   sync.Mutex
	published Stats // guarded by statsMu
}

// Stats returns the counters as of the end of the last turn. Any goroutine.
func (l *Loop) Stats() Stats {
	l.statsMu.Lock()
	defer l.statsMu.Unlock()
	return l.published
}
