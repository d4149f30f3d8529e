package redisbridge

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// system is a number of rooms with a listener on each of several nodes. The listeners also send, and they never wait.
type system struct {
	t         *testing.T
	rooms     int
	listeners [][]*member // by room, then node
}

func startSystem(t *testing.T, rooms int, nodes ...*testNode) *system {
	s := &system{t: t, rooms: rooms, listeners: make([][]*member, rooms)}
	for _, n := range nodes {
		s.add(n)
	}
	return s
}

// add adds a node, with one listener in each room.
func (s *system) add(n *testNode) {
	for r := range s.rooms {
		s.listeners[r] = append(s.listeners[r], n.join(roomName(r), r%len(n.node.Loops())))
	}
	n.ready()
}

// say makes the listeners of the k-th node send n messages each, with a short pause after each message.
func (s *system) say(k, from, n int) {
	for i := from; i < from+n; i++ {
		for r, all := range s.listeners {
			all[k].say(fmt.Sprintf("%d.%d.%d", k, r, i))
		}
		time.Sleep(time.Millisecond)
	}
}

// judge waits until each listener of the given nodes has received the want messages that each of these nodes sent in each room.
// Then it compares the messages that the listeners received.
func (s *system) judge(v *verdicts, want int, who ...int) {
	s.t.Helper()
	for r, all := range s.listeners {
		var some []*member
		for _, k := range who {
			some = append(some, all[k])
		}
		accepted := map[string]bool{}
		eventually(s.t, "everything is read", func() bool {
			for _, m := range some {
				for _, text := range m.published() {
					accepted[text] = true
				}
			}
			return len(accepted) == want
		})
		for _, m := range some {
			waitFor(10*time.Second, func() bool {
				has := 0
				for _, text := range m.frames() {
					if accepted[text] {
						has++
					}
				}
				return has >= want
			})
		}
		for _, m := range some {
			for _, text := range m.frames() {
				var k, room, i int
				if _, err := fmt.Sscanf(text, "%d.%d.%d", &k, &room, &i); err != nil || room != r {
					s.t.Fatalf("room %d got %q, which is of another", r, text)
				}
			}
		}
		(&traffic{t: s.t}).judge(v, accepted, some)
	}
}

// TestThreeNodesFiftyRooms: all members on all nodes must get 10,200 messages, in one order everywhere, each exactly once.
func TestThreeNodesFiftyRooms(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Lanes, cfg.Down, cfg.Hold = 16, Reject, 30*time.Second
	a, b, c := startNode(t, cfg, 2), startNode(t, cfg, 1), startNode(t, cfg, 1)
	const rooms, each = 50, 68
	sys := startSystem(t, rooms, a, b, c)
	var wait sync.WaitGroup
	for k := range 3 {
		wait.Go(func() { sys.say(k, 1, each) })
	}
	wait.Wait()
	var v verdicts
	sys.judge(&v, 3*each, 0, 1, 2)
	if v != (verdicts{}) || a.gaps.Load()+b.gaps.Load()+c.gaps.Load() > 0 {
		t.Errorf("%+v, %d gaps", v, a.gaps.Load()+b.gaps.Load()+c.gaps.Load())
	}
	t.Logf("%d messages, %d deliveries: %d lost, %d doubled, %d reordered", 3*rooms*each, 9*rooms*each, v.lost, v.doubled, v.reordered)
}

// TestANodeOfThreeDiesAndComesBack: the node dies in the middle of its messages without saying goodbye. The two other nodes
// must have the same messages: all of their own messages, and the messages of the dead node up to some point, without holes.
// When the dead node has come back, it must have all later messages.
func TestANodeOfThreeDiesAndComesBack(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Lanes, cfg.Down, cfg.Hold = 16, Reject, 30*time.Second
	a, b, c := startNode(t, cfg, 1), startNode(t, cfg, 1), startNode(t, cfg, 1)
	const rooms, each = 50, 60
	sys := startSystem(t, rooms, a, b, c)
	var wait sync.WaitGroup
	for k := range 3 {
		wait.Go(func() { sys.say(k, 1, each) })
	}
	eventually(t, "the third one speaks", func() bool { return c.bridge.stats.received.Load() > 1000 })
	c.bridge.life.cancel() // its calls end at a random point
	wait.Wait()
	d := startNode(t, cfg, 1)
	sys.add(d)
	for _, k := range []int{0, 1, 3} {
		wait.Go(func() { sys.say(k, each+1, each/2) })
	}
	wait.Wait()
	var v verdicts
	sys.judge(&v, 3*each, 0, 1)
	for r, all := range sys.listeners {
		eventually(t, "the new one has everything", func() bool { return len(all[3].frames()) >= 3*each/2 })
		eventually(t, "the survivors have the same", func() bool {
			return fmt.Sprint(all[0].frames()) == fmt.Sprint(all[1].frames())
		})
		one, late, dead := all[0].frames(), all[3].frames(), all[2].frames()
		if tail := one[len(one)-len(late):]; fmt.Sprint(tail) != fmt.Sprint(late) {
			t.Errorf("room %d: the new node has another order", r)
		}
		if len(dead) > len(one) || fmt.Sprint(one[:len(dead)]) != fmt.Sprint(dead) {
			t.Errorf("room %d: the dead node had another order", r)
		}
		last := 0
		for _, text := range one {
			var k, room, i int
			if fmt.Sscanf(text, "%d.%d.%d", &k, &room, &i); k == 2 {
				if i != last+1 {
					t.Errorf("room %d: after %d of the dead node comes %d", r, last, i)
				}
				last = i
			}
		}
	}
	if v.lost+v.doubled+v.reordered > 0 || a.gaps.Load()+b.gaps.Load()+d.gaps.Load() > 0 {
		t.Errorf("%+v, %d gaps", v, a.gaps.Load()+b.gaps.Load()+d.gaps.Load())
	}
	if n, err := d.bridge.Members(context.Background(), roomName(0)); err != nil || n > 4 {
		t.Errorf("%d members and %v", n, err)
	}
}
