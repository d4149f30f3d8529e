package redisbridge

import (
	"sync/atomic"
	"time"
)

// awake is a clock that stands still while this process does. A process that was stopped, or whose machine pauses or swaps, must
// not mistake its own stop for an outage of Redis. Otherwise it would give up messages that Redis would take.
type awake struct {
	now  atomic.Int64
	last time.Time // of the last tick; only the watch uses it
}

// tick is how often the clock is advanced. If more than two ticks have passed since the last time, only two are counted.
const tick = 50 * time.Millisecond

func (a *awake) read() time.Duration { return time.Duration(a.now.Load()) }

// wind adds the time since the last call. One goroutine.
func (a *awake) wind(now time.Time) {
	if !a.last.IsZero() {
		a.now.Add(int64(min(now.Sub(a.last), 2*tick)))
	}
	a.last = now
}

// times is the clocks of a bridge, and how long an answer may take.
type times struct {
	began time.Time
	awake awake
	pace  pace
}
