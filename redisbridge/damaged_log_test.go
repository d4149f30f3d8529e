package redisbridge

import (
	"strings"
	"testing"
	"time"

	"dotsconnect/loop"
)

// publications makes publications for a room.
func publications(room string, values ...string) (pubs []*loop.Publication) {
	for _, v := range values {
		pubs = append(pubs, &loop.Publication{Room: room, Value: []byte(v)})
	}
	return pubs
}

// TestWhatIsDamagedInAnIdleLaneHeals: the node finds and repairs the damage by itself, although nobody publishes in the lane.
func TestWhatIsDamagedInAnIdleLaneHeals(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Lanes = 1
	a := startNode(t, cfg, 1)
	m := a.join("chat/x", 0)
	a.ready()
	state, log := a.bridge.store.names.state(0), a.bridge.store.names.log(0)
	own := "n:" + a.bridge.node.String()
	count := 0
	for _, row := range []struct {
		name string
		do   []any
	}{
		{"e is gone", []any{"HDEL", state, "e"}}, {"s is gone", []any{"HDEL", state, "s"}}, {"f is gone", []any{"HDEL", state, "f"}},
		{"e is short", []any{"HSET", state, "e", "123"}}, {"e is not a number", []any{"HSET", state, "e", "xxxxxxxxxxxxxxxx"}},
		{"s is not a number", []any{"HSET", state, "s", "many"}}, {"s is negative", []any{"HSET", state, "s", "-1"}},
		{"f is not a number", []any{"HSET", state, "f", "x"}}, {"p, t, b and o are no numbers", []any{"HSET", state, "p", "x", "t", "x", "b", "x", "o", "x"}},
		{"the batch of the node is none", []any{"HSET", state, own, "x"}}, {"the old epochs are none", []any{"HSET", state, "h", "../../x"}},
		{"the state is gone", []any{"DEL", state}}, {"the log is gone", []any{"DEL", log}},
		{"the log has an entry more", []any{"XADD", log, "*", "b", "x"}},
	} {
		s.do(row.do...)
		probe := a.bridge.lanes[0].counted
		if !waitFor(20*time.Second, func() bool {
			at, err := probe()
			return err == nil && a.bridge.lanes[0].position() == at && a.bridge.Ready() == nil
		}) {
			at, err := probe()
			t.Fatalf("%s: Redis says %v, %v; the lane is at %v, ready: %v", row.name, at, err, a.bridge.lanes[0].position(), a.bridge.Ready())
		}
		m.say(row.name)
		count++
		eventually(t, row.name+": a message arrives", func() bool { return m.count() == count })
	}
}

// TestAKeyOfAnotherTypeIsNamed: the node cannot repair a key that has another type. The text of the error must name the key and
// say what to do.
func TestAKeyOfAnotherTypeIsNamed(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Lanes, cfg.Down, cfg.Hold = 1, Reject, time.Minute
	a := startNode(t, cfg, 1)
	m := a.join("chat/x", 0)
	a.ready()
	names := a.bridge.store.names
	for i, key := range []string{names.state(0), names.log(0), names.meta(), names.nodes()} {
		s.do("EVAL", "redis.call('DEL', KEYS[1]) redis.call('LPUSH', KEYS[1], 'x')", 1, key) // in one step, because the node makes the key again
		m.say(key)
		eventually(t, "the trouble names "+key, func() bool {
			text := a.bridge.trouble.Load()
			return text != nil && strings.Contains(*text, key) && strings.Contains(*text, "DEL ")
		})
		s.do("DEL", key)
		eventually(t, key+" is made again, and the message arrives", func() bool { return m.count() == i+1 && a.bridge.Ready() == nil })
	}
}
