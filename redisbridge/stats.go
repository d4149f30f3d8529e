package redisbridge

import "time"

// Stats are the figures of a bridge. Those with a plural noun only grow.
type Stats struct {
	Lanes, LanesDown, LanesListening   int
	Ready                              bool
	RoundTripAge                       time.Duration // of the last round trip that was proven
	LogReach                           time.Duration // back to which everything can be read again, in the lane with the least; 0: unknown
	HeldBytes                          int64         // publications queued or on their way
	Published                          uint64        // publications that Redis took
	Batches                            uint64        // calls that took them
	Calls, Failures                    uint64        // of the script
	CallTime                           time.Duration // of all calls together
	CallTimeout                        time.Duration // now
	Received, Refilled                 uint64        // publications delivered; batches read from the log
	Gaps, Lost                         uint64        // announced; batches or own publications known to be lost
	Rejected, Local                    uint64        // publications, by policy
	Reconnects, Epochs, ForeignEntries uint64
	Evicting                           bool   // a Redis may evict keys when its memory is full
	Evicted                            uint64 // keys; of now, it falls when a Redis is started again
}

// Stats reads the figures. Any goroutine.
func (b *Bridge) Stats() Stats {
	s := Stats{
		Lanes: len(b.lanes), Ready: b.Ready() == nil, HeldBytes: b.held.bytes.Load(),
		RoundTripAge: time.Since(b.times.began) - b.proven(),
		Published:    b.stats.published.Load(), Batches: b.stats.batches.Load(),
		Calls: b.store.calls.Load(), Failures: b.store.failures.Load(), CallTime: time.Duration(b.store.nanos.Load()), CallTimeout: b.pace.timeout(),
		Received: b.stats.received.Load(), Refilled: b.stats.refilled.Load(), Gaps: b.stats.gaps.Load(), Lost: b.stats.lost.Load(),
		Rejected: b.stats.rejected.Load(), Local: b.stats.local.Load(), Reconnects: b.stats.reconnects.Load(),
		Epochs: b.stats.minted.Load(), ForeignEntries: b.stats.foreign.Load(),
		Evicting: b.eviction.policy.Load() != nil, Evicted: b.eviction.evicted.Load(),
	}
	for _, l := range b.lanes {
		if l.isDown() {
			s.LanesDown++
		}
		if l.server() != nil {
			s.LanesListening++
		}
		if reach := time.Duration(l.reach.Load()) * time.Second; reach > 0 && (s.LogReach == 0 || reach < s.LogReach) {
			s.LogReach = reach
		}
	}
	return s
}
