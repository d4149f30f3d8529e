package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
)

func TestTheCheckerFindsWhatIsWrong(t *testing.T) {
	tr := &traffic{t: t}
	all := map[string]bool{"0.1.1": true, "0.1.2": true, "0.1.3": true, "1.1.1": true}
	good := []string{"0.1.1", "1.1.1", "0.1.2", "0.1.3"}
	for name, row := range map[string]struct {
		got  []string
		want verdicts
	}{
		"right":                 {good, verdicts{}},
		"one lost":              {good[1:], verdicts{lost: 1}},
		"one twice":             {append(good, "1.1.1"), verdicts{doubled: 1}},
		"a sender out of order": {[]string{"0.1.2", "0.1.1", "1.1.1", "0.1.3"}, verdicts{reordered: 2}},
		"another order":         {[]string{"1.1.1", "0.1.1", "0.1.2", "0.1.3"}, verdicts{reordered: 1}},
	} {
		var v verdicts
		tr.judge(&v, all, []*member{{got: good}, {got: row.got}})
		if v != row.want {
			t.Errorf("%s: got %+v, want %+v", name, v, row.want)
		}
	}
}

func TestANodeThatDiffersRefusesToStartAndNamesBoth(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	startNode(t, testConfig(s.url()), 1)
	cfg := testConfig(s.url())
	cfg.Lanes = 7
	_, err := Connect(t.Context(), cfg, zap.NewNop())
	if !errors.Is(err, ErrDiffers) || MayPass(err) || !strings.Contains(err.Error(), "have 4 lanes") || !strings.Contains(err.Error(), "set to 7") {
		t.Errorf("got %v", err)
	}
	cfg.Lanes = 0
	b, err := Connect(t.Context(), cfg, zap.NewNop())
	if err != nil || b.Lanes() != 4 {
		t.Fatalf("a node without an opinion: %v", err)
	}
	b.Close()
	s.do("SET", "dots:meta", "v3 lanes=4 key=00000000000000000000000000000000")
	if _, err = Connect(t.Context(), cfg, zap.NewNop()); !errors.Is(err, ErrDiffers) || MayPass(err) {
		t.Errorf("another format: got %v", err)
	}
}

func TestConnectSaysThatThereIsNoRedis(t *testing.T) {
	t.Parallel()
	cfg := testConfig("redis://:secret@127.0.0.1:1")
	_, err := Connect(t.Context(), cfg, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// TestWithoutRedisUnderLocal checks that without Redis the loops go on and this node delivers to its own members. When Redis is
// back, all members must get one order again.
func TestWithoutRedisUnderLocal(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Hold, cfg.Down = 500*time.Millisecond, Local
	a, b := startNode(t, cfg, 1), startNode(t, cfg, 1)
	speaker, here, there := a.join("chat/x", 0), a.join("chat/x", 0), b.join("chat/x", 0)
	a.ready()
	b.ready()
	n := 0
	latency := func(when string) {
		var all []time.Duration
		for range 20 {
			n++
			have, began := len(here.frames()), time.Now()
			speaker.say(fmt.Sprint(n))
			eventually(t, "the message arrives "+when, func() bool { return len(here.frames()) > have })
			all = append(all, time.Since(began))
		}
		t.Logf("%s: a message in a local room takes %v (median; the test looks every 5 ms)", when, median(all))
	}
	latency("before")
	s.signal(syscall.SIGSTOP)
	stopped := time.Now()
	n++
	speaker.say(fmt.Sprint(n)) // the bridge holds this message, and delivers it only on this node when the hold time is over
	eventually(t, "it is delivered locally", func() bool { return a.bridge.stats.local.Load() > 0 })
	t.Logf("local after %v", time.Since(stopped))
	turns := a.node.Loops()[0].Stats().Turns
	latency("during")
	if now := a.node.Loops()[0].Stats().Turns; now == turns {
		t.Error("the loop stands still")
	}
	eventually(t, "the node says that it serves alone", func() bool { return a.bridge.Alone() != "" })
	if text := a.bridge.Alone(); !strings.HasPrefix(text, "serving alone: the last round trip through Redis is ") {
		t.Errorf("it says %q", text)
	}
	if err := a.bridge.Ready(); err != nil {
		t.Errorf("not ready, and it is to go on alone: %v", err)
	}
	t.Logf("alone after %v: %v", time.Since(stopped), a.bridge.Alone())
	s.signal(syscall.SIGCONT)
	eventually(t, "the lane is up again", func() bool { return a.bridge.lanes.down() == 0 && a.bridge.Alone() == "" })
	latency("after")
	for i, f := range here.frames() {
		if f != fmt.Sprint(i+1) {
			t.Fatalf("message %d is %s: lost, doubled or out of order", i+1, f)
		}
	}
	eventually(t, "the other node hears again", func() bool {
		got := there.frames()
		return len(got) > 0 && got[len(got)-1] == fmt.Sprint(n)
	})
	seen := map[string]bool{}
	for _, f := range there.frames() {
		if seen[f] {
			t.Errorf("the other node got %s twice", f)
		}
		seen[f] = true
	}
	if a.gaps.Load() == 0 {
		t.Error("the messages that did not reach the other node were not announced")
	}
}

func TestUnderRejectTheSenderIsToldAndNobodyElse(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Hold, cfg.Down = 300*time.Millisecond, Reject
	a := startNode(t, cfg, 1)
	speaker, listener := a.join("chat/x", 0), a.join("chat/x", 0)
	a.ready()
	s.kill()
	speaker.say("held in vain")
	eventually(t, "the sender is told", func() bool { return len(speaker.kicks()) > 0 })
	if got := speaker.kicks()[0]; got != loop.ReasonBackend {
		t.Errorf("kicked for %v, want %v", got, loop.ReasonBackend)
	}
	if !a.bridge.Refuses("chat/x") || len(listener.kicks()) > 0 || len(listener.frames()) > 0 {
		t.Errorf("refuses %v, listener kicked %v and got %q", a.bridge.Refuses("chat/x"), listener.kicks(), listener.frames())
	}
	late := a.join("chat/x", 0)
	late.say("refused at once")
	eventually(t, "the next one is told at once", func() bool { return len(late.kicks()) > 0 })
	s.start()
	eventually(t, "up again", func() bool { return !a.bridge.Refuses("chat/x") })
	again := a.join("chat/x", 0)
	again.say("hello")
	eventually(t, "it works again", func() bool {
		if len(again.kicks()) > 0 { // may happen: the hold time is short, and this machine may be busy
			again = a.join("chat/x", 0)
			again.say("hello")
		}
		return slices.Contains(listener.frames(), "hello")
	})
	if slices.ContainsFunc(listener.frames(), func(f string) bool { return f != "hello" }) {
		t.Errorf("the listener got %q", listener.frames())
	}
}

func TestAtHalfOfTheHeldBytesPublishersAreReadNoFurther(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Hold, cfg.Down, cfg.MaxHeld = 30*time.Second, Reject, 100<<10
	a := startNode(t, cfg, 1)
	const speakers, each = 20, 200
	var all []*member
	for i := range speakers {
		all = append(all, a.join(fmt.Sprintf("chat/%d", i), 0))
	}
	a.ready()
	s.signal(syscall.SIGSTOP)
	body := strings.Repeat("x", 500)
	for range each {
		for _, m := range all {
			m.say(body)
		}
	}
	eventually(t, "the loops are held back", func() bool { return a.bridge.held.full.Load() })
	if held := a.bridge.held.bytes.Load(); held > cfg.MaxHeld {
		t.Errorf("%d bytes are held, want at most %d", held, cfg.MaxHeld)
	}
	s.signal(syscall.SIGCONT)
	for _, m := range all {
		eventually(t, "all of it arrives", func() bool { return len(m.frames()) == each })
		if len(m.kicks()) > 0 {
			t.Errorf("kicked for %v", m.kicks())
		}
	}
}

func TestMembersAreCountedOverAllNodes(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	a, b := startNode(t, cfg, 1), startNode(t, cfg, 1)
	hostile := "chat/*\x00{x}\r\n__keyspace@0__:[a-z]"
	for range 3 {
		a.join(hostile, 0)
	}
	b.join(hostile, 0)
	for _, n := range []*testNode{a, b} {
		counted(t, n, hostile, 4)
	}
	for _, k := range keysOf(s) {
		if strings.Contains(k, "keyspace") || strings.Contains(k, "*") {
			t.Errorf("a room's name became the key %q", k)
		}
	}
	a.bridge.life.cancel() // this node ends without saying goodbye
	died := time.Now()
	counted(t, b, hostile, 1)
	t.Logf("the members of a dead node vanished after %v, and are to after %v", time.Since(died), cfg.Gone)
}

// TestAMillionRooms: after 1,000,000 rooms through one bridge, neither Redis nor the node may still have data of them.
func TestAMillionRooms(t *testing.T) {
	t.Parallel()
	rooms := 1_000_000
	if !long() {
		rooms = 100_000
	}
	s := startRedis(t)
	cfg := testConfig(s.url())
	a := startNode(t, cfg, 1)
	a.ready()
	send := func(n int, name string) {
		for i := range n {
			if i%1000 == 0 {
				for a.bridge.held.full.Load() {
					time.Sleep(time.Millisecond)
				}
			}
			a.node.Publish(fmt.Sprintf("chat/%s-%d", name, i), 0, loop.KindText, []byte("hello"))
		}
		if err := a.bridge.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	send(20_000, "warm")
	keys, heap := len(keysOf(s)), heapNow()
	send(rooms, "room")
	if now := len(keysOf(s)); now > keys {
		t.Errorf("%d keys in Redis, %d before", now, keys)
	}
	if n := a.node.Directory().Rooms(); n != 0 {
		t.Errorf("%d rooms are left in the node", n)
	}
	if st := &a.bridge.stats; st.published.Load() < uint64(rooms) || st.received.Load() < uint64(rooms) || st.local.Load()+st.lost.Load()+st.gaps.Load() > 0 {
		t.Errorf("not everything went through Redis: %+v", st)
	}
	grown := int64(heapNow()) - int64(heap)
	t.Logf("%d rooms: %d keys in Redis, as before; heap grown by %d KiB, other tests included", rooms, keys, grown>>10)
}

func heapNow() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
