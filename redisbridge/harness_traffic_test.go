package redisbridge

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dotsconnect/loop"
)

// traffic is a number of nodes under load, with a checker. In every room each node has a listener, which only receives, and a
// speaker. Every message is unique. At the end each listener must have every accepted message of its room exactly once, in the
// same order as the other listeners, and each speaker's messages in the order in which they were sent.
type traffic struct {
	t         testing.TB
	nodes     []*testNode
	listeners [][]*member // by room, then node
	speakers  []*speaker
	each      int          // number of messages that each speaker sends per tick
	said      atomic.Int64 // number of messages that all speakers have sent

	stop chan struct{}
	wait sync.WaitGroup
}

// speaker sends numbered messages. When its connection is kicked, it goes on over a new connection.
type speaker struct {
	name string
	room int
	node *testNode
	said int
	m    *member
	all  []*member // all its connections, one after the other
}

// verdicts holds the results of the checker.
type verdicts struct {
	accepted, rejected, lost, doubled, reordered int
	gaps                                         uint64
	ready                                        time.Duration
}

const (
	trafficRooms = 10
	trafficTick  = 10 * time.Millisecond // every speaker sends one message per tick: 20 speakers, 2,000 a second
)

func startTraffic(t testing.TB, nodes ...*testNode) *traffic {
	t.Helper()
	return startTrafficOf(t, 1, nodes...)
}

// startTrafficOf makes each speaker send the given number of messages per tick.
func startTrafficOf(t testing.TB, each int, nodes ...*testNode) *traffic {
	t.Helper()
	tr := &traffic{t: t, nodes: nodes, each: each, stop: make(chan struct{})}
	for r := range trafficRooms {
		var all []*member
		for i, n := range nodes {
			all = append(all, n.join(roomName(r), 0))
			tr.speakers = append(tr.speakers, &speaker{name: fmt.Sprintf("%d.%d", i, r), room: r, node: n})
		}
		tr.listeners = append(tr.listeners, all)
	}
	for _, n := range nodes {
		n.ready()
	}
	for _, s := range tr.speakers {
		s.connect()
	}
	tr.wait.Go(tr.speak)
	return tr
}

func roomName(r int) string { return fmt.Sprintf("chat/room-%d", r) }

func (s *speaker) connect() {
	s.m = s.node.join(roomName(s.room), 0)
	s.all = append(s.all, s.m)
}

func (tr *traffic) speak() {
	ticker := time.NewTicker(trafficTick)
	defer ticker.Stop()
	for {
		select {
		case <-tr.stop:
			return
		case <-ticker.C:
		}
		for _, s := range tr.speakers {
			if len(s.m.kicks()) > 0 {
				if s.node.bridge.Refuses(roomName(s.room)) {
					continue // a real client would try again later
				}
				s.connect()
			}
			for range tr.each {
				s.said++
				s.m.say(fmt.Sprintf("%s.%d", s.name, s.said))
			}
			tr.said.Add(int64(tr.each))
		}
	}
}

// finish ends the load, waits until everything has arrived, and judges. ready is the time that the nodes took to become ready
// again.
func (tr *traffic) finish(ready time.Duration) (v verdicts) {
	tr.t.Helper()
	close(tr.stop)
	tr.wait.Wait()
	for _, n := range tr.nodes {
		eventually(tr.t, "every message was parsed", func() bool { return tr.parsed(n) })
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		if err := n.bridge.Flush(ctx); err != nil {
			tr.t.Error(err)
		}
		cancel()
	}
	tr.settle()
	v.ready = ready
	rejected := map[string]bool{}
	for _, n := range tr.nodes {
		n.mu.Lock()
		maps.Copy(rejected, n.rejected)
		n.mu.Unlock()
	}
	v.rejected = len(rejected)
	accepted := make([]map[string]bool, trafficRooms)
	for r := range accepted {
		accepted[r] = map[string]bool{}
	}
	for _, s := range tr.speakers {
		for _, m := range s.all {
			for _, text := range m.published() {
				if !rejected[text] {
					accepted[s.room][text] = true
					v.accepted++
				}
			}
		}
	}
	for r, all := range tr.listeners {
		tr.judge(&v, accepted[r], all)
	}
	for _, n := range tr.nodes {
		v.gaps += n.gaps.Load()
	}
	return v
}

// parsed reports whether a node has parsed all bytes of connections that are still open.
func (tr *traffic) parsed(n *testNode) bool {
	for _, s := range tr.speakers {
		if s.node != n {
			continue
		}
		s.m.mu.Lock()
		rest, kicked := len(s.m.in), len(s.m.kicked)
		s.m.mu.Unlock()
		if rest > 0 && kicked == 0 {
			return false
		}
	}
	return true
}

// settle waits until no more messages arrive: every lane of every node has reached its counter in Redis, and the loops have
// fanned out their inboxes.
func (tr *traffic) settle() {
	tr.t.Helper()
	for _, n := range tr.nodes {
		eventually(tr.t, "everything was received", func() bool {
			for _, l := range n.bridge.lanes {
				if at, err := l.counted(); err != nil || l.position() != at {
					return false
				}
			}
			return true
		})
		for _, l := range n.node.Loops() { // fan out the inboxes
			for range 2 {
				done := make(chan struct{})
				l.Call(func(*loop.Loop) { close(done) })
				<-done
			}
		}
	}
}

func (tr *traffic) judge(v *verdicts, accepted map[string]bool, all []*member) {
	var first map[string]int
	for _, m := range all {
		got := m.frames()
		at := map[string]int{}
		said := map[string]int{}
		lastAt := -1
		for i, text := range got {
			if _, twice := at[text]; twice {
				v.doubled++
				continue
			}
			at[text] = i
			var node, room, n int
			fmt.Sscanf(text, "%d.%d.%d", &node, &room, &n)
			if key := fmt.Sprint(node, room); n < said[key] {
				v.reordered++
			} else {
				said[key] = n
			}
			if p, both := first[text]; both {
				if p < lastAt {
					v.reordered++
				}
				lastAt = p
			}
		}
		for text := range accepted {
			if _, has := at[text]; !has {
				v.lost++
			}
		}
		if first == nil {
			first = at
		}
	}
}

// readyAgain waits until all nodes are ready, and returns how long that took.
func (tr *traffic) readyAgain() time.Duration {
	tr.t.Helper()
	began := time.Now()
	for _, n := range tr.nodes {
		mark := int64(time.Since(n.bridge.times.began))
		eventually(tr.t, "ready again", func() bool { return int64(n.bridge.proven()) > mark && n.bridge.Ready() == nil })
	}
	return time.Since(began)
}

// calm waits until the nodes are ready and messages flow, and then finishes.
func (tr *traffic) calm() verdicts {
	tr.t.Helper()
	ready := tr.readyAgain()
	tr.flows()
	return tr.finish(ready)
}

// row formats the verdicts as a row of the table.
func (v verdicts) row(name string) string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %.1f s |", name, v.accepted, v.rejected, v.lost, v.doubled, v.reordered, v.gaps, v.ready.Seconds())
}

// judge fails the test for every result that is not allowed. If mayLose is true, messages may be lost. Then a batch that one node had
// received before Redis lost it may have another place on the other node, but not without a gap.
func (v verdicts) judge(t *testing.T, mayLose bool) {
	t.Helper()
	if v.doubled > 0 || v.reordered > 0 && (!mayLose || v.gaps == 0) {
		t.Errorf("%d doubled, %d reordered, %d gaps", v.doubled, v.reordered, v.gaps)
	}
	if v.lost > 0 && !mayLose {
		t.Errorf("%d lost of %d", v.lost, v.accepted)
	}
	if v.lost > 0 && v.gaps == 0 {
		t.Errorf("%d lost in silence", v.lost)
	}
	if v.gaps > 0 && !mayLose {
		t.Errorf("%d gaps announced where nothing was lost", v.gaps)
	}
}

// flows waits until every listener has got more messages than it has now.
func (tr *traffic) flows() {
	tr.t.Helper()
	for _, all := range tr.listeners {
		for _, m := range all {
			have := m.count()
			eventually(tr.t, "messages flow", func() bool { return m.count() > have+5 })
		}
	}
}

// figures returns the counters of the bridge as a text.
func figures(b *Bridge) string {
	var s strings.Builder
	for _, m := range b.Metrics() {
		fmt.Fprintf(&s, "\n%s %v", m.Name, m.Value())
	}
	return s.String()
}
