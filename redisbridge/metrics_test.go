package redisbridge

import "testing"

// metric returns the current value of a metric of the bridge.
func (n *testNode) metric(name string) float64 {
	n.t.Helper()
	for _, m := range n.bridge.Metrics() {
		if m.Name == name {
			return m.Value()
		}
	}
	n.t.Fatalf("the bridge has no metric %s", name)
	return 0
}

func TestMetricsOfTheBridgeTellWhatHappened(t *testing.T) {
	t.Parallel()
	w := startWire(t, startRedis(t).addr())
	n := startNode(t, testConfig(w.url()), 1)
	m := n.join("chat/x", 0)
	n.ready()
	m.say("hello")
	eventually(t, "the message arrives", func() bool { return m.count() == 1 })
	for name, want := range map[string]float64{
		"dots_redis_lanes": 4, "dots_redis_down": 0, "dots_redis_received_total": 1, "dots_redis_gaps_total": 0,
	} {
		if got := n.metric(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	// The message can arrive before the answer to the call that published it.
	eventually(t, "Redis has accepted one batch of one message", func() bool {
		return n.metric("dots_redis_calls_total") >= 1 && n.metric("dots_redis_batches_total") == 1 && n.metric("dots_redis_publications_total") == 1
	})

	before := n.metric("dots_redis_reconnects_total")
	w.cut()
	eventually(t, "the node connects again", func() bool { return n.metric("dots_redis_reconnects_total") > before })
}
