package redisbridge

import (
	"sync/atomic"
	"time"
)

// A Metric is one figure of a bridge for a monitoring system. Any goroutine may call Value.
type Metric struct {
	Name  string // ends in _total for a counter
	Type  string // "counter" or "gauge"
	Help  string
	Value func() float64
}

// Metrics lists all metrics of the bridge. A zero Bridge returns the same list, but has no values.
func (b *Bridge) Metrics() []Metric {
	return []Metric{
		{"dots_redis_lanes", "gauge", "Lanes into which the rooms are divided.", func() float64 { return float64(len(b.lanes)) }},
		{"dots_redis_lanes_down", "gauge", "Lanes that follow --redis-down, because Redis was away for longer than --redis-hold.", func() float64 { return float64(b.lanes.down()) }},
		{"dots_redis_lanes_listening", "gauge", "Lanes with a confirmed subscription.", func() float64 { return float64(b.lanes.listening()) }},
		{"dots_redis_round_trip_age_seconds", "gauge", "Age of the last proven round trip through Redis.", func() float64 { return b.roundTripAge().Seconds() }},
		{"dots_redis_down", "gauge", "1 while dots_redis_round_trip_age_seconds is above --redis-ready-after: the node is not ready, or with --redis-down=local it serves alone.", func() float64 { return oneIf(b.roundTripAge() > b.cfg.Stale) }},
		{"dots_redis_evicting", "gauge", "1 if a Redis has a maxmemory-policy other than noeviction: it may evict messages that nodes have not read yet.", func() float64 { return oneIf(b.eviction.policy.Load() != nil) }},
		{"dots_redis_evicted_keys", "gauge", "Keys that the Redis servers have evicted since they were started.", func() float64 { return float64(b.eviction.evicted.Load()) }},
		{"dots_redis_call_timeout_seconds", "gauge", "Current timeout of a call; it adapts to the time that calls take.", func() float64 { return b.pace.timeout().Seconds() }},
		{"dots_redis_log_reach_seconds", "gauge", "How far back the shortest log of all lanes reaches: a node that is away for longer misses messages. 0: unknown.", func() float64 { return b.lanes.reach().Seconds() }},
		{"dots_redis_held_bytes", "gauge", "Bytes of publications that wait for Redis or are on their way through it.", func() float64 { return float64(b.held.bytes.Load()) }},
		total("dots_redis_publications_total", "Publications that Redis took; divided by dots_redis_batches_total it gives the size of a batch.", &b.stats.published),
		total("dots_redis_batches_total", "Batches that Redis took.", &b.stats.batches),
		total("dots_redis_calls_total", "Calls of the script, retries included.", &b.stats.calls),
		total("dots_redis_call_failures_total", "Calls of the script that failed.", &b.stats.failures),
		{"dots_redis_call_seconds_total", "counter", "Time of all calls; divided by dots_redis_calls_total it gives the time to publish.", func() float64 { return time.Duration(b.stats.callNanos.Load()).Seconds() }},
		total("dots_redis_received_total", "Publications that came back from Redis, those of other nodes included.", &b.stats.received),
		total("dots_redis_refilled_batches_total", "Batches that were missed and read from the log.", &b.stats.refilled),
		total("dots_redis_gaps_total", "Gaps announced: members on this node may have missed messages.", &b.stats.gaps),
		total("dots_redis_lost_total", "Batches, or publications of this node, that are known to be lost.", &b.stats.lost),
		total("dots_redis_rejected_total", "Publications refused with 4104.", &b.stats.rejected),
		total("dots_redis_local_total", "Publications delivered on this node alone.", &b.stats.local),
		total("dots_redis_reconnects_total", "Connections to Redis that ended or could not be made, each followed by another attempt.", &b.stats.reconnects),
		total("dots_redis_epochs_total", "New epochs of a lane that this node had to begin.", &b.stats.minted),
	}
}

func total(name, help string, n *atomic.Uint64) Metric {
	return Metric{name, "counter", help, func() float64 { return float64(n.Load()) }}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// stats are counters that only grow.
type stats struct {
	received, refilled, rejected, local, foreign atomic.Uint64
	published, batches                           atomic.Uint64
	gaps, lost, reconnects, minted               atomic.Uint64
	calls, failures, callNanos                   atomic.Uint64 // of publish.lua
}

// roundTripAge is the age of the last proven round trip.
func (b *Bridge) roundTripAge() time.Duration { return time.Since(b.times.began) - b.proven() }

// lanes holds the lanes of a bridge, by number.
type lanes []*lane

func (all lanes) down() (n int) {
	for _, l := range all {
		if l.isDown() {
			n++
		}
	}
	return n
}

func (all lanes) listening() (n int) {
	for _, l := range all {
		if l.server() != nil {
			n++
		}
	}
	return n
}

// reach is how far back every lane can be read from its log; the lane with the shortest log decides. 0: unknown.
func (all lanes) reach() (shortest time.Duration) {
	for _, l := range all {
		if reach := time.Duration(l.reach.Load()) * time.Second; reach > 0 && (shortest == 0 || reach < shortest) {
			shortest = reach
		}
	}
	return shortest
}
