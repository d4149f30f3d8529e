package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"dotsconnect/bench/result"
)

// TestNodesOnRedis also runs the real programs. Its tests run in parallel, because they mostly wait, and none of them measures
// speed.
func TestNodesOnRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the real programs")
	}
	t.Parallel()
	p := buildPrograms(t)
	for name, test := range map[string]func(*testing.T){
		"two nodes are one system":             p.testTwoNodes,
		"away for three seconds":               p.testRedisOutage,
		"away, and rooms are on one node":      p.testRedisOutageLocal,
		"one of three nodes dies by SIGKILL":   p.testNodeDeath,
		"another agreement on the lanes":       p.testLostAgreement,
		"clients go from node to node":         p.testHops,
		"members watch who is there":           p.testPresence,
		"a client comes to a new node":         p.testNewNode,
		"a node goes, and its members resume":  p.testRollout,
		"a client sends again without doubles": p.testSendAgain,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// nodes returns the command for nodes that share one log file. If the test fails, it shows the end of the log.
func (p programs) nodes(t *testing.T, args string) (command, log string) {
	log = filepath.Join(t.TempDir(), "log")
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(log) // the file does not exist if no node started
			t.Logf("the last log lines of the nodes:\n%s", text[max(0, len(text)-8<<10):])
		}
	})
	return p.path("dotsd") + " --listen 127.0.0.1:{port} --log-format json " + args + " 2>>" + log, log
}

// patient has the flags of nodes that must not mistake a pause of the machine of some seconds for an outage of Redis.
const patient = "--redis-hold 60s --redis-down reject --redis "

// testTwoNodes runs two nodes on one Redis. The rooms have members on both nodes: messages published on the first node must
// arrive at all members, each exactly once, in one order.
func (p programs) testTwoNodes(t *testing.T) {
	command, _ := p.nodes(t, "--admin= "+patient+startRedis(t))
	if err := p.bench(t, "two-nodes", "--servers=2", "--server-cmd", command, "--duration=4s", "--settle=2s"); err != nil {
		t.Error(err)
	}
}

// testRedisOutage stops Redis for 3 s, which is less than the hold time. All messages that are sent in these 3 s must arrive
// afterwards, each exactly once, in one order.
func (p programs) testRedisOutage(t *testing.T) {
	url, pid := startRedisProcess(t)
	command, _ := p.nodes(t, "--admin= --redis-hold 20s --redis-down reject --redis "+url)
	if err := p.bench(t, "redis-outage", "--servers=2", "--server-cmd", command,
		"--hurt-cmd", fmt.Sprintf("kill -STOP %d", pid), "--heal-cmd", fmt.Sprintf("kill -CONT %d", pid),
		"--hurt=2s", "--heal=5s", "--duration=9s", "--settle=4s"); err != nil {
		t.Error(err)
	}
}

// testRedisOutageLocal stops Redis for 5 s, which is longer than the hold time of half a second. Rooms with all members on one
// node must go on. Messages sent in the first second of the outage, the grace, must arrive within the outage. Messages sent in
// the four seconds after that must not wait for the end of the outage.
func (p programs) testRedisOutageLocal(t *testing.T) {
	url, pid := startRedisProcess(t)
	command, _ := p.nodes(t, "--admin= --redis-hold 500ms --redis-down local --redis "+url)
	r, err := p.benchResult(t, "redis-outage-local", "--servers=2", "--server-cmd", command,
		"--hurt-cmd", fmt.Sprintf("kill -STOP %d", pid), "--heal-cmd", fmt.Sprintf("kill -CONT %d", pid),
		"--hurt=2s", "--grace=1s", "--heal=7s", "--duration=10s", "--settle=2s")
	if err != nil {
		t.Fatal(err)
	}
	for _, phase := range r.Phases {
		if phase.Latency.Count == 0 {
			t.Errorf("nothing was delivered in the phase %s", phase.Name)
		}
	}
	const rest = 4_000_000 // microseconds: the part of the outage after the grace
	grace, hurt := r.Phases[1].Latency, r.Phases[2].Latency
	if grace.Max < 100_000 {
		t.Errorf("no message waited for more than %d us in the first second of the outage: was Redis away at all?", grace.Max)
	}
	if grace.Max >= rest {
		t.Errorf("a message sent in the first second of the outage waited for %d us, until Redis was back", grace.Max)
	}
	if hurt.P50 > rest/8 || hurt.P99 > rest/2 { // if messages waited for Redis, P50 would be about rest/2 and P99 about rest
		t.Errorf("p50 %d us, p99 %d us during the outage", hurt.P50, hurt.P99)
	}
}

// testLostAgreement: other nodes divide the rooms differently, by an older agreement, so they no longer receive the messages of
// this node. This node must send its members to the other nodes without a delay, and exit with a code that makes a supervisor
// restart it. After the restart it follows the older agreement.
func (p programs) testLostAgreement(t *testing.T) {
	url := startRedis(t)
	args := []string{"--redis=" + url, "--drain-delay=1h", "--drain-time=100ms"}
	d := p.serve(t, args...)
	member := dialRoom(t, d.start)
	askRedis(t, url, `SET dots:meta "v2 lanes=16 key=00000000000000010000000000000002 at=1"`)
	if _, _, err := member.Read(t.Context()); websocket.CloseStatus(err) != 4200 {
		t.Errorf("the member: got %v, want 4200", err)
	}
	if code := d.ended(); code != exitFailure {
		t.Errorf("exit %d, want %d, so that it is started again", code, exitFailure)
	}
	const want = "dotsd: --redis: other nodes divide the rooms into lanes differently, and their agreement is older: restart this node"
	if lines := d.log(); !strings.HasPrefix(lines[len(lines)-1], want) {
		t.Errorf("its last line is %q, want %q", lines[len(lines)-1], want)
	}
	again := p.serve(t, args[0])
	dialRoom(t, again.start)
	again.terminate()
}

// testNodeDeath kills one of three nodes while the members of the other two nodes send, and starts it again after 25 s. The
// members of the other two nodes must get all messages, in one order. The members of the dead node come back, and must get all
// messages from then on. The dead node cannot remove its members from the counts, so they must vanish with its lease.
func (p programs) testNodeDeath(t *testing.T) {
	const rooms, each, died = 50, 4, 25 * time.Second // each: members of each room on each node
	command, log := p.nodes(t, "--admin 127.0.0.1:{admin} "+patient+startRedis(t))
	done := make(chan error, 1)
	var r *result.Result
	go func() {
		var err error
		r, err = p.benchResult(t, "node-death", "--servers=3", "--server-cmd", command,
			fmt.Sprint("--conns=", 3*rooms*each), fmt.Sprint("--rooms=", rooms), "--rate=500/s",
			"--warmup=1s", "--restart=2s", fmt.Sprint("--away=", died), "--duration=33s", "--settle=2s")
		done <- err
	}()
	w := watcher{t: t, log: log, stop: make(chan struct{})}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		w.watch(each)
	}()
	err := <-done
	close(w.stop)
	<-watched
	if err != nil {
		t.Fatal(err)
	}
	if w.back == 0 { // the watcher did not see the last step
		t.Errorf("not seen: %s; the last counts were%s", w.awaits, w.counted)
	}
	t.Logf("all nodes counted %d members of a room; those of the dead node were gone from the counts %.1f s after the SIGKILL, and there again %.1f s after it",
		3*each, w.vanished.Seconds(), w.back.Seconds())
	if w.vanished > died {
		t.Errorf("the members of a dead node counted for %v", w.vanished)
	}
	if got := r.Recovery; got == nil || got.Back != rooms*each || r.Proof.Left != rooms*each {
		t.Errorf("%d members left, recovery %+v; want %d of each", r.Proof.Left, got, rooms*each)
	}
	if r.Proof.ReceivedBack == 0 {
		t.Error("members that came back got nothing")
	}
}
