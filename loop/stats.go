package loop

import "sync"

// Stats are the counters of a loop. They only grow, except where a comment says otherwise.
type Stats struct {
	Turns, Reads, ReadBytes  uint64
	Opened                   uint64 // connections adopted
	Joins, Leaves            uint64
	Accepted                 uint64 // publications of own connections
	Appended                 uint64 // publications taken from the bus for a room with members
	Rolled                   uint64 // those among them that joined a batch of which some members had a part already
	Expected, Delivered      uint64 // frames, one per member
	Writes, WrittenBytes     uint64 // sends of the fan-out
	Lags, Stalls, Pauses     uint64 // backlogs begun, rooms stalled, readers paused
	Dropped, Ended           [NumReasons]uint64
	InputBytes               int64 // bytes copied because parsing had to stop
	UnparsedBytes            int64 // now: those of them that still wait
	Conns, Rooms, Timers     int   // now
	LaggingConns, PausedNow  int   // now
	LoadBytes                int64 // now: inbox and batches
	InFlight                 uint64
	BacklogBytes, BacklogMax int64 // at the last tick: frames waiting for lagging members, counted per member; the largest
}

// ledger is the counters of a loop.
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
