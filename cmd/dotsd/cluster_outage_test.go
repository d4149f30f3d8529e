package main

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

const failover = 5 * time.Second // about the time that a failover of Redis takes

// TestClusterOutage: Redis is away for the time of a failover. All nodes report that they are not ready, but HAProxy must still
// let all clients in. Messages that are sent during the outage are held, and all members must receive them when Redis is back.
func TestClusterOutage(t *testing.T) {
	c := newCluster(t)
	const hold = 10 * time.Second
	c.start("--redis-down=reject", "--redis-hold="+hold.String())
	crowd := c.crowd(20)
	c.exchange(crowd)

	stopKnocking := c.knock()
	began := c.freeze()
	c.send(crowd)
	c.awaitServers("DOWN", "DOWN")
	noticed := time.Since(began)
	crowd = append(crowd, c.crowdOn(crowd[0].path, 4)...)
	crowd = append(crowd, c.crowdOn(crowd[1].path, 6)...)
	until(t, "a failover is over", func() bool { return time.Since(began) >= failover })
	c.thaw()
	away := time.Since(began)
	until(t, "all clients have received the messages from while Redis was away", func() bool {
		for i, who := range crowd {
			if code, ok := who.ended(); ok && code == 4104 && time.Since(began) > hold {
				t.Skipf("this machine was too busy: Redis was away for more than %v", hold)
			} else if ok {
				t.Fatalf("client %d was closed with %d, %v after Redis went", i, code, time.Since(began))
			}
		}
		return heardAll(crowd)
	})
	heard := time.Since(began)
	c.hear(crowd)
	c.awaitServers("UP", "UP")
	knocked, unchecked := stopKnocking(), 0
	for _, server := range c.stats("nodes_unchecked") {
		n, _ := strconv.Atoi(server["stot"])
		unchecked += n
	}
	if unchecked < 10 {
		t.Errorf("%d connections reached a node through the backend without checks, want at least 10", unchecked)
	}
	if one, two := c.here(0, clusterRoom), c.here(1, clusterRoom); one != 14 || two != 16 {
		t.Errorf("%d and %d members are on the nodes, want 14 and 16: new clients reach the node of their path as before", one, two)
	}
	slices.Reverse(crowd) // so that the members that joined during the outage send now
	c.exchange(crowd)
	rounded := func(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
	t.Logf("Redis was away for %v; all nodes were DOWN after %v; of %d newcomers %d came meanwhile, none was turned away; all had "+
		"heard what was held after %v", rounded(away), rounded(noticed), knocked+10, unchecked, rounded(heard))
}
