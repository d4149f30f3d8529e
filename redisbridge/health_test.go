package redisbridge

import (
	"go.uber.org/zap"

	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"dotsconnect/loop"
	"dotsconnect/redisbridge/internal/resp"
)

// TestANodeWhoseRedisTakesNoWritesIsNotReady: such a Redis can still be read, and all subscriptions to it still work.
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
				eventually(t, "the held messages arrive", func() bool { return len(m.frames()) == 1 })
			}
		})
	}
}

// backLoops notes the last call of HoldBack. HoldBack(true) waits a moment first, like a goroutine that has lost its CPU.
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

// TestHoldingBackEndsThoughBothAreSaidAtOnce: two goroutines want to call HoldBack at the same time, one with true and one with
// false. If the calls came in the wrong order, the node would never read a connection again.
func TestHoldingBackEndsThoughBothAreSaidAtOnce(t *testing.T) {
	f := &backLoops{hesitate: make(chan struct{}, 1)}
	b := newBridge(Default(), zap.NewNop())
	b.loops = f
	var wait sync.WaitGroup
	wait.Go(func() { b.held.add(b.cfg.MaxHeld) })
	<-f.hesitate
	b.held.release(b.cfg.MaxHeld)
	wait.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last || b.held.full.Load() {
		t.Errorf("nothing is held, and the loops were last told %v", f.last)
	}
}

// TestANodeFollowsAnAddressThatLeadsElsewhere: the open connections stay with the old master. It seems healthy, because it
// takes all batches that are published over these connections.
func TestANodeFollowsAnAddressThatLeadsElsewhere(t *testing.T) {
	t.Parallel()
	old, now := startRedis(t), startRedis(t)
	w := startWire(t, old.addr())
	cfg := testConfig(w.url())
	cfg.Down, cfg.Hold = Reject, 30*time.Second
	a := startNode(t, cfg, 1)
	m := a.join("chat/x", 0)
	a.ready()
	w.exchange(now.addr())
	said := 0
	say := func() {
		said++
		m.say(fmt.Sprint(said))
		eventually(t, "it arrives", func() bool { return m.count() == said })
	}
	say()
	eventually(t, "the node is there", func() bool {
		return subscribers(now, a) == 1 && subscribers(old, a) == 0 && a.bridge.Ready() == nil && a.rests()
	})
	refilled := a.bridge.stats.refilled.Load()
	say()
	say()
	if n := a.bridge.stats.refilled.Load() - refilled; n > 0 {
		t.Errorf("%d batches came from the log: the subscription is deaf", n)
	}
}

// TestALinkThatIsHeardAndNotAnsweredIsReplaced: messages of other nodes still arrive, but nothing that this node writes reaches
// Redis.
func TestALinkThatIsHeardAndNotAnsweredIsReplaced(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	a := startNode(t, testConfig(s.url()), 1)
	w := startWire(t, s.addr())
	cfg := testConfig(w.url())
	cfg.Down, cfg.Hold, cfg.Silence = Reject, time.Minute, 200*time.Millisecond
	b := startNode(t, cfg, 1)
	m := b.join("chat/x", 0)
	a.ready()
	b.ready()
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				a.node.Publish(roomName(i%10), 0, loop.KindText, []byte("all the time"))
			}
		}
	})
	before := b.bridge.stats.reconnects.Load()
	w.set(wireMode{mute: true})
	m.say("hello")
	eventually(t, "the link is given up", func() bool { return b.bridge.stats.reconnects.Load() > before })
	w.heal()
	eventually(t, "the message arrives over another", func() bool { return m.count() == 1 && b.bridge.Ready() == nil })
	close(stop)
	wait.Wait()
}

// subscribers returns the number of subscribers that the first lane has on a server.
func subscribers(s *redisServer, n *testNode) int64 {
	return s.do("PUBSUB", "NUMSUB", n.bridge.store.names.channel(0)).([]any)[1].(int64)
}

// TestANodeLeavesAMasterThatWasReplacedBehindItsAddress: the new master has all data of the old master, which has become its
// replica. The old master takes no more writes, but all connections to it stay open.
func TestANodeLeavesAMasterThatWasReplacedBehindItsAddress(t *testing.T) {
	t.Parallel()
	old, now := startRedis(t), startRedis(t)
	w := startWire(t, old.addr())
	cfg := testConfig(w.url())
	cfg.Down, cfg.Hold = Reject, 30*time.Second
	a := startNode(t, cfg, 1)
	m := a.join("chat/x", 0)
	a.ready()
	m.say("before")
	eventually(t, "it arrives", func() bool { return m.count() == 1 })
	replicate := func(replica, master *redisServer) {
		host, port, _ := net.SplitHostPort(master.addr())
		replica.do("REPLICAOF", host, port)
		eventually(t, "the replica is in step", func() bool { return strings.Contains(replica.replication(), "master_link_status:up") })
	}
	replicate(now, old)
	now.do("REPLICAOF", "NO", "ONE")
	w.exchange(now.addr())
	replicate(old, now)
	for i := range 20 {
		m.say(fmt.Sprint(i))
	}
	eventually(t, "all of it arrives", func() bool { return m.count() == 21 })
	eventually(t, "the node is there", func() bool { return subscribers(now, a) == 1 && a.bridge.Ready() == nil })
	if n := a.gaps.Load(); n > 0 || len(m.kicks()) > 0 {
		t.Errorf("%d gaps were announced, and the sender was told %v", n, m.kicks())
	}
}

// TestANodeStartsOverASlowLink: the round trip takes 200 ms, the node has 64 lanes, and Redis is empty.
func TestANodeStartsOverASlowLink(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	l := startWire(t, s.addr())
	l.slow(100 * time.Millisecond)
	cfg := testConfig(l.url())
	cfg.Lanes = 64
	began := time.Now()
	b := connect(t, cfg)
	t.Logf("connected after %v", time.Since(began))
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestALogIsReadOverANarrowLink: the log has more data than the link can carry within the time limit of a call.
func TestALogIsReadOverANarrowLink(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	l := startWire(t, s.addr())
	cfg := testConfig(l.url())
	cfg.Lanes, cfg.BatchBytes, cfg.CallMax = 1, 32<<10, 500*time.Millisecond
	b := startNode(t, cfg, 1)
	cfg.URL = s.url()
	a := startNode(t, cfg, 1)
	m := b.join("chat/x", 0)
	b.ready()
	l.hole()
	const messages = 100
	for i := range messages {
		for a.bridge.held.full.Load() {
			time.Sleep(time.Millisecond)
		}
		a.node.Publish("chat/x", 0, loop.KindText, []byte(fmt.Sprint(i, strings.Repeat(" ", 20<<10))))
	}
	if err := a.bridge.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	l.set(wireMode{rate: 400 << 10})
	if !waitFor(30*time.Second, func() bool { return len(m.frames()) == messages }) {
		t.Fatalf("%d of %d arrived", len(m.frames()), messages)
	}
	if n := b.gaps.Load(); n > 0 {
		t.Errorf("%d gaps", n)
	}
}

// TestDatabasesOfOneRedisAreApart: each database has its own keys, but all databases share the channels.
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

// TestCallsTakeTheTimeThatTheyNeed: the round trip is longer than the first timeout of a call, so the timeout has to grow.
func TestCallsTakeTheTimeThatTheyNeed(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	l := startWire(t, s.addr())
	cfg := testConfig(l.url())
	cfg.Down, cfg.Hold = Reject, time.Minute
	a := startNode(t, cfg, 1)
	m := a.join("chat/x", 0)
	a.ready()
	l.slow(300 * time.Millisecond)
	m.say("far")
	if !waitFor(20*time.Second, func() bool { return len(m.frames()) == 1 && a.bridge.held.bytes.Load() == 0 && a.bridge.Ready() == nil }) {
		t.Fatalf("got %q, ready %v, %s", m.frames(), a.bridge.Ready(), figures(a.bridge))
	}
}

// TestANodeHasFourConnectionsToAServer, even when it reconnects and all of its parts need a connection at once.
func TestANodeHasFourConnectionsToAServer(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Lanes = 16
	a := startNode(t, cfg, 1)
	var members []*member
	for i := range 64 {
		members = append(members, a.join(roomName(i), 0))
	}
	a.ready()
	connections := func() int {
		return strings.Count(fmt.Sprint(s.do("CLIENT", "LIST")), "\n") - 1 // does not count the connection that asks
	}
	for round := range 3 {
		for _, m := range members {
			m.say("hello")
		}
		eventually(t, "they arrive", func() bool { return members[63].count() == round+1 && a.rests() })
		for range 20 {
			counted(t, a, roomName(round), 1)
		}
		eventually(t, "there are four connections at most", func() bool { return connections() <= 4 })
		s.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		s.do("CLIENT", "KILL", "TYPE", "pubsub")
		eventually(t, "the node is there again", func() bool { return a.bridge.Ready() == nil && a.rests() })
	}
}

// TestANumberThatOneMasterHasLostEndsNoLink: a failover or FLUSHALL removes the node's number until the node writes it the next
// time, and beats follow each other closely while lanes are added to a link. So one missing number does not end a link. If a
// later number is missing, too, the address leads to another server.
func TestANumberThatOneMasterHasLostEndsNoLink(t *testing.T) {
	k := lonelyLink(0)
	beats := func(there string, written ...uint64) error {
		for _, w := range written {
			(&beat{link: k, written: w}).same(&resp.Value{Kind: '$', Text: []byte(there)}, nil)
		}
		return k.over
	}
	if err := beats("99", 100, 100, 100); err != nil {
		t.Errorf("the number 100 was lost: the link has ended: %v", err)
	}
	if err := beats("101", 101); err != nil {
		t.Errorf("the next one is there: the link has ended: %v", err)
	}
	if err := beats("101", 102); err != nil {
		t.Errorf("the number 102 was lost: the link has ended: %v", err)
	}
	if err := beats("101", 103); err == nil {
		t.Error("the number 103 is not there either, and the link goes on")
	}
}
