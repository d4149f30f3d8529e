package redisbridge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dotsconnect/loop"
)

// TestTheReachOfTheLogIsWhatItHas: all batches within the reported reach must be in the log, and the reach must shrink when the
// log loses its older generation.
func TestTheReachOfTheLogIsWhatItHas(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Lanes, cfg.LogBytes, cfg.BatchMessages = 1, 40<<10, 1
	a := startNode(t, cfg, 1)
	a.ready()
	state := a.bridge.store.names.state(0)
	eventually(t, "it grows from the first batch on", func() bool { return a.bridge.lanes.reach() > 2*time.Second })
	say := func(n int) {
		for i := range n {
			a.node.Publish("chat/x", 0, loop.KindText, []byte(fmt.Sprint(i, strings.Repeat("x", 1000))))
		}
		if err := a.bridge.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	say(5)
	if got := a.bridge.lanes.reach(); got < 2*time.Second {
		t.Errorf("the log lost nothing, and reaches %v", got)
	}
	say(80) // so much that the log has several generations
	eventually(t, "it shrinks", func() bool { return a.bridge.lanes.reach() < 2*time.Second })
	if first := fmt.Sprint(s.do("HGET", state, "f")); first == "1" {
		t.Error("the log has lost nothing: the test does not do what it says")
	}
	second := func() string { return fmt.Sprint(s.do("TIME").([]any)[0]) } // the time by the clock that Redis uses for the log
	now := second()
	eventually(t, "another second begins", func() bool { return second() != now })
	before := s.do("HGET", state, "t")
	say(30)
	if o, f := s.do("HGET", state, "o"), s.do("HGET", state, "f"); fmt.Sprint(o) < fmt.Sprint(before) {
		t.Errorf("the log begins with %v of %v, and the generation that is the older one now began at %v", f, o, before)
	}
}

// TestTheLogIsReadToItsEndAfterReadsThatRanOut: after each read that times out, the node asks for a smaller page. The smallest
// page has only one batch, the batch at the cursor.
func TestTheLogIsReadToItsEndAfterReadsThatRanOut(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	l := startWire(t, s.addr())
	cfg := testConfig(s.url())
	cfg.Lanes, cfg.Down, cfg.Hold = 1, Reject, time.Minute
	a := startNode(t, cfg, 1)
	cfg.URL, cfg.CallMax = l.url(), 300*time.Millisecond
	b := startNode(t, cfg, 1)
	here, there := a.join("chat/x", 0), b.join("chat/x", 0)
	a.ready()
	b.ready()
	here.say("before")
	eventually(t, "it arrives", func() bool { return there.count() == 1 })
	l.hole()
	const batches = 10
	for i := range batches {
		here.say(fmt.Sprint(i))
		eventually(t, "it arrives here", func() bool { return here.count() == i+2 })
	}
	b.bridge.lanes[0].poke()
	time.Sleep(6 * cfg.CallMax) // time for reads of 64, 16, 4 and 1 batch
	l.heal()
	eventually(t, "everything arrives there", func() bool { return there.count() == batches+1 || b.gaps.Load() > 0 })
	if n := b.gaps.Load(); n > 0 {
		t.Errorf("%d gaps, %d of %d arrived, and the log has all", n, there.count(), batches+1)
	}
}
