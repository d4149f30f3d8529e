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
		{"dots_redis_lanes_down", "gauge", "Lanes whose messages are handled by --redis-down, because Redis has been away for longer than --redis-hold.", func() float64 { return float64(b.lanes.down()) }},
		{"dots_redis_lanes_listening", "gauge", "Lanes whose subscription Redis has confirmed.", func() float64 { return float64(b.lanes.listening()) }},
		{"dots_redis_round_trip_age_seconds", "gauge", "Age of the last proven round trip through Redis.", func() float64 { return b.roundTripAge().Seconds() }},
		{"dots_redis_down", "gauge", "1 while dots_redis_round_trip_age_seconds is above --redis-ready-after: the node is not ready, or with --redis-down=local it serves alone.", func() float64 { return oneIf(b.roundTripAge() > b.cfg.Stale) }},
		{"dots_redis_evicting", "gauge", "1 if a Redis server has a maxmemory-policy other than noeviction: it may evict messages that nodes have not read yet.", func() float64 { return oneIf(b.eviction.policy.Load() != nil) }},
		{"dots_redis_evicted_keys", "gauge", "Keys that the Redis servers have evicted since their last start.", func() float64 { return float64(b.eviction.evicted.Load()) }},
		{"dots_redis_call_timeout_seconds", "gauge", "Current timeout of a call to Redis; the timeout adapts to the duration of the calls.", func() float64 { return b.pace.timeout().Seconds() }},
		{"dots_redis_log_reach_seconds", "gauge", "Age of the oldest batch in the shortest log of all lanes. A node that is away for longer than this misses messages. 0: unknown.", func() float64 { return b.lanes.reach().Seconds() }},
		{"dots_redis_held_bytes", "gauge", "Bytes of publications that wait for Redis or are on their way through Redis.", func() float64 { return float64(b.held.bytes.Load()) }},
		total("dots_redis_publications_total", "Publications that Redis accepted; this value divided by dots_redis_batches_total is the mean size of a batch.", &b.stats.published),
		total("dots_redis_batches_total", "Batches that Redis accepted.", &b.stats.batches),
		total("dots_redis_calls_total", "Calls to Redis that publish batches, including retries.", &b.stats.calls),
		total("dots_redis_call_failures_total", "Failed calls to Redis among those of dots_redis_calls_total.", &b.stats.failures),
		{"dots_redis_call_seconds_total", "counter", "Total duration of all calls of dots_redis_calls_total; this value divided by the number of calls is the mean duration of a call.", func() float64 { return time.Duration(b.stats.callNanos.Load()).Seconds() }},
		total("dots_redis_received_total", "Publications received from Redis, of this node and of other nodes.", &b.stats.received),
		total("dots_redis_refilled_batches_total", "Batches that this node had missed and read from the log in Redis.", &b.stats.refilled),
		total("dots_redis_gaps_total", "Gaps that this node announced: members on this node may have missed messages.", &b.stats.gaps),
		total("dots_redis_lost_total", "Losses that this node found: the number of lost batches plus the number of lost publications of its own members.", &b.stats.lost),
		total("dots_redis_rejected_total", "Publications refused; their senders were closed with 4104.", &b.stats.rejected),
		total("dots_redis_local_total", "Publications delivered only to members on this node, because of --redis-down=local.", &b.stats.local),
		total("dots_redis_reconnects_total", "Connections to Redis that ended or could not be made, each followed by another attempt.", &b.stats.reconnects),
		total("dots_redis_epochs_total", "New epochs that this node began in a lane: on an empty Redis, or because Redis had lost data.", &b.stats.minted),
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
	calls, failures, callNanos                   atomic.Uint64 // calls of publish.lua: their number, the failed ones, and the time that they took
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

// reach is the time for which the log of every lane reaches back; the lane with the shortest log decides. 0: unknown.
func (all lanes) reach() (shortest time.Duration) {
	for _, l := range all {
		if reach := time.Duration(l.reach.Load()) * time.Second; reach > 0 && (shortest == 0 || reach < shortest) {
			shortest = reach
		}
	}
	return shortest
}
