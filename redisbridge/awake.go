package redisbridge

import (
	"sync/atomic"
	"time"
)

// awake is a clock that stands still while this process does. A process that is stopped, or whose machine is paused or swaps,
// must not take its own standstill for an outage of Redis: it would give up messages that Redis is waiting for.
type awake struct {
	now  atomic.Int64
	last time.Time // of the last tick; the watch's
}

// tick is how often the clock is wound. If more than two ticks have passed since the last time, two are counted.
const tick = 50 * time.Millisecond

func (a *awake) read() time.Duration { return time.Duration(a.now.Load()) }

// wind goes on by the time since the last call. One goroutine.
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
