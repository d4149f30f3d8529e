package redisbridge

import (
	"sync/atomic"
	"time"
)

// pace is how long an answer may take: eight times what answers take, doubled each time that one did not come, within limits.
type pace struct {
	low, high time.Duration
	now       atomic.Int64
	mean      atomic.Int64 // of what answers took
}

func (p *pace) init(low, high time.Duration) {
	p.low, p.high = low, high
	p.now.Store(int64(low))
}

func (p *pace) timeout() time.Duration { return time.Duration(p.now.Load()) }

// took notes an answer.
func (p *pace) took(d time.Duration) {
	mean := p.mean.Load()
	mean += (int64(d) - mean) / 8
	p.mean.Store(mean)
	p.now.Store(int64(p.usual()))
}

// ranOut notes an answer that did not come.
func (p *pace) ranOut() { p.now.Store(min(2*p.now.Load(), int64(p.high))) }

// usual is the limit without the doubling for answers that did not come.
func (p *pace) usual() time.Duration {
	return min(max(8*time.Duration(p.mean.Load()), p.low), p.high)
}

// overdue reports that an answer does not come any more: it has been waited for, and nothing was heard, for longer than answers take;
// or something else comes all the time (over a slow way much may stand before it), and for far too long.
func (t *times) overdue(waited, silent time.Duration) bool {
	limit := t.pace.timeout()
	return min(waited, silent) > limit || waited > talkative*limit
}

// talkative is how much longer an answer may take while other things are heard.
const talkative = 10
