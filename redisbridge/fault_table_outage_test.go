package redisbridge

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// emptyRows: Redis comes back empty. A new node connects before the old nodes, which know how the rooms are divided.
func emptyRows() (rows []row) {
	for _, r := range []struct {
		name  string
		empty func(s *redisServer)
	}{
		{"FLUSHALL", func(s *redisServer) { s.do("FLUSHALL") }},
		{"Redis restarts without data", func(s *redisServer) { s.kill(); s.start() }},
	} {
		rows = append(rows,
			row{name: r.name + ", and a new node connects before the others", run: func(t *testing.T, _ *build) tally {
				return runEmpty(t, r.empty, Default().Alone)
			}},
			row{name: r.name + ", and a new node that sees no other node", run: func(t *testing.T, _ *build) tally {
				return runEmpty(t, r.empty, 100*time.Millisecond)
			}})
	}
	return rows
}

// runEmpty empties Redis and starts a new node there, while the other nodes cannot be seen. The new node waits for the given time
// before it starts alone.
func runEmpty(t *testing.T, empty func(s *redisServer), alone time.Duration) tally {
	const rooms = 20
	redis := startRedis(t)
	var sites []*site
	var wires []*wire
	for range 2 {
		w := startWire(t, redis.addr())
		wires = append(wires, w)
		sites = append(sites, startSite(t, siteConfig(w.url(), Reject, 30*time.Second)))
	}
	c := startCrowd(t, rooms, 200*time.Millisecond, sites...)
	meta := redis.do("GET", "dots:meta")
	for _, w := range wires { // so that the new node reaches the empty Redis before the old nodes, and does not see them
		w.hole()
		w.cut()
	}
	empty(redis)
	redis.do("CONFIG", "RESETSTAT")
	beginsAlone := alone < Default().Alone
	fresh := startFresh(t, redis, alone, beginsAlone, fmt.Sprint(meta), func() {
		for _, w := range wires {
			w.heal()
		}
	})
	if beginsAlone {
		eventually(t, "the fresh node knows that it has to be started again", func() bool { return len(fresh.bridge.Lost()) > 0 && !fresh.ready() })
	} else {
		c.add(fresh)
		if got := fresh.bridge.accord.meta.String(); got != meta {
			t.Errorf("the fresh node took %q, and the others had %q", got, meta)
		}
	}
	c.flows()
	v := c.finish()
	if now := redis.do("GET", "dots:meta"); now != meta {
		t.Errorf("the nodes had agreed on %v, and now on %v", meta, now)
	}
	for _, s := range sites {
		s.awaitReady()
	}
	return v
}

// startFresh starts a node. It reconnects the other nodes when the new node looks for them, or when the new node has started
// alone.
func startFresh(t *testing.T, redis *redisServer, alone time.Duration, beginsAlone bool, meta string, heal func()) (fresh *site) {
	t.Helper()
	cfg := siteConfig(redis.url(), Reject, 30*time.Second)
	cfg.Alone = alone
	var err error
	var starting sync.WaitGroup
	starting.Go(func() { fresh, err = trySite(t, cfg) })
	eventually(t, "the fresh node looks for the others, or does not any more", func() bool {
		if beginsAlone {
			return redis.do("GET", "dots:meta") != nil
		}
		return strings.Contains(fmt.Sprint(redis.do("INFO", "commandstats")), "cmdstat_smembers")
	})
	if fmt.Sprint(redis.do("GET", "dots:meta")) == meta {
		t.Error("the others were there first: the test does not do what it says")
	}
	heal()
	if starting.Wait(); err != nil {
		t.Fatal(err)
	}
	return fresh
}

// standstillRows: the process of a node is stopped for longer than the hold time, and then continues. It must not mistake its
// own standstill for an outage of Redis.
func standstillRows() (rows []row) {
	for _, r := range []struct {
		d    time.Duration
		long bool
	}{{2500 * time.Millisecond, false}, {5 * time.Second, false}, {30 * time.Second, true}} {
		rows = append(rows, row{name: fmt.Sprintf("SIGSTOP of a dotsd for %v, local, hold time 2 s", r.d), long: r.long, run: func(t *testing.T, b *build) tally {
			redis := startRedis(t)
			stopped := startProgram(t, b.now(t), "--redis="+redis.url(), "--redis-down=local", "--redis-hold=2s")
			other := startSite(t, siteConfig(redis.url(), Local, time.Minute))
			c := startCrowd(t, tableRooms, tableEvery, stopped, other)
			stopped.signal(syscall.SIGSTOP)
			time.Sleep(r.d) // the fault itself
			stopped.signal(syscall.SIGCONT)
			c.flows()
			v := c.finish()
			local := stopped.metric("dots_redis_local_total")
			if local > 0 || v.missing > 0 || v.moved > 0 || v.gaps > 0 || v.closed > 0 {
				t.Errorf("%v messages reached one node only, %d deliveries missing, %d out of order, %d gaps, %d clients closed", local, v.missing, v.moved, v.gaps, v.closed)
			}
			return v
		}})
	}
	return rows
}

// awayRows: Redis is away for longer than the hold time, and then comes back with or without its data.
func awayRows() (rows []row) {
	const away = 3 * time.Second
	for _, down := range []Policy{Local, Reject} {
		for _, r := range []struct {
			name        string
			config      []string
			leave, back func(s *redisServer)
		}{
			{"SIGSTOP of Redis for", nil, func(s *redisServer) { s.signal(syscall.SIGSTOP) }, func(s *redisServer) { s.signal(syscall.SIGCONT) }},
			{"Redis has no memory for", nil, func(s *redisServer) { s.do("CONFIG", "SET", "maxmemory", "1mb") }, func(s *redisServer) { s.do("CONFIG", "SET", "maxmemory", "0") }},
			{"Redis is killed, and back with its data after", []string{"--appendonly", "yes", "--appendfsync", "no"}, (*redisServer).kill, (*redisServer).start},
			{"Redis is killed, and back empty after", nil, (*redisServer).kill, (*redisServer).start},
		} {
			rows = append(rows, row{name: fmt.Sprintf("%s %v, %s, hold time 1 s", r.name, away, down), run: func(t *testing.T, _ *build) tally {
				redis := startRedis(t, r.config...)
				sites := []*site{startSite(t, siteConfig(redis.url(), down, time.Second)), startSite(t, siteConfig(redis.url(), down, time.Second))}
				c := startCrowd(t, tableRooms, tableEvery, sites...)
				r.leave(redis)
				time.Sleep(away) // the fault itself
				r.back(redis)
				c.flows()
				v := c.finish()
				var local uint64
				for _, s := range sites {
					local += s.bridge.stats.local.Load()
				}
				refused, _ := v.noteGiven(sites)
				v.note += fmt.Sprintf("; %d delivered on one node only", local)
				if v.closed > 0 || (refused > 0) != (down == Reject) || (local > 0) != (down == Local) {
					t.Errorf("%d closed, %d refused, %d local", v.closed, refused, local)
				}
				return v
			}})
		}
	}
	return rows
}

// cutPair makes two sites. The site far has its own connection to Redis, through the wire w.
func cutPair(t *testing.T, redis *redisServer, down Policy, hold time.Duration) (far, near *site, w *wire) {
	t.Helper()
	w = startWire(t, redis.addr())
	near = startSite(t, siteConfig(redis.url(), down, time.Minute))
	return startSite(t, siteConfig(w.url(), down, hold)), near, w
}

func wireRows() (rows []row) {
	rows = append(rows, row{name: "a byte of a pushed batch is flipped, again and again", run: runFlips})
	for _, down := range []Policy{Local, Reject} {
		rows = append(rows,
			row{name: fmt.Sprintf("answers come after the hold time, %s", down), run: func(t *testing.T, _ *build) tally {
				return runLateCalls(t, down, wireMode{deaf: true})
			}},
			row{name: fmt.Sprintf("calls come after the hold time, %s", down), run: func(t *testing.T, _ *build) tally {
				return runLateCalls(t, down, wireMode{hole: true})
			}})
	}
	rows = append(rows,
		row{name: "only the subscription hangs, under traffic", run: func(t *testing.T, _ *build) tally { return runStuck(t, false) }},
		row{name: "only the subscription hangs, idle", run: func(t *testing.T, _ *build) tally { return runStuck(t, true) }})
	for _, how := range []string{"the old master dies", "the old master lives on with its connections", "the old master lives on, and one node stays there for a second longer"} {
		rows = append(rows, row{name: "failover behind one address, " + how, run: func(t *testing.T, _ *build) tally { return runExchange(t, how) }})
	}
	return rows
}

// runFlips damages some of the batches on their way to a node.
func runFlips(t *testing.T, _ *build) tally {
	far, near, w := cutPair(t, startRedis(t), Reject, 30*time.Second)
	c := startCrowd(t, tableRooms, tableEvery, far, near)
	var flips atomic.Int32
	var wait atomic.Int32
	w.set(wireMode{damage: func(p []byte, down bool) {
		if !down || wait.Add(1)%10 != 0 {
			return
		}
		if at := insideOfAPush(p); at > 0 {
			p[at] ^= 1
			flips.Add(1)
		}
	}})
	eventually(t, "some were damaged", func() bool { return flips.Load() >= 10 })
	w.heal()
	c.flows()
	v := c.finish()
	st := &far.bridge.stats
	v.note = fmt.Sprintf("%d damaged, %d batches from the log", flips.Load(), st.refilled.Load())
	if st.foreign.Load() == 0 || v.missing+v.refused+v.gaps+v.moved+v.closed > 0 {
		t.Errorf("%d damaged batches were noticed; %+v", st.foreign.Load(), v)
	}
	return v
}

// insideOfAPush returns the position of a byte in the batch of the first whole push message in p, or 0 if there is none.
func insideOfAPush(p []byte) int {
	start := bytes.Index(p, []byte("$7\r\nmessage\r\n$"))
	if start < 0 {
		return 0
	}
	rest := p[start:]
	for range 4 { // skips the lengths and texts of two strings, and stops at the length of the third
		_, after, ok := bytes.Cut(rest, []byte("\r\n"))
		if !ok {
			return 0
		}
		rest = after
	}
	var size int
	if _, err := fmt.Sscanf(string(rest), "$%d\r\n", &size); err != nil {
		return 0
	}
	_, payload, _ := bytes.Cut(rest, []byte("\r\n"))
	if len(payload) < size || size < 20 {
		return 0
	}
	return len(p) - len(payload) + size - 1
}

// runLateCalls lets calls be in flight when the hold time ends, so that they arrive later.
func runLateCalls(t *testing.T, down Policy, m wireMode) tally {
	far, near, w := cutPair(t, startRedis(t), down, 1500*time.Millisecond)
	c := startCrowd(t, tableRooms, tableEvery, far, near)
	w.set(m)
	eventually(t, "the policy decides", func() bool {
		st := &far.bridge.stats
		return far.bridge.lanes.down() > 0 && st.local.Load()+st.rejected.Load() > 100
	})
	w.heal()
	c.flows()
	v := c.finish()
	st := &far.bridge.stats
	refused, doubted := far.given()
	v.note = fmt.Sprintf("%d delivered on one node only, %d refused as not taken, %d as lost or in doubt", st.local.Load(), refused, doubted)
	if v.closed > 0 || m.hole && v.moved > 0 {
		t.Errorf("%d clients closed, %d out of order", v.closed, v.moved)
	}
	if down == Local && (v.missing == 0 || len(near.told()) == 0) {
		t.Errorf("%d missing, %d gaps at the other node: the test does not do what it says", v.missing, len(near.told()))
	}
	if down == Reject && (v.missing > 0 || v.refused == 0 || v.moved > 0) {
		t.Errorf("%d missing, %d refused, %d out of order", v.missing, v.refused, v.moved)
	}
	return v
}

// runStuck measures how long a node still reports that it is ready after its link has stopped receiving data, while all its
// other connections work.
func runStuck(t *testing.T, idle bool) tally {
	far, near, w := cutPair(t, startRedis(t), Reject, 30*time.Second)
	c := startCrowd(t, tableRooms, tableEvery, far, near)
	far.awaitReady()
	if idle {
		c.hush()
	}
	began := time.Now()
	w.set(wireMode{stuck: true})
	eventually(t, "the node is not ready", func() bool { return !far.ready() })
	red := time.Since(began)
	w.heal()
	far.awaitReady()
	if !c.hushed() {
		c.flows()
	}
	v := c.finish()
	v.note = fmt.Sprintf("/readyz answers 503 after %.1f s", red.Seconds())
	if red > 30*time.Second { // 3 s and a tick on an idle machine
		t.Errorf("red only after %v", red)
	}
	if v.missing+v.refused+v.gaps+v.moved+v.closed > 0 {
		t.Errorf("%+v", v)
	}
	return v
}

// runExchange makes an address lead to a replica that has become the master.
func runExchange(t *testing.T, how string) tally {
	old, now := startRedis(t), startRedis(t)
	host, port, _ := net.SplitHostPort(old.addr())
	now.do("REPLICAOF", host, port)
	eventually(t, "the replica is in step", func() bool { return strings.Contains(now.replication(), "master_link_status:up") })
	var sites []*site
	var wires []*wire
	for range 2 {
		w := startWire(t, old.addr())
		wires = append(wires, w)
		sites = append(sites, startSite(t, siteConfig(w.url(), Reject, 10*time.Second)))
	}
	c := startCrowd(t, tableRooms, tableEvery, sites...)
	began := time.Now()
	if strings.HasSuffix(how, "dies") {
		old.kill()
	}
	now.do("REPLICAOF", "NO", "ONE")
	for i, w := range wires {
		if i > 0 && strings.HasSuffix(how, "longer") {
			eventually(t, "the first node is at the new master", func() bool { return listeners(now) == sites[0].bridge.Lanes() })
			time.Sleep(time.Second) // the fault itself
		}
		w.exchange(now.addr())
	}
	eventually(t, "all nodes are at the new master", func() bool {
		return listeners(now) == len(sites)*sites[0].bridge.Lanes() && sites[0].ready() && sites[1].ready()
	})
	c.flows()
	took := time.Since(began)
	v := c.finish()
	if refused, _ := v.noteGiven(sites); refused > 0 && took < 10*time.Second {
		t.Errorf("%d refused within the hold time", refused)
	}
	return v
}

// listeners returns the number of subscriptions that a server has.
func listeners(s *redisServer) (n int) {
	for _, channel := range s.do("PUBSUB", "CHANNELS").([]any) {
		n += int(s.do("PUBSUB", "NUMSUB", channel).([]any)[1].(int64))
	}
	return n
}

// noteGiven adds the number of messages that were returned to their senders at all sites to the note of the row.
func (v *tally) noteGiven(sites []*site) (refused, doubted int) {
	for _, s := range sites {
		r, d := s.given()
		refused, doubted = refused+r, doubted+d
	}
	v.note = strings.TrimPrefix(fmt.Sprintf("%s; %d refused as not taken, %d as lost or in doubt", v.note, refused, doubted), "; ")
	return refused, doubted
}
