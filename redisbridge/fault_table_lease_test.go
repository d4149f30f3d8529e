package redisbridge

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// leaseRows: when a node is gone, its members must soon no longer count. In an outage of Redis, the members of all nodes must
// still count.
func leaseRows() []row {
	return []row{
		{name: "SIGKILL of one of three nodes: the counts", run: runDeath},
		{name: "an outage of Redis removes no node from the counts", run: func(t *testing.T, _ *build) tally { return runAbsence(t) }},
	}
}

func runDeath(t *testing.T, b *build) tally {
	redis := startRedis(t)
	cfg := siteConfig(redis.url(), Reject, 10*time.Second)
	if !longFaults() {
		cfg.Look, cfg.Gone = 300*time.Millisecond, 3*time.Second
	}
	first, second := startSite(t, cfg), startSite(t, cfg)
	victim := startProgram(t, b.now(t), "--redis="+redis.url(), "--redis-down=reject", "--redis-hold=10s")
	c := startCrowd(t, tableRooms, tableEvery, first, second, victim)
	counts := func(want int) func() bool {
		return func() bool { return members(c, first, want) && members(c, second, want) }
	}
	eventually(t, "all are counted", counts(6))
	began := time.Now()
	victim.stop()
	eventually(t, "the members of the dead node are not counted", counts(4))
	took := time.Since(began)
	v := c.finish()
	v.note = fmt.Sprintf("the counts of all rooms were right after %.1f s (a node is gone after %v)", took.Seconds(), cfg.Gone)
	if took > 40*time.Second {
		t.Error(v.note)
	}
	if v.missing+v.gaps+v.moved > 0 {
		t.Errorf("%+v", v)
	}
	return v
}

func runAbsence(t *testing.T) tally {
	redis := startRedis(t)
	cfg := siteConfig(redis.url(), Reject, 30*time.Second)
	outage := 12 * time.Second
	if !longFaults() {
		cfg.Look, cfg.Gone, outage = 300*time.Millisecond, 3*time.Second, 5*time.Second
	}
	sites := []*site{startSite(t, cfg), startSite(t, cfg), startSite(t, cfg)}
	c := startCrowd(t, tableRooms, tableEvery, sites...)
	for _, s := range sites {
		eventually(t, "all are counted", func() bool { return members(c, s, 6) })
	}
	redis.signal(syscall.SIGSTOP)
	time.Sleep(outage) // the fault itself
	redis.signal(syscall.SIGCONT)
	counted := 0
	eventually(t, "all are counted again", func() bool {
		for _, s := range sites {
			for r := range c.rooms {
				n, err := s.bridge.Members(context.Background(), tableRoom(r))
				if err == nil && n != 6 {
					t.Errorf("%d members after the outage, of 6", n)
				}
				if err == nil {
					counted++
				}
			}
		}
		return counted > 200 || t.Failed()
	})
	c.flows()
	v := c.finish()
	v.note = fmt.Sprintf("counted %d times right after %v without Redis; each count had all members", counted, outage)
	if v.missing+v.refused+v.gaps+v.moved+v.closed > 0 {
		t.Errorf("%+v", v)
	}
	return v
}

// members reports whether every room has the given number of members over all nodes, as this site's node counts them.
func members(c *crowd, s *site, want int) bool {
	for r := range c.rooms {
		if n, err := s.bridge.Members(context.Background(), tableRoom(r)); err != nil || n != want {
			return false
		}
	}
	return true
}
