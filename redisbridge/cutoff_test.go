package redisbridge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dotsconnect/loop"
)

// startPair makes two nodes on one Redis, under traffic. The second node has its own connection through a wire. The first node
// must not lose its connection, so its timeouts are long enough for a busy machine.
func startPair(t *testing.T, s *redisServer, hold time.Duration, down Policy) (a, b *testNode, l *wire) {
	t.Helper()
	l = startWire(t, s.addr())
	cfg := testConfig(s.url())
	cfg.Hold, cfg.Down, cfg.LogBytes = time.Minute, down, 4<<20
	a = startNode(t, cfg, 1)
	cfg.URL, cfg.Hold = l.url(), hold
	return a, startNode(t, cfg, 1), l
}

// TestTwoNodesCutOffFromEachOtherMerge: only one of the two nodes has lost its connection to Redis. Both masters are alive, and
// clients send to both.
func TestTwoNodesCutOffFromEachOtherMerge(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		hold time.Duration
		down Policy
	}{
		"held": {30 * time.Second, Reject}, "reject": {1500 * time.Millisecond, Reject}, "local": {1500 * time.Millisecond, Local},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, l := startPair(t, startRedis(t), row.hold, row.down)
			tr := startTraffic(t, a, b)
			tr.flows()
			l.hole()
			eventually(t, "the node that is cut off says so, and has followed the policy", func() bool {
				st := &b.bridge.stats
				return (b.bridge.Ready() != nil) == (row.down == Reject) && (b.bridge.Alone() != "") == (row.down == Local) && (name == "held" || st.rejected.Load()+st.local.Load() > 0)
			})
			eventually(t, "the other one is ready", func() bool { return a.bridge.Ready() == nil })
			l.heal()
			v := tr.calm()
			t.Logf("\n%s\n%s", tableHead, v.row("one of two cut off, "+name))
			if v.doubled > 0 || v.reordered > 0 && row.down == Reject { // under local, the members on the sender's node have another order
				t.Errorf("%d doubled, %d reordered", v.doubled, v.reordered)
			}
			switch {
			case row.down == Reject && v.lost > 0:
				t.Errorf("%d lost", v.lost)
			case row.down == Local && (v.lost == 0 || b.gaps.Load() == 0):
				t.Errorf("%d lost, %d gaps: messages to the members of one node must not come to the other, and must be announced", v.lost, b.gaps.Load())
			}
			if (v.rejected > 0) != (name == "reject") || a.bridge.stats.local.Load() > 0 {
				t.Errorf("%d refused, %d local on the node that was not cut off", v.rejected, a.bridge.stats.local.Load())
			}
		})
	}
}

// TestANodeThatStopsReadingIsCutAndRefilled: Redis ends the connection of a subscriber that reads nothing; the node must read
// the missed batches from the log.
func TestANodeThatStopsReadingIsCutAndRefilled(t *testing.T) {
	t.Parallel()
	s := startRedis(t, "--client-output-buffer-limit", "pubsub 1mb 512kb 1")
	l := startWire(t, s.addr())
	cfg := testConfig(s.url())
	cfg.Down, cfg.Hold, cfg.LogBytes = Reject, 30*time.Second, 64<<20
	cfg.Silence = 30 * time.Second // long, so that Redis notices the connection before the node does
	a := startNode(t, cfg, 1)
	cfg.URL = l.url()
	b := startNode(t, cfg, 1)
	m := b.join("chat/x", 0)
	b.ready()
	l.set(wireMode{rate: 1000})
	const messages = 1000
	for i := range messages {
		for a.bridge.held.full.Load() {
			time.Sleep(time.Millisecond)
		}
		a.node.Publish("chat/x", 0, loop.KindText, []byte(fmt.Sprint(i, " ", strings.Repeat("x", 20<<10))))
	}
	if err := a.bridge.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Redis cuts it off", func() bool {
		text, _ := os.ReadFile(filepath.Join(s.dir, "redis.log"))
		return strings.Contains(string(text), "output buffer limits")
	})
	l.heal()
	lost := func() uint64 { return b.bridge.stats.lost.Load() }
	eventually(t, "the last one arrives", func() bool {
		got := m.frames()
		return len(got) > 0 && strings.HasPrefix(got[len(got)-1], fmt.Sprint(messages-1, " "))
	})
	last := -1
	for _, text := range m.frames() {
		var i int
		fmt.Sscanf(text, "%d ", &i)
		if i != last+1 {
			t.Fatalf("after %d comes %d; %d batches announced as lost", last, i, lost())
		}
		last = i
	}
	if lost() > 0 || b.gaps.Load() > 0 {
		t.Errorf("%d gaps", b.gaps.Load())
	}
}

// TestWhatIsLostWhileANodeIsAwayIsAnnouncedThere: Redis loses all its data while one node is cut off. This node cannot read the
// missed messages; it must announce a gap, and go on.
func TestWhatIsLostWhileANodeIsAwayIsAnnouncedThere(t *testing.T) {
	t.Parallel()
	lose := map[string]func(s *redisServer){
		"restart without data":        func(s *redisServer) { s.kill(); s.remove(); s.start() },
		"FLUSHALL":                    func(s *redisServer) { s.do("FLUSHALL") },
		"restart with an older dump":  func(s *redisServer) { s.kill(); s.start() },
		"the log of all lanes":        func(s *redisServer) { s.forAll("log") },
		"the counters of all lanes":   func(s *redisServer) { s.forAll("state") },
		"more than the log reaches":   nil,
		"nothing, within what it has": nil,
	}
	for name, strike := range lose {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startRedis(t)
			a, b, l := startPair(t, s, 60*time.Second, Reject)
			here, there := a.join("chat/x", 0), b.join("chat/x", 0)
			a.ready()
			b.ready()
			here.say("before")
			eventually(t, "both have it", func() bool { return len(here.frames())+len(there.frames()) == 2 })
			s.do("SAVE")
			l.hole()
			before := b.bridge.stats.reconnects.Load()
			eventually(t, "the connection is given up", func() bool { return b.bridge.stats.reconnects.Load() > before })
			here.say("missed")
			eventually(t, "it arrives here", func() bool { return len(here.frames()) == 2 })
			switch {
			case strike != nil:
				strike(s)
			case strings.HasPrefix(name, "more"):
				fill(t, a, "chat/x", 6<<20)
			}
			gaps := a.gaps.Load()
			here.say("after") // while the other is still away
			eventually(t, "it arrives here", func() bool { got := here.frames(); return got[len(got)-1] == "after" })
			l.heal()
			eventually(t, "it arrives there", func() bool { got := there.frames(); return got[len(got)-1] == "after" })
			missed := true
			for _, text := range there.frames() {
				missed = missed && text != "missed"
			}
			eventually(t, "every gap that is counted is told", func() bool { return b.bridge.stats.gaps.Load() == b.gaps.Load() })
			announced := b.gaps.Load() > 0
			t.Logf("missed %v, %d gaps there, %d here, %s", missed, b.gaps.Load(), gaps, figures(b.bridge))
			if missed != announced && !(strike != nil && announced) { // a node that is not sure announces a gap, too
				t.Errorf("missed %v, announced %v", missed, announced)
			}
			if nothing := strings.HasPrefix(name, "nothing"); missed == nothing {
				t.Errorf("missed is %v: the test does not do what it says", missed)
			}
		})
	}
}

// forAll deletes the keys of one kind in all lanes.
func (s *redisServer) forAll(kind string) {
	for _, key := range keysOf(s) {
		if strings.HasSuffix(key, ":"+kind) {
			s.do("DEL", key)
		}
	}
}

// fill publishes the given number of bytes into a room, and waits until all of them have come back.
func fill(t *testing.T, n *testNode, room string, bytes int) {
	t.Helper()
	const size = 64 << 10
	for range bytes / size {
		for n.bridge.held.full.Load() {
			time.Sleep(time.Millisecond)
		}
		n.node.Publish(room, 0, loop.KindText, make([]byte, size))
	}
	if err := n.bridge.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}
