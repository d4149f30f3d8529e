package load

import (
	"strings"
	"sync"
	"testing"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// small is a scenario whose run takes little more than a second.
func small(change func(s *scenario.Scenario)) scenario.Scenario {
	s := scenario.Default()
	s.Name, s.Conns, s.Rooms, s.Rate = "small", 32, 4, scenario.Rate{PerSecond: 200}
	s.Duration, s.Warmup, s.Settle, s.Arrivals = time.Second, 0, 5*time.Second, scenario.Equidistant
	change(&s)
	return s
}

func mustRun(t *testing.T, cfg Config) *result.Result {
	t.Helper()
	if err := cfg.Scenario.Validate(); err != nil {
		t.Fatal(err)
	}
	r, err := Run(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Judge(nil)
	return r
}

func TestAGeneratorThatStoodStillSendsTheRest(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	stood := false
	cfg := Config{URL: stub.Start(t, hub.Serve), Scenario: small(func(s *scenario.Scenario) { s.Duration = 1200 * time.Millisecond }),
		Nemesis: func(string) error {
			stood = true
			time.Sleep(1500 * time.Millisecond) // stops the thread of the run
			return nil
		}}
	cfg.Scenario.Hurt, cfg.Scenario.Heal = 700*time.Millisecond, 0
	r := mustRun(t, cfg)
	if !stood || r.Traffic.Due != 240 || r.Traffic.Sent != 240 || r.Latency.Count != 240*8 || r.Latency.Max < 500_000 || r.Exit != cli.Invalid {
		t.Errorf("got %+v, latency %+v, lateness %+v, exit %d", r.Traffic, r.Latency, r.Lateness, r.Exit)
	}
	if len(r.Seconds) < 3 || r.Seconds[0].Delivered == 0 || r.Seconds[1].Delivered != 0 || r.Seconds[2].Delivered == 0 {
		t.Errorf("the second in which the generator stood still is missing: %+v", r.Seconds)
	}
}

func TestSilentAndSlowMembersAreNotTheSame(t *testing.T) {
	s := small(func(s *scenario.Scenario) { s.Conns, s.Silent, s.Slow = 1000, 0.2, 0.1 })
	silent, slow := newSilent(&s), newSlow(&s)
	a, b, both := 0, 0, 0
	for m := range int32(1000) {
		if silent.is(m) {
			a++
		}
		if slow.share.has(m) {
			b++
		}
		if silent.is(m) && slow.share.has(m) {
			both++
		}
	}
	if a != 200 || b != 100 || both != 0 {
		t.Errorf("%d silent, %d slow, %d both", a, b, both)
	}
}

func TestFirstAndLastReceiverAreCountedOncePerMessage(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	r := mustRun(t, Config{URL: stub.Start(t, hub.Serve), Scenario: small(func(*scenario.Scenario) {})})
	if r.Latency.Count != 1600 || r.First.Count != 200 || r.Last.Count != 200 || r.Last.P50 < r.First.P50 {
		t.Errorf("%d deliveries, first %+v, last %+v", r.Latency.Count, r.First, r.Last)
	}
	if r.Traffic.PerRead <= 0 || len(r.Plots.Latency) < 5 || r.Exit == cli.Violated {
		t.Errorf("got %+v, plots %v, exit %d", r.Traffic, r.Plots, r.Exit)
	}
}

func TestGuestsComeAndGoAndWhatTheyWriteIsForAll(t *testing.T) {
	t.Parallel()
	churning := func(s *scenario.Scenario) { s.Churn = scenario.Rate{PerSecond: 400} }
	hub := &stub.Hub{}
	r := mustRun(t, Config{URL: stub.Start(t, hub.Serve), Scenario: small(churning)})
	if c := r.Churn; r.Proof.Sum() != 0 || len(r.Broken) > 0 || c.Cut+c.Opened < 50 || c.Sent == 0 || c.Seen == 0 {
		t.Errorf("churn %+v, proof %+v, broken %v", r.Churn, r.Proof, r.Broken)
	}
	// Repeat the run with a server that withholds the message of one guest from
	// one member.
	withheld := false
	hub = &stub.Hub{Tamper: func(_ string, member, _ int, message []byte) [][]byte {
		s, ok := readStamp(message[len(`{"message":"`):], time.Now().UnixNano())
		if ok && s.sender == proof.Guest && member == 2 && !withheld {
			withheld = true
			return nil
		}
		return [][]byte{stub.Frame(stub.Text, message)}
	}}
	r = mustRun(t, Config{URL: stub.Start(t, hub.Serve), Scenario: small(churning)})
	if r.Proof.Counts != (proof.Counts{Lost: 1}) || r.Exit != cli.Violated || !strings.Contains(r.Proof.Notes[0], "lost the message of guest") {
		t.Errorf("got %+v, exit %d", r.Proof, r.Exit)
	}
}

func TestWhoStopsToReadIsNotJudgedAndTheOthersAre(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	r := mustRun(t, Config{URL: stub.Start(t, hub.Serve), Scenario: small(func(s *scenario.Scenario) { s.Slow = 0.25 })})
	if r.Slow.Members != 8 || r.Proof.Left != 8 || r.Proof.Sum() != 0 || r.Latency.Count < 200*5 || r.Latency.Count > 200*7 {
		t.Errorf("slow %+v, proof %+v, %d deliveries", r.Slow, r.Proof, r.Latency.Count)
	}
}

// kicker is a server that closes its n-th connection when no heartbeat has come
// for the time after(n).
func kicker(hub *stub.Hub, after func(n int) time.Duration) func(c *stub.Conn) {
	n := 0
	return func(c *stub.Conn) {
		hub.Lock()
		n++
		limit := after(n)
		hub.Unlock()
		for {
			c.ReadUntil(time.Now().Add(limit))
			if _, _, err := c.Read(); err != nil {
				c.Write(stub.CloseFrame(4100, "heartbeat_missed"))
				return
			}
		}
	}
}

func TestKicksAreJudgedByOurOwnStamps(t *testing.T) {
	t.Parallel()
	silent := func(s *scenario.Scenario) {
		s.Rate, s.Silent, s.MaxAge, s.Beat = scenario.Rate{}, 0.5, time.Second, 200*time.Millisecond
		s.Duration, s.Settle = 2500*time.Millisecond, 0
	}
	run := func(after func(n int) time.Duration) *result.Result {
		return mustRun(t, Config{URL: stub.Start(t, kicker(&stub.Hub{}, after)), Scenario: small(silent)})
	}
	r := run(func(int) time.Duration { return 1100 * time.Millisecond })
	if k := r.Kicks; k.Silent != 16 || k.Kicked != 16 || k.Early+k.Missing+k.Wrong != 0 || r.Kick.Count != 16 || len(r.Plots.Kick) == 0 {
		t.Errorf("a right server: %+v, %+v, broken %v", k, r.Kick, r.Broken)
	}
	r = run(func(n int) time.Duration {
		if n == 3 {
			return 20 * time.Millisecond
		}
		return 1100 * time.Millisecond
	})
	// If the third member is silent, the server closed it too early. If the
	// third member sends heartbeats, the server closed it wrongly.
	if k := r.Kicks; k.Early+k.Wrong != 1 || r.Exit != cli.Violated || len(r.Broken) != 1 {
		t.Errorf("one ended too early: %+v, exit %d, %v", k, r.Exit, r.Broken)
	}
	r = run(func(int) time.Duration { return time.Minute })
	if k := r.Kicks; k.Missing != 16 || r.Exit != cli.Violated {
		t.Errorf("a server that closes no connection: %+v, exit %d", k, r.Exit)
	}
}

func TestMembersComeBackToAServerThatWasStartedAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	gone := make(chan struct{})
	current := func() chan struct{} {
		mu.Lock()
		defer mu.Unlock()
		return gone
	}
	hub := &stub.Hub{}
	url := stub.Start(t, func(c *stub.Conn) {
		end := current()
		go func() {
			<-end
			c.Reset()
		}()
		hub.Serve(c)
	})
	restarted := func() <-chan Restarted {
		mu.Lock()
		close(gone)
		gone = make(chan struct{})
		mu.Unlock()
		told := make(chan Restarted, 1)
		told <- Restarted{}
		return told
	}
	defer func() { close(current()) }()
	s := small(func(s *scenario.Scenario) {
		s.Rate, s.Restart, s.Duration, s.Settle = scenario.Rate{}, 300*time.Millisecond, 2*time.Second, 0
	})
	r := mustRun(t, Config{URL: url, Scenario: s, Restart: restarted})
	if v := r.Recovery; v.Back != 32 || v.At50 == 0 || v.At100 < v.At50 || r.Reconnect.Count != 32 || r.Exit == cli.Violated {
		t.Errorf("got %+v, reconnect %+v, broken %v, exit %d", v, r.Reconnect, r.Broken, r.Exit)
	}
}

func TestAnotherProtocolJoinsFirst(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	url := stub.Start(t, func(c *stub.Conn) {
		if _, text, err := c.Read(); err != nil || !strings.HasPrefix(string(text), "join db-") {
			c.Write(stub.CloseFrame(4000, "what?"))
			return
		}
		c.Write(stub.Frame(stub.Text, []byte("welcome")))
		hub.Serve(c)
	})
	r := mustRun(t, Config{URL: url, Scenario: small(func(*scenario.Scenario) {}),
		Frames: Frames{Join: []string{"join {room}"}, Joined: "^welcome$", Send: `{"say":"{payload}","in":"{room}"}`, Many: true}})
	if r.Proof.Sum() != 0 || r.Latency.Count != 1600 || r.Traffic.Other != 32 {
		t.Errorf("proof %+v, %d deliveries, %d others", r.Proof, r.Latency.Count, r.Traffic.Other)
	}
}
