package redisbridge

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dotsconnect/loop"
)

// TestANodeWhoseRedisTakesNoWritesIsNotReady: such a Redis can still be read, and all its subscriptions are alive.
func TestANodeWhoseRedisTakesNoWritesIsNotReady(t *testing.T) {
	t.Parallel()
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy %v", busy), func(t *testing.T) {
			t.Parallel()
			s := startRedis(t)
			cfg := testConfig(s.url())
			cfg.Hold, cfg.Down = time.Minute, Reject
			a := startNode(t, cfg, 1)
			m := a.join("chat/x", 0)
			a.ready()
			s.do("CONFIG", "SET", "maxmemory", "1mb")
			if busy {
				m.say("held")
			}
			began := time.Now()
			if !waitFor(10*time.Second, func() bool { return a.bridge.Ready() != nil }) {
				t.Fatal("ready, and nothing can be published")
			}
			t.Logf("red after %v: %v", time.Since(began), a.bridge.Ready())
			s.do("CONFIG", "SET", "maxmemory", "0")
			a.ready()
			if busy {
				eventually(t, "what was held arrives", func() bool { return len(m.frames()) == 1 })
			}
		})
	}
}

// backLoops notes what it was told last. Told to hold back it hesitates, as a goroutine that lost its CPU would.
type backLoops struct {
	loops
	hesitate chan struct{}
	mu       sync.Mutex
	last     bool
}

func (f *backLoops) HoldBack(on bool) {
	if on {
		f.hesitate <- struct{}{}
		time.Sleep(50 * time.Millisecond)
	}
	f.mu.Lock()
	f.last = on
	f.mu.Unlock()
}

// TestHoldingBackEndsThoughBothAreSaidAtOnce: were the two words of different goroutines to come in the wrong order, no
// connection of the node would be read ever again.
func TestHoldingBackEndsThoughBothAreSaidAtOnce(t *testing.T) {
	f := &backLoops{hesitate: make(chan struct{}, 1)}
	b := &Bridge{cfg: Default(), loops: f}
	var wait sync.WaitGroup
	wait.Go(func() { b.hold(b.cfg.MaxHeld) })
	<-f.hesitate
	b.release(b.cfg.MaxHeld)
	wait.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last || b.full.Load() {
		t.Errorf("nothing is held, and the loops were last told %v", f.last)
	}
}

// switchboard passes connections on to a Redis that can be exchanged. Those that subscribed stay with the old one: it is
// a master that was replaced, and lives on where only they can reach it.
type switchboard struct {
	addr   string
	target atomic.Pointer[string]
	mu     sync.Mutex
	calls  map[net.Conn]bool // connections that did not subscribe
	wait   sync.WaitGroup
}

func startSwitchboard(t *testing.T, target string) *switchboard {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sb := &switchboard{addr: l.Addr().String(), calls: map[net.Conn]bool{}}
	sb.target.Store(&target)
	sb.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			sb.wait.Go(func() { sb.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); sb.wait.Wait() })
	return sb
}

func (sb *switchboard) serve(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("tcp", *sb.target.Load())
	if err != nil {
		return
	}
	defer up.Close()
	sb.mu.Lock()
	sb.calls[c] = true
	sb.mu.Unlock()
	sb.wait.Go(func() {
		_, _ = io.Copy(c, up)
		c.Close()
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if strings.Contains(strings.ToLower(string(buf[:n])), "\r\nsubscribe\r\n") {
			sb.mu.Lock()
			delete(sb.calls, c)
			sb.mu.Unlock()
		}
		if _, err := up.Write(buf[:n]); err != nil {
			return
		}
	}
}

// exchange has all calls go to another Redis from now on.
func (sb *switchboard) exchange(target string) {
	sb.target.Store(&target)
	sb.mu.Lock()
	defer sb.mu.Unlock()
	for c := range sb.calls {
		c.Close()
	}
	clear(sb.calls)
}

// TestADeafSubscriptionIsMadeAnew: it is confirmed and answers every ping, but what is published goes elsewhere.
func TestADeafSubscriptionIsMadeAnew(t *testing.T) {
	t.Parallel()
	old, now := startRedis(t), startRedis(t)
	sb := startSwitchboard(t, old.addr())
	cfg := testConfig("redis://" + sb.addr)
	cfg.Down, cfg.Hold = Reject, 30*time.Second
	a := startNode(t, cfg, 1)
	m := a.join("chat/x", 0)
	a.ready()
	sb.exchange(now.addr())
	m.say("before anybody knows")
	said := 0
	heard := func() bool { // without the probe, which finds it in the log a second later
		said++
		refilled := a.bridge.Stats().Refilled
		m.say(fmt.Sprint(said))
		have := len(m.frames())
		waitFor(2*time.Second, func() bool { return len(m.frames()) > have })
		return a.bridge.Stats().Refilled == refilled && a.bridge.Stats().Reconnects > 0 && a.bridge.Ready() == nil
	}
	if !waitFor(20*time.Second, heard) {
		t.Fatalf("still deaf: %+v, %v", a.bridge.Stats(), a.bridge.Ready())
	}
	eventually(t, "everything arrives once", func() bool { return len(m.frames()) == said+1 })
}

// TestADeafSubscriptionIsFoundThoughNobodySaysAnything: the new master has all that the old one had, so that there is nothing to
// miss, and nothing that counters could tell.
func TestADeafSubscriptionIsFoundThoughNobodySaysAnything(t *testing.T) {
	t.Parallel()
	old, now := startRedis(t), startRedis(t)
	sb := startSwitchboard(t, old.addr())
	a := startNode(t, testConfig("redis://"+sb.addr), 1)
	m := a.join("chat/x", 0)
	a.ready()
	m.say("before")
	eventually(t, "it arrives", func() bool { return len(m.frames()) == 1 })
	host, port, _ := net.SplitHostPort(old.addr())
	now.do("REPLICAOF", host, port)
	eventually(t, "the replica has what the master has", func() bool {
		return strings.Contains(fmt.Sprint(now.do("INFO", "replication")), "master_link_status:up") && fmt.Sprint(now.do("DBSIZE")) == fmt.Sprint(old.do("DBSIZE"))
	})
	now.do("REPLICAOF", "NO", "ONE")
	sb.exchange(now.addr())
	eventually(t, "the subscription is made anew, and the node ready", func() bool {
		return a.bridge.Stats().Reconnects > 0 && a.bridge.Ready() == nil && fmt.Sprint(now.do("PUBSUB", "NUMSUB", a.bridge.store.names.channel(0)).([]any)[1]) == "1"
	})
	l := a.bridge.lanes[a.bridge.LaneOf("chat/x")]
	eventually(t, "a message is heard", func() bool { // and not found in the log, which is read once after a subscription
		refilled, have := a.bridge.Stats().Refilled, m.count()
		m.say("after")
		eventually(t, "it arrives", func() bool { return m.count() > have && !l.busy.Load() })
		return a.bridge.Stats().Refilled == refilled
	})
	if n := a.gaps.Load(); n > 0 {
		t.Errorf("%d gaps were announced", n)
	}
}

func TestHelloJudges(t *testing.T) {
	began := time.Now()
	var h hello
	for i, step := range []struct {
		heard     uint64
		after     time.Duration
		ask, deaf bool
	}{
		{heard: 5}, {heard: 5, ask: true}, {heard: 5, after: 2 * time.Second}, {heard: 6, after: 9 * time.Second},
		{heard: 6, after: 9 * time.Second, ask: true}, {heard: 6, after: 12 * time.Second, deaf: true},
	} {
		ask, deaf := h.judge(step.heard, began.Add(step.after), 2*time.Second)
		if ask != step.ask || deaf != step.deaf {
			t.Errorf("step %d: ask %v, deaf %v; want %v, %v", i, ask, deaf, step.ask, step.deaf)
		}
		if ask {
			h.asked = began.Add(step.after)
		}
	}
}

// TestANodeStartsOverASlowLink: 200 ms there and back, 64 lanes, an empty Redis.
func TestANodeStartsOverASlowLink(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	l := startLink(t, s.addr())
	l.slow(100)
	cfg := testConfig("redis://" + l.addr)
	cfg.Lanes = 64
	began := time.Now()
	b := connect(t, cfg)
	t.Logf("connected after %v", time.Since(began))
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestALogIsReadOverANarrowLink: more is in the log than the link takes within the time of a call.
func TestALogIsReadOverANarrowLink(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	l := startLink(t, s.addr())
	cfg := testConfig("redis://" + l.addr)
	cfg.Lanes, cfg.BatchBytes, cfg.CallMax, cfg.Ping = 1, 32<<10, 500*time.Millisecond, time.Second
	b := startNode(t, cfg, 1)
	cfg.URL = s.url()
	a := startNode(t, cfg, 1)
	m := b.join("chat/x", 0)
	b.ready()
	l.blackhole()
	const messages = 100
	for i := range messages {
		for a.bridge.full.Load() {
			time.Sleep(time.Millisecond)
		}
		a.node.Publish("chat/x", 0, loop.KindText, []byte(fmt.Sprint(i, strings.Repeat(" ", 20<<10))))
	}
	if err := a.bridge.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.heal()
	l.toxic(`{"name":"narrow","type":"bandwidth","stream":"downstream","attributes":{"rate":400}}`)
	if !waitFor(30*time.Second, func() bool { return len(m.frames()) == messages }) {
		t.Fatalf("%d of %d arrived", len(m.frames()), messages)
	}
	if n := b.gaps.Load(); n > 0 {
		t.Errorf("%d gaps", n)
	}
}

// TestDatabasesOfOneRedisAreApart: channels, unlike keys, are the same in all databases.
func TestDatabasesOfOneRedisAreApart(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	zero, one := startNode(t, testConfig(s.url()), 1), startNode(t, testConfig(s.url()+"/1"), 1)
	zero.ready()
	one.ready()
	for i := range zero.bridge.lanes {
		channel := zero.bridge.store.names.channel(i)
		got := s.do("PUBSUB", "NUMSUB", channel).([]any)
		if fmt.Sprint(got[1]) != "1" {
			t.Errorf("%s has %v subscribers, want the one of its own database", channel, got[1])
		}
	}
}

// TestCallsTakeTheTimeThatTheyNeed: the way is longer than the first timeout of a call, which has to grow.
func TestCallsTakeTheTimeThatTheyNeed(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	l := startLink(t, s.addr())
	cfg := testConfig("redis://" + l.addr)
	cfg.Down, cfg.Hold = Reject, time.Minute
	a := startNode(t, cfg, 1)
	m := a.join("chat/x", 0)
	a.ready()
	l.slow(300)
	m.say("far")
	if !waitFor(20*time.Second, func() bool { return len(m.frames()) == 1 && a.bridge.held.Load() == 0 && a.bridge.Ready() == nil }) {
		t.Fatalf("got %q, ready %v, %+v", m.frames(), a.bridge.Ready(), a.bridge.Stats())
	}
}
