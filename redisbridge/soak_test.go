package redisbridge

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"
)

var (
	soakMessages = flag.Int("soak.messages", 20_000, "messages of TestSoak")
	soakFsync    = flag.String("soak.fsync", "no", "appendfsync of its Redis; a process that is killed loses nothing by no, and does not wait for a busy disk")
	soakSeed     = flag.Uint64("soak.seed", 0, "seed of its faults; 0: another one each time")
)

const soakEach = 2 // messages of each speaker per tick: 4,000 a second by all speakers

// soak makes one fault after the other, in a Redis or in the connections to it. Each node has its own wire, so that a fault may
// concern one node or both. No fault is longer than the hold time, and the log reaches back further than the hold time. So no
// message may be lost. Gaps may be announced only after Redis was emptied, and even then neither node has missed a message.
type soak struct {
	*traffic
	redis *redisServer
	wires []*wire
	rng   *rand.Rand
}

// harm is a kind of fault. strike makes the fault, and returns a description of it when it is over.
type harm struct {
	name   string
	strike func(k *soak) string
}

func harms() []harm {
	const most = 3 * time.Second
	all := []harm{
		{"CLIENT KILL of the subscribers", func(k *soak) string { return k.killClients("pubsub") }},
		{"CLIENT KILL of all others", func(k *soak) string { return k.killClients("normal") }},
		{"CLIENT KILL of all", func(k *soak) string { return k.killClients("pubsub", "normal") }},
		{"SIGSTOP 1 to 3 s", func(k *soak) string {
			d := k.between(time.Second, most)
			stopFor(d)(&struck{redis: k.redis})
			return d.String()
		}},
		{"SIGKILL, restart with data", func(k *soak) string {
			d := k.between(0, 2*time.Second)
			k.redis.kill()
			time.Sleep(d)
			k.redis.start()
			return d.String()
		}},
		{"CLIENT PAUSE 1 to 3 s", func(k *soak) string {
			d := k.between(time.Second, most)
			pauseFor(int(d.Milliseconds()))(&struck{redis: k.redis})
			return d.String()
		}},
		{"blackhole 1 to 3 s", hurtWires(wireMode{hole: true})},
		{"connections reset for 1 to 3 s", hurtWires(wireMode{reset: true})},
		{"200 ms round trip for 1 to 3 s", hurtWires(wireMode{delay: 100 * time.Millisecond})},
		{"20 kB/s for 1 to 3 s", hurtWires(wireMode{rate: 20 << 10})},
		{emptied, func(k *soak) string {
			k.settleDown()
			k.redis.do("FLUSHALL")
			return "at once"
		}},
	}
	if *soakMessages >= 100_000 { // only in long runs, because it slows other tests down
		all = append(all, harm{"SIGSTOP of both nodes 1 to 3 s", func(k *soak) string {
			d := k.between(time.Second, most)
			script := fmt.Sprintf("kill -STOP %d; sleep %.3f; kill -CONT %[1]d", os.Getpid(), d.Seconds())
			if err := exec.Command("/bin/sh", "-c", script).Run(); err != nil {
				k.t.Error(err)
			}
			return d.String()
		}})
	}
	return all
}

// emptied is the name of the fault that may cause gaps.
const emptied = "FLUSHALL"

// settleDown waits until both nodes have received all batches that Redis counts: otherwise FLUSHALL could delete batches that
// one node has not received.
func (k *soak) settleDown() {
	eventually(k.t, "both nodes are in step", func() bool {
		for i, l := range k.nodes[0].bridge.lanes {
			if l.position().epoch == "" || l.position().epoch != k.nodes[1].bridge.lanes[i].position().epoch || k.nodes[0].bridge.Ready() != nil || k.nodes[1].bridge.Ready() != nil {
				return false
			}
		}
		return true
	})
}

// hurtWires makes a fault in the wire of one node, or of both nodes.
func hurtWires(m wireMode) func(*soak) string {
	return func(k *soak) string {
		d := k.between(time.Second, 3*time.Second)
		some := k.wires
		if i := k.rng.IntN(3); i < len(some) {
			some = some[i : i+1]
		}
		for _, w := range some {
			w.set(m)
		}
		time.Sleep(d)
		for _, w := range some {
			w.set(wireMode{})
		}
		return fmt.Sprint(d, " for ", len(some), " of ", len(k.wires))
	}
}

func (k *soak) between(low, high time.Duration) time.Duration {
	return (low + time.Duration(k.rng.Int64N(int64(high-low)))).Round(time.Millisecond)
}

// killClients ends the connections of the given types 1 to 20 times, with pauses in which some clients connect again.
func (k *soak) killClients(types ...string) string {
	times := 1 + k.rng.IntN(20)
	for range times {
		for _, name := range types {
			k.redis.do("CLIENT", "KILL", "TYPE", name, "SKIPME", "yes")
		}
		time.Sleep(k.between(0, 100*time.Millisecond))
	}
	return fmt.Sprint(times, " times")
}

// TestSoak makes faults in a random order until the given number of messages was sent: go test ./redisbridge -run Soak -v
// -soak.messages=1000000
func TestSoak(t *testing.T) {
	t.Parallel()
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-soak.seed=%d", seed)
	k := startSoak(t, seed)
	began, done := time.Now(), map[string]int{}
	var deck []harm
	for told := int64(0); k.said.Load() < int64(*soakMessages); {
		if len(deck) == 0 { // each kind of fault comes once before any kind comes again
			deck = harms()
			k.rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		k.flows()
		at := time.Since(began)
		what := deck[0].strike(k)
		t.Logf("%6.1f s: %s: %s", at.Seconds(), deck[0].name, what)
		done[deck[0].name]++
		deck = deck[1:]
		if n := k.said.Load() / 100_000; n > told {
			told = n
			t.Logf("%d messages, %d gaps", k.said.Load(), k.nodes[0].gaps.Load()+k.nodes[1].gaps.Load())
		}
	}
	v := k.calm()
	v.judge(t, done[emptied] > 0)
	if v.lost > 0 {
		t.Errorf("%d lost of %d", v.lost, v.accepted)
	}
	if v.rejected > 0 || v.accepted < *soakMessages {
		t.Errorf("%d accepted, %d refused within the hold time", v.accepted, v.rejected)
	}
	var reconnects, failures, refilled uint64
	for _, n := range k.nodes {
		if held := n.bridge.held.bytes.Load(); held != 0 {
			t.Errorf("%d bytes are never released", held)
		}
		st := &n.bridge.stats
		reconnects, failures, refilled = reconnects+st.reconnects.Load(), failures+st.failures.Load(), refilled+st.refilled.Load()
	}
	faults := fmt.Sprintf("\n%d calls failed, %d connections ended, %d batches came from the log", failures, reconnects, refilled)
	for _, h := range harms() {
		faults += fmt.Sprintf("\n%4d x %s", done[h.name], h.name)
	}
	t.Logf("%.0f s, seed %d\n%s\n%s%s", time.Since(began).Seconds(), seed, tableHead, v.row("soak"), faults)
}

func startSoak(t *testing.T, seed uint64) *soak {
	s := startRedis(t, "--appendonly", "yes", "--appendfsync", *soakFsync)
	k := &soak{redis: s, rng: rand.New(rand.NewPCG(seed, 1))}
	var nodes []*testNode
	for range 2 {
		w := startWire(t, s.addr())
		cfg := testConfig("redis://" + w.addr)
		cfg.Down, cfg.Hold = Reject, time.Minute
		cfg.OnGap = func(g Gap) { t.Logf("a gap: %+v", g) }
		k.wires, nodes = append(k.wires, w), append(nodes, startNode(t, cfg, 1))
	}
	k.traffic = startTrafficOf(t, soakEach, nodes...)
	return k
}
