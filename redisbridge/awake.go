package redisbridge

import (
	"sync/atomic"
	"time"
)

// awake is a clock that stands still while this process does not run. A process that was stopped, or whose machine paused or
// swapped, must not mistake its own standstill for an outage of Redis. Otherwise it would give up messages that Redis would
// still take.
type awake struct {
	now  atomic.Int64
	last time.Time // time of the last tick; only the watch goroutine uses it
}

// tick is the time between two advances of the clock. If more than two ticks have passed since the last advance, only two are
// counted.
const tick = 50 * time.Millisecond

func (a *awake) read() time.Duration { return time.Duration(a.now.Load()) }

// wind adds the time since the last call of wind. Only one goroutine may call it.
func (a *awake) wind(now time.Time) {
	if !a.last.IsZero() {
		a.now.Add(int64(min(now.Sub(a.last), 2*tick)))
	}
	a.last = now
}

// times holds the clocks of a bridge, and how long an answer may take.
type times struct {
	began time.Time
	awake awake
	pace  pace
}
