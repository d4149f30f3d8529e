package redisbridge

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fault is one row of the table in RESULTS.md: a fault of Redis while 2,000 messages a second pass through it, and the rules
// that may be broken in this row. The policy is reject, and the hold time is longer than the outage unless the row sets another
// one.
type fault struct {
	name  string
	redis []string // more lines of configuration
	hold  time.Duration
	long  bool // runs only with DOTS_TEST_ALL
	// strike makes the fault, and returns when the fault is over.
	strike func(f *struck)
	// mayLose says that the fault may lose messages; otherwise no message may be lost and no gap announced.
	mayLose bool
	// unfelt says that the test does not require that a call or a subscription fails.
	unfelt bool
}

// struck is a fault in progress.
type struck struct {
	*traffic
	redis *redisServer
	wire  *wire
}

func faults() []fault {
	sleep := time.Sleep
	return []fault{
		{name: "none", unfelt: true, strike: func(*struck) { sleep(time.Second) }},
		{name: "CLIENT KILL of the subscribers, 100 times", strike: func(f *struck) {
			for range 100 {
				f.redis.do("CLIENT", "KILL", "TYPE", "pubsub")
				sleep(20 * time.Millisecond)
			}
		}},
		{name: "SIGKILL, restart with data", redis: []string{"--appendonly", "yes", "--appendfsync", "no"}, strike: killed},
		// Redis may lose its last answered writes when it is killed: while the disk is busy with the fsync of the previous
		// second, Redis answers before it has written anything (flushAppendOnlyFile).
		{name: "SIGKILL, restart with data (everysec)", redis: everysec, mayLose: true, strike: killed},
		{name: "SIGKILL, restart with an older dump", mayLose: true, strike: func(f *struck) {
			f.redis.do("SAVE")
			f.flows()
			f.redis.kill()
			f.redis.start()
		}},
		{name: "SIGKILL, restart without data", redis: everysec, mayLose: true, strike: func(f *struck) {
			f.redis.kill()
			f.redis.remove()
			f.redis.start()
		}},
		{name: "SIGSTOP 2 s", strike: stopFor(2 * time.Second)},
		{name: "SIGSTOP 12 s, held", long: true, strike: stopFor(12 * time.Second)},
		{name: "SIGSTOP 12 s, hold time 2 s", hold: 2 * time.Second, long: true, strike: stopFor(12 * time.Second)},
		{name: "CLIENT PAUSE 2 s", strike: pauseFor(2000)},
		{name: "CLIENT PAUSE 5 s", long: true, strike: pauseFor(5000)},
		{name: "blackhole 3 s", strike: func(f *struck) {
			f.wire.hole()
			sleep(3 * time.Second)
			f.wire.heal()
		}},
		{name: "blackhole 3 s, hold time 0.5 s", hold: 500 * time.Millisecond, strike: func(f *struck) {
			f.wire.hole()
			sleep(3 * time.Second)
			f.wire.heal()
		}},
		{name: "200 ms round trip", unfelt: true, strike: func(f *struck) {
			f.wire.slow(100 * time.Millisecond)
			sleep(3 * time.Second)
			f.wire.heal()
		}},
		{name: "FLUSHALL", mayLose: true, unfelt: true, strike: func(f *struck) { f.redis.do("FLUSHALL") }},
		{name: "password set while running, 2 s", strike: func(f *struck) {
			f.redis.do("CONFIG", "SET", "requirepass", "secret")
			f.redis.withPassword("secret", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			f.redis.withPassword("secret", "CLIENT", "KILL", "TYPE", "pubsub")
			sleep(2 * time.Second)
			f.redis.withPassword("secret", "CONFIG", "SET", "requirepass", "")
		}},
		{name: "maxmemory reached, 2 s", strike: func(f *struck) {
			f.redis.do("CONFIG", "SET", "maxmemory", "1mb")
			sleep(2 * time.Second)
			f.redis.do("CONFIG", "SET", "maxmemory", "0")
		}},
	}
}

func killed(f *struck) {
	f.redis.kill()
	time.Sleep(time.Second)
	f.redis.start()
}

var everysec = []string{"--appendonly", "yes", "--appendfsync", "everysec"}

func stopFor(d time.Duration) func(*struck) {
	return func(f *struck) {
		f.redis.signal(syscall.SIGSTOP)
		time.Sleep(d)
		f.redis.signal(syscall.SIGCONT)
	}
}

func pauseFor(ms int) func(*struck) {
	return func(f *struck) {
		f.redis.do("CLIENT", "PAUSE", ms)
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
}

// table collects the rows, which are printed when all faults are over.
type table struct {
	mu   sync.Mutex
	rows map[string]string
}

func (tb *table) add(name string, v verdicts) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.rows[name] = v.row(name)
}

const tableHead = "| fault | accepted | refused with 4104 | lost | doubled | reordered | gaps announced | ready again after |\n|---|---|---|---|---|---|---|---|"

// TestFaults makes the table in RESULTS.md: go test ./redisbridge -run TestFaults -v
func TestFaults(t *testing.T) {
	t.Parallel()
	tb := &table{rows: map[string]string{}}
	var order []string
	t.Run("all", func(t *testing.T) {
		for _, f := range faults() {
			if f.long && !long() {
				continue
			}
			order = append(order, f.name)
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				tb.add(f.name, f.run(t))
			})
		}
	})
	text := tableHead
	for _, name := range order {
		text += "\n" + tb.rows[name]
	}
	t.Logf("\n%s", text)
}

func (f fault) run(t *testing.T) verdicts {
	s := startRedis(t, f.redis...)
	l := startWire(t, s.addr())
	cfg := testConfig(l.url())
	cfg.Down, cfg.Hold = Reject, 30*time.Second
	if f.hold > 0 {
		cfg.Hold = f.hold
	}
	a, b := startNode(t, cfg, 1), startNode(t, cfg, 1)
	tr := startTraffic(t, a, b)
	tr.flows()
	f.strike(&struck{tr, s, l})
	v := tr.calm()
	v.judge(t, f.mayLose)
	// If Redis loses its data, it may lose a batch that it had taken. Then the node announces a gap, and closes the senders
	// with 4104.
	if told := f.mayLose && v.gaps > 0; v.rejected > 0 && f.hold == 0 && !told {
		t.Errorf("%d refused within the hold time", v.rejected)
	}
	if felt := a.bridge.stats.failures.Load() + a.bridge.stats.reconnects.Load(); felt == 0 && !f.unfelt {
		t.Error("no call failed and no link ended: the test does not do what it says")
	}
	if held := a.bridge.held.bytes.Load() + b.bridge.held.bytes.Load(); held != 0 {
		t.Errorf("%d bytes are never released", held)
	}
	return v
}

// withPassword sends a command to a server that requires a password.
func (s *redisServer) withPassword(password string, args ...any) {
	s.t.Helper()
	c := s.client()
	defer c.Close()
	conn := c.Conn()
	defer conn.Close()
	ctx := context.Background()
	if err := conn.Auth(ctx, password).Err(); err != nil {
		s.t.Fatal(err)
	}
	if err := conn.Do(ctx, args...).Err(); err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
}
