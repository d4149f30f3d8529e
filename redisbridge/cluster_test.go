package redisbridge

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// startCluster makes a Cluster of three masters, each with the given number of replicas.
func startCluster(t *testing.T, replicas int) (all []*redisServer, url string) {
	t.Helper()
	var hosts []string
	for range 3 * (1 + replicas) {
		s := startRedis(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0")
		all = append(all, s)
		hosts = append(hosts, s.addr())
	}
	args := append([]string{"--cluster", "create"}, hosts...)
	args = append(args, "--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")
	if out, err := exec.Command("redis-cli", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, s := range all {
		eventually(t, "the Cluster is whole", func() bool { return strings.Contains(fmt.Sprint(s.do("CLUSTER", "INFO")), "cluster_state:ok") })
	}
	eventually(t, "the replicas are in step", func() bool {
		n := 0
		for _, s := range all {
			if strings.Contains(s.replication(), "master_link_status:up") {
				n++
			}
		}
		return n == 3*replicas
	})
	return all, "redis+cluster://" + strings.Join(hosts[:3], ",")
}

func clusterConfig(url string) Config {
	cfg := testConfig(url)
	cfg.Lanes = 12
	cfg.Down, cfg.Hold = Reject, 30*time.Second
	return cfg
}

// TestAClusterWithAUserOfItsOwn uses a Redis user that has only the rights that a node needs.
func TestAClusterWithAUserOfItsOwn(t *testing.T) {
	t.Parallel()
	all, url := startCluster(t, 0)
	for _, s := range all {
		s.do(nodeUser(t)...)
	}
	core, lines := observer.New(zap.WarnLevel)
	cfg := clusterConfig(strings.Replace(url, "://", "://node:p%40ss%2Fword@", 1))
	cfg.Alone = 10 * time.Millisecond
	a, b := startNode(t, cfg, 1), startNode(t, cfg, 1)
	a.bridge.eviction.look(t.Context(), a.bridge.homes.all(), zap.New(core))
	tr := startTraffic(t, a, b)
	tr.flows()
	if _, err := a.bridge.Members(t.Context(), roomName(0)); err != nil {
		t.Errorf("members: %v", err)
	}
	tr.calm().judge(t, false)
	if trouble := a.bridge.trouble.Load(); trouble != nil || lines.Len() > 0 || a.bridge.eviction.refused {
		t.Errorf("error: %v, log: %v, INFO refused: %v", trouble, lines.All(), a.bridge.eviction.refused)
	}
}

func TestClusterSlotMigration(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("takes long: DOTS_TEST_ALL=1 runs it")
	}
	all, url := startCluster(t, 0)
	cfg := clusterConfig(url)
	a, b := startNode(t, cfg, 1), startNode(t, cfg, 1)
	tr := startTraffic(t, a, b)
	tr.flows()
	from, to := all[0], all[1]
	moved := 0
	for lane := range 4 { // the slots of these lanes are on the first server
		moved += moveSlot(t, all, from, to, slotOf(a.bridge.store.names.tags[lane]))
	}
	t.Logf("%d slots moved, %d connections ended", moved, a.bridge.stats.reconnects.Load())
	v := tr.calm()
	t.Logf("\n%s\n%s", tableHead, v.row("Cluster: slots of 4 of 12 lanes moved"))
	v.judge(t, false)
	if moved == 0 {
		t.Error("no slot was moved")
	}
}

// moveSlot moves a slot with its keys from one server to another, as redis-cli does.
func moveSlot(t *testing.T, all []*redisServer, from, to *redisServer, slot int) int {
	t.Helper()
	id := func(s *redisServer) string { return fmt.Sprint(s.do("CLUSTER", "MYID")) }
	to.do("CLUSTER", "SETSLOT", slot, "IMPORTING", id(from))
	from.do("CLUSTER", "SETSLOT", slot, "MIGRATING", id(to))
	for {
		keys := from.do("CLUSTER", "GETKEYSINSLOT", slot, 100).([]any)
		if len(keys) == 0 {
			break
		}
		args := append([]any{"MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS"}, keys...)
		from.do(args...)
	}
	for _, s := range all {
		s.do("CLUSTER", "SETSLOT", slot, "NODE", id(to))
	}
	return 1
}

// TestClusterNodeLoss kills a master that has a replica. As with Sentinel, messages may be lost, but every loss must be
// announced.
func TestClusterNodeLoss(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("takes long: DOTS_TEST_ALL=1 runs it")
	}
	all, url := startCluster(t, 1)
	cfg := clusterConfig(url)
	a, b := startNode(t, cfg, 1), startNode(t, cfg, 1)
	tr := startTraffic(t, a, b)
	tr.flows()
	began := time.Now()
	all[0].kill()
	eventually(t, "a replica took over", func() bool {
		for _, l := range a.bridge.lanes {
			if _, err := l.counted(); err != nil {
				return false
			}
		}
		return true
	})
	t.Logf("the Cluster took %.1f s", time.Since(began).Seconds())
	v := tr.calm()
	t.Logf("\n%s\n%s", tableHead, v.row("Cluster: a master lost"))
	v.judge(t, true)
}
