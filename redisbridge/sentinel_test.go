package redisbridge

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSentinelFailover kills the master under load. Replication is asynchronous: what the master had taken and the
// replica had not yet is a rollback, so that a loss may be; it must be announced.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("takes long: DOTS_TEST_ALL=1 runs it")
	}
	master := startRedis(t)
	replica := startRedis(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.port))
	var hosts []string
	for range 3 {
		hosts = append(hosts, startSentinel(t, master.port))
	}
	eventually(t, "the replica is in step", func() bool {
		return strings.Contains(replica.replication(), "master_link_status:up")
	})
	cfg := testConfig("redis+sentinel://" + strings.Join(hosts, ",") + "/dots")
	cfg.Down, cfg.Hold = Reject, 30*time.Second
	a, b := startNode(t, cfg, 1), startNode(t, cfg, 1)
	tr := startTraffic(t, a, b)
	tr.flows()
	began := time.Now()
	master.kill()
	eventually(t, "the replica is the master", func() bool {
		return strings.Contains(replica.replication(), "role:master")
	})
	t.Logf("Sentinel took %.1f s", time.Since(began).Seconds())
	v := tr.calm()
	t.Logf("\n%s\n%s", tableHead, v.row("Sentinel failover"))
	v.judge(t, true)
}

// startSentinel starts a Sentinel that watches the master and returns its address.
func startSentinel(t *testing.T, master int) string {
	t.Helper()
	s := &redisServer{t: t, dir: t.TempDir(), port: freePort(t)}
	conf := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nlogfile sentinel.log\nsentinel monitor dots 127.0.0.1 %d 2\n"+
		"sentinel down-after-milliseconds dots 1000\nsentinel failover-timeout dots 5000\n", s.port, s.dir, master)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{conf, "--sentinel"}
	s.start()
	t.Cleanup(s.kill)
	return s.addr()
}
