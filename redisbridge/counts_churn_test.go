package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// stillNode makes a node whose bridge does not write the counts by itself: the test makes each pass.
func stillNode(t testing.TB, cfg Config, loops int) (*testNode, *counter) {
	t.Helper()
	n := newNode(t, cfg, loops)
	n.bridge.link()
	n.ready()
	return n, newCounter(n.bridge)
}

// written returns the counts of a node that are in Redis.
func written(t *testing.T, n *testNode, s *redisServer) map[string]int {
	t.Helper()
	all := map[string]int{}
	for i := range n.bridge.lanes {
		fields := s.do("HGETALL", n.bridge.store.names.counts(i, n.bridge.node.String())).([]any)
		for k := 0; k < len(fields); k += 2 {
			room := fields[k].(string)
			if n.bridge.LaneOf(room) != i {
				t.Errorf("%s is counted in lane %d", room, i)
			}
			members, err := strconv.Atoi(fields[k+1].(string))
			if err != nil || members < 1 {
				t.Errorf("%s has %q members", room, fields[k+1])
			}
			all[room] = members
		}
	}
	return all
}

// churn holds guests that join and leave, and the number of them in each room.
type churn struct {
	rng   *rand.Rand
	n     *testNode
	here  map[*guest]string
	rooms map[string]int
}

func (c *churn) join(room string) {
	loops := c.n.node.Loops()
	c.here[seat(loops[c.rng.IntN(len(loops))], room)] = room
	c.rooms[room]++
}

func (c *churn) leave(g *guest) {
	g.Loop().Closed(&g.Conn)
	room := c.here[g]
	delete(c.here, g)
	if c.rooms[room]--; c.rooms[room] == 0 {
		delete(c.rooms, room)
	}
}

func (c *churn) settle() {
	for _, l := range c.n.node.Loops() {
		settled(l)
	}
}

func (c *churn) run(steps int) {
	for range steps {
		if len(c.here) > 0 && c.rng.IntN(100) < 52 {
			for g := range c.here { // takes the first guest in map order, which is random
				c.leave(g)
				break
			}
		} else {
			c.join(fmt.Sprint("chat/", c.rng.IntN(25)))
		}
		if c.rng.IntN(4) == 0 {
			c.settle()
		}
	}
	c.settle()
}

// TestCountsFollowChurn: rooms fill, empty, vanish and come back while passes are made, and from time to time Redis or the
// connection to it has a fault. After that, one pass must make the counts in Redis exact.
func TestCountsFollowChurn(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Keep, cfg.CallMax = time.Hour, time.Minute // so that no hash expires and no call fails only because the machine is busy
	n, c := stillNode(t, cfg, 2)
	ctx := context.Background()
	ch := &churn{rng: rand.New(rand.NewPCG(1, 2)), n: n, here: map[*guest]string{}, rooms: map[string]int{}}
	anyKey := func() string {
		return n.bridge.store.names.counts(ch.rng.IntN(len(n.bridge.lanes)), n.bridge.node.String())
	}
	epochs, failures := 0, 0
	faults := map[string]func(){
		"none":     func() {},
		"FLUSHALL": func() { s.do("FLUSHALL") },
		"expired":  func() { s.do("DEL", anyKey()) },
		"no hash": func() { // the key has another type: HSET and HDEL fail, but PEXPIRE and DEL do not
			for _, room := range ch.here {
				s.do("SET", n.bridge.store.names.counts(n.bridge.LaneOf(room), n.bridge.node.String()), "x")
				ch.join(room)
				ch.settle()
				break
			}
		},
		"CLIENT": func() { s.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
		"older copy": func() {
			s.do("HSET", anyKey(), "chat/ghost", 7)
			epochs++
			for _, l := range n.bridge.lanes {
				l.mu.Lock()
				l.cur.at.epoch = fmt.Sprint("epoch", epochs)
				l.mu.Unlock()
			}
		},
	}
	names := []string{"none", "none", "none", "FLUSHALL", "expired", "no hash", "CLIENT", "older copy"}
	for round := range 400 {
		fault := names[ch.rng.IntN(len(names))]
		var passes sync.WaitGroup
		passes.Go(func() {
			for range 1 + round%3 {
				if c.once(ctx) != nil {
					failures++
				}
			}
		})
		ch.run(1 + ch.rng.IntN(60))
		passes.Wait()
		faults[fault]()
		if fault != "none" {
			c.due = time.Time{} // missing keys are found when the expiry is refreshed
		}
		for c.once(ctx) != nil {
			failures++
			if failures > 5*400 {
				t.Fatal("the passes go on failing")
			}
		}
		if got := written(t, n, s); !maps.Equal(got, ch.rooms) {
			t.Fatalf("round %d, after %s: Redis has %v, want %v", round, fault, got, ch.rooms)
		}
	}
	if failures == 0 {
		t.Error("no pass failed: the test does not do what it says")
	}
}

// commandCounter counts the calls of a pass, and the sizes of the largest calls and commands.
type commandCounter struct {
	mu                           sync.Mutex
	calls, commands              int
	mostArguments, mostInOneCall int
}

func (h *commandCounter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *commandCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (h *commandCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.calls++
		h.commands += len(cmds)
		arguments := 0
		for _, cmd := range cmds {
			h.mostArguments = max(h.mostArguments, len(cmd.Args()))
			arguments += len(cmd.Args())
		}
		h.mostInOneCall = max(h.mostInOneCall, arguments)
		return next(ctx, cmds)
	}
}

// TestAPassCostsWhatHasChanged: a pass without changes costs nothing; a large pass is cut into smaller commands and calls.
func TestAPassCostsWhatHasChanged(t *testing.T) {
	t.Parallel()
	const rooms = 40_000
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Lanes, cfg.Keep, cfg.CallMax = 1, time.Hour, time.Minute
	n, c := stillNode(t, cfg, 1)
	l := n.node.Loops()[0]
	for i := range rooms {
		seat(l, fmt.Sprint("chat/", i))
	}
	settled(l)
	hook := &commandCounter{}
	n.bridge.lanes[0].server().client.AddHook(hook)
	pass := func() *commandCounter {
		t.Helper()
		*hook = commandCounter{}
		if err := c.once(context.Background()); err != nil {
			t.Fatal(err)
		}
		return hook
	}
	h := pass()
	if h.mostArguments > 2+2*countsPerCommand || h.mostInOneCall > 2*countsPerCall+3*countsPerCall/countsPerCommand || h.calls < rooms/countsPerCall {
		t.Errorf("%d rooms went in %d calls of up to %d arguments, commands of up to %d", rooms, h.calls, h.mostInOneCall, h.mostArguments)
	}
	key := n.bridge.store.names.counts(0, n.bridge.node.String())
	if got := s.do("HLEN", key); got != int64(rooms) {
		t.Errorf("Redis has %v rooms, want %d", got, rooms)
	}
	if h = pass(); h.calls != 0 {
		t.Errorf("a pass without a change made %d calls", h.calls)
	}
	g := seat(l, "chat/7")
	settled(l)
	if h = pass(); h.commands != 3 || h.mostArguments != 4 {
		t.Errorf("one change took %d commands of up to %d arguments, want 3 and 4", h.commands, h.mostArguments)
	}
	l.Closed(&g.Conn)
	g = seat(l, "chat/new")
	settled(l)
	l.Closed(&g.Conn)
	settled(l)
	if h = pass(); h.commands != 4 {
		t.Errorf("a change and a room that came and went took %d commands, want 4", h.commands)
	}
	s.do("PEXPIRE", key, 60_000)
	c.due = time.Time{}
	if h = pass(); h.calls != 1 || h.mostArguments > 3 {
		t.Errorf("a refresh made %d calls, and a command had %d arguments", h.calls, h.mostArguments)
	}
	if left := s.do("PTTL", key).(int64); left < 3_000_000 {
		t.Errorf("the hash has %d ms left, want nearly the lease of an hour", left)
	}
}

// TestWithoutRedisAPassVisitsNoRooms: while the counts of a lane cannot be written, each pass tries only one small call for the
// lane.
func TestWithoutRedisAPassVisitsNoRooms(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Lanes, cfg.CallMax, cfg.Silence = 1, 300*time.Millisecond, time.Hour
	n, c := stillNode(t, cfg, 1)
	l := n.node.Loops()[0]
	guests := []*guest{seat(l, "chat/a"), seat(l, "chat/b")}
	settled(l)
	if err := c.once(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGSTOP)
	l.Closed(&guests[0].Conn)
	settled(l)
	if c.once(context.Background()) == nil {
		t.Fatal("a pass without Redis said nothing")
	}
	hook := &commandCounter{}
	n.bridge.lanes[0].server().client.AddHook(hook)
	if c.once(context.Background()) == nil || hook.mostInOneCall > 6 || hook.calls == 0 {
		t.Errorf("without Redis a call of %d had %d arguments, want two of PEXPIRE", hook.calls, hook.mostInOneCall)
	}
	s.kill()
	if err := c.once(context.Background()); !errors.Is(err, errAway) {
		eventually(t, "there is nobody to call", func() bool { return errors.Is(c.once(context.Background()), errAway) })
	}
	s.start()           // it starts without data:
	c.due = time.Time{} // the loss is found when the hash is refreshed, or earlier if the lane has a new epoch
	eventually(t, "a pass succeeds", func() bool { return c.once(context.Background()) == nil })
	if got, want := written(t, n, s), map[string]int{"chat/b": 1}; !maps.Equal(got, want) {
		t.Errorf("Redis has %v, want %v", got, want)
	}
}
