package fleet

import (
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/load"
	"dotsconnect/bench/scenario"
)

// lying starts a worker that takes part in each step up to the start of the
// schedule, and then closes the connection.
func lying(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		l := newLine(c, c, c)
		if l.read(&hello{}) != nil || l.write(said{Step: stepHello}) != nil || l.read(&job{}) != nil {
			return
		}
		for _, step := range []string{load.StepReady, load.StepOpen, load.StepStart} {
			if l.write(said{Step: step}) != nil || l.read(&met{}) != nil {
				return
			}
		}
	}()
	return ln.Addr().String()
}

func TestALostGeneratorEndsTheRunAtOnce(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	var hurt atomic.Bool
	cfg := config(stub.Start(t, hub.Serve), func(s *scenario.Scenario) { s.Duration, s.Hurt = 30*time.Second, 10*time.Second })
	cfg.Nemesis = func(string) error { hurt.Store(true); return nil }
	addr, began := lying(t), time.Now()
	_, err := Run(cfg, 2, []string{addr})
	if err == nil || !strings.Contains(err.Error(), "worker "+addr+": the other side has ended") || time.Since(began) > 8*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	if hurt.Load() {
		t.Error("the server was hurt before its time")
	}
}

func TestAGeneratorThatSaysNothingIsGivenUp(t *testing.T) {
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	good, other := net.Pipe()
	defer func() { _ = other.Close() }()
	go func() { _ = newLine(other, other, other).write(said{Step: load.StepReady}) }()
	err := listen([]*worker{{line: newLine(good, good, good), name: "generator 1"}, {line: newLine(here, here, here), name: "generator 2"}},
		load.StepReady, 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), `generator 2: did not reach step "ready" within 50ms`) {
		t.Errorf("got %v", err)
	}
}

func TestNobodyWaitsShorterThanARunMayTake(t *testing.T) {
	cfg := config("", func(s *scenario.Scenario) {
		s.Conns, s.Open, s.Warmup, s.Duration = 1000, scenario.Rate{PerSecond: 10}, time.Minute, time.Hour
	})
	for step, atLeast := range map[string]time.Duration{load.StepReady: time.Minute, load.StepOpen: 100*time.Second + time.Minute,
		load.StepStart: time.Minute, load.StepSent: time.Hour + 2*time.Minute, "": time.Minute + cfg.Scenario.Settle} {
		if got := patience(&cfg, step); got < atLeast {
			t.Errorf("step %q: got %v, want at least %v", step, got, atLeast)
		}
	}
}

func TestAFailedRunHurtsNobodyLater(t *testing.T) {
	for _, dismissed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex // the functions of timers run concurrently
			var done []string
			s := &scenario.Scenario{Hurt: 2 * time.Second, Heal: 5 * time.Second}
			c := &crew{nemesis: schedule(s, func(what string) {
				mu.Lock()
				defer mu.Unlock()
				done = append(done, what)
			})}
			time.Sleep(3 * time.Second) // in the fake time of synctest
			if dismissed {
				c.dismiss()
			}
			time.Sleep(time.Hour)
			mu.Lock()
			defer mu.Unlock()
			if got, want := strings.Join(done, " "), map[bool]string{false: "hurt heal", true: "hurt"}[dismissed]; got != want {
				t.Errorf("dismissed %v: got %q, want %q", dismissed, got, want)
			}
		})
	}
}

func TestARunWhoseHarmCouldNotBeDoneFails(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	cfg := config(stub.Start(t, hub.Serve), func(s *scenario.Scenario) { s.Hurt = 200 * time.Millisecond })
	refused := errors.New("no such command")
	cfg.Nemesis = func(string) error { return refused }
	if _, err := Run(cfg, 2, nil); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

func TestAChildWhoseCoordinatorEndsDoesNotFinishItsRun(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	w, err := start(0)
	if err != nil {
		t.Fatal(err)
	}
	j := jobOf(func(j *job) {
		j.URL = stub.Start(t, hub.Serve)
		for name, value := range map[string]string{"conns": "4", "rooms": "2", "rate": "10/s", "duration": "20s", "warmup": "0s"} {
			j.Fields[name] = value
		}
	})
	if err := w.greet(""); err != nil {
		t.Fatal(err)
	}
	if err := w.write(j); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{load.StepReady, load.StepOpen, load.StepStart} {
		if err := w.hear(step); err != nil {
			t.Fatal(err)
		}
		var now unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
		if err := w.write(met{Step: step, Start: now.Nano()}); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	_ = w.end.Close()
	_ = w.cmd.Wait()
	if spent := time.Since(began); spent > 10*time.Second {
		t.Errorf("it ended after %v", spent)
	}
}
