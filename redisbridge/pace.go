package redisbridge

import (
	"sync/atomic"
	"time"
)

// pace is the time that an answer may take: eight times the usual time, doubled for each answer that did not come, within limits.
type pace struct {
	low, high time.Duration
	now       atomic.Int64
	mean      atomic.Int64 // mean time that answers took
}

func (p *pace) init(low, high time.Duration) {
	p.low, p.high = low, high
	p.now.Store(int64(low))
}

func (p *pace) timeout() time.Duration { return time.Duration(p.now.Load()) }

// took notes the time that an answer took.
func (p *pace) took(d time.Duration) {
	mean := p.mean.Load()
	mean += (int64(d) - mean) / 8
	p.mean.Store(mean)
	p.now.Store(int64(p.usual()))
}

// ranOut notes that an answer did not come in time.
func (p *pace) ranOut() { p.now.Store(min(2*p.now.Load(), int64(p.high))) }

// usual returns the time limit without the doubling for missing answers.
func (p *pace) usual() time.Duration {
	return min(max(8*time.Duration(p.mean.Load()), p.low), p.high)
}

// overdue reports whether an answer counts as lost. If no data has come for longer than answers take, the answer counts as lost.
// If other data keeps coming, the answer counts as lost only after a much longer wait, because on a slow connection much data may
// be ahead of the answer.
func (t *times) overdue(waited, silent time.Duration) bool {
	limit := t.pace.timeout()
	return min(waited, silent) > limit || waited > talkative*limit
}

// talkative is the factor by which an answer may take longer while other data is heard.
const talkative = 10
