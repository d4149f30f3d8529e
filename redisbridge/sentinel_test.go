package redisbridge

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// TestSentinelFailover kills the master under load. Replication is asynchronous: writes that only the master had are lost. So
// messages may be lost, but every loss must be announced.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("takes long: DOTS_TEST_ALL=1 runs it")
	}
	master := startRedis(t)
	replica := startRedis(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.port))
	hosts := startSentinels(t, master)
	failover(t, testConfig("redis+sentinel://"+hosts+"/dots"), master, replica)
}

const sentinelSecret = "s3ntinel/p@ss"

// TestSentinelsWithAPasswordOfTheirOwn does the same with different passwords for Redis and for the sentinels. The node's user at
// the sentinels has only the rights that a node needs.
func TestSentinelsWithAPasswordOfTheirOwn(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("takes long: DOTS_TEST_ALL=1 runs it")
	}
	const redisSecret = "redis-p@ss"
	passwords := []string{"--requirepass", redisSecret, "--masterauth", redisSecret}
	master := startRedis(t, passwords...)
	replica := startRedis(t, append(passwords, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.port))...)
	master.password, replica.password = redisSecret, redisSecret
	hosts := startSentinels(t, master, "sentinel auth-pass dots "+redisSecret, "requirepass between-sentinels",
		"user node on >"+sentinelSecret+" resetchannels &* -@all +@connection +subscribe +sentinel|get-master-addr-by-name +sentinel|sentinels")
	address := "redis+sentinel://:redis-p%40ss@" + hosts + "/dots"
	for parameters, want := range map[string]string{
		"": "NOAUTH",
		"?sentinel_user=node&sentinel_password=wrong-s3cret": "WRONGPASS",
		"?sentinel_password=wrong-s3cret":                    "WRONGPASS",
	} {
		b, err := Connect(t.Context(), testConfig(address+parameters), zap.NewNop())
		if err == nil {
			b.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "p@ss") {
			t.Errorf("%q: got %v, want %s", parameters, err, want)
		}
	}
	failover(t, testConfig(address+"?sentinel_user=node&sentinel_password=s3ntinel%2Fp%40ss"), master, replica)
}

// failover lets two nodes exchange messages while the replica becomes the master.
func failover(t *testing.T, cfg Config, master, replica *redisServer) {
	t.Helper()
	eventually(t, "the replica is in step", func() bool {
		return strings.Contains(replica.replication(), "master_link_status:up")
	})
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

// startSentinels starts three sentinels that watch the master, with more lines of configuration, and returns their addresses.
func startSentinels(t *testing.T, master *redisServer, lines ...string) (hosts string) {
	t.Helper()
	return hostsOf(threeSentinels(t, master, lines...))
}

func threeSentinels(t *testing.T, master *redisServer, lines ...string) (all []*redisServer) {
	t.Helper()
	for range 3 {
		all = append(all, startSentinel(t, master.port, lines))
	}
	return all
}

func hostsOf(all []*redisServer) string {
	var hosts []string
	for _, s := range all {
		hosts = append(hosts, s.addr())
	}
	return strings.Join(hosts, ",")
}

func startSentinel(t *testing.T, master int, lines []string) *redisServer {
	t.Helper()
	s := &redisServer{t: t, dir: t.TempDir(), port: freePort(t)}
	conf := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nlogfile sentinel.log\nsentinel monitor dots 127.0.0.1 %d 2\n"+
		"sentinel down-after-milliseconds dots 1000\nsentinel failover-timeout dots 5000\n", s.port, s.dir, master)
	text += strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{conf, "--sentinel"}
	s.start()
	t.Cleanup(s.kill)
	return s
}
