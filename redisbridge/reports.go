package redisbridge

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// reports holds the state of a bridge for the log, the metrics and readiness. Any goroutine.
type reports struct {
	cfg     *Config
	log     *zap.Logger
	journal journal
	stats   stats
	began   time.Time

	trouble atomic.Pointer[string] // the newest error since the last round trip, nil if there is none
	spoke   atomic.Int64           // time from began to the last log line about an error; 0: none since the last round trip
	away    atomic.Int64           // time from began to the first error after the last round trip; 0: none
	closed  atomic.Bool            // from now on, errors do not count
}

// troubleLines is the minimum time between two log lines about errors of Redis.
const troubleLines = time.Second

// failed remembers err as the newest error for Ready, and logs at most one error a second.
func (r *reports) failed(err error) {
	if err == nil || r.closed.Load() || errors.Is(err, context.Canceled) || errors.Is(err, errAway) { // the reason for errAway was logged already
		return
	}
	text := strings.ToValidUTF8(err.Error(), "?")
	r.trouble.Store(&text)
	now, last := int64(time.Since(r.began)), r.spoke.Load()
	r.away.CompareAndSwap(0, now)
	if (last == 0 || now-last > int64(troubleLines)) && r.spoke.CompareAndSwap(last, now) {
		r.log.Warn("redis: error", zap.String("what", text))
	}
}

// relieved forgets the error if every lane has had a round trip since the error. proven is the result of Bridge.proven.
func (r *reports) relieved(proven time.Duration) {
	since := r.away.Load()
	if since == 0 || int64(proven) <= since || !r.away.CompareAndSwap(since, 0) {
		return
	}
	r.trouble.Store(nil)
	if r.spoke.Swap(0) > 0 {
		r.log.Info("redis: works again", zap.Duration("after", (time.Since(r.began)-time.Duration(since)).Round(time.Millisecond)))
	}
}

// why returns the newest error as a suffix for another text, or "" if there is none.
func (r *reports) why() string {
	if p := r.trouble.Load(); p != nil {
		return ": " + *p
	}
	return ""
}

// gap announces that messages may not have reached members here. Any goroutine.
func (r *reports) gap(g Gap) {
	r.stats.gaps.Add(1)
	r.stats.lost.Add(g.Lost)
	r.journal.write(note{
		level: zap.WarnLevel, message: "redis: gap, members on this node may have missed messages", reason: g.Reason, unit: "batches_lost", count: g.Lost,
	}, g.Lane)
	if r.cfg.OnGap != nil {
		r.cfg.OnGap(g)
	}
}

func (r *reports) laneDown(lane, unsettled int, err error) {
	reason := "the hold time of " + r.cfg.Hold.String() + " is over, so --redis-down=" + string(r.cfg.Down) + " applies"
	if err != nil {
		reason += ": " + err.Error()
	}
	r.journal.write(note{level: zap.WarnLevel, message: "redis: lanes are down", reason: reason, unit: "publications", count: uint64(unsettled)}, lane)
}

// laneBack logs that Redis takes the lane's publications again. local is the number of publications that were delivered only on
// this node.
func (r *reports) laneBack(lane int, local uint64) {
	r.journal.write(note{level: zap.InfoLevel, message: "redis: lanes are up again", unit: "delivered_here_alone", count: local}, lane)
}
