package fleet

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/probe"
	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/load"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// TestMain lets this program act as the generators that Run starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		if Work(os.Stdin, os.Stdout, os.Stdin, func() { os.Exit(1) }) != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func config(url string, change func(s *scenario.Scenario)) load.Config {
	s := scenario.Default()
	s.Name, s.Conns, s.Rooms, s.Rate = "small", 40, 4, scenario.Rate{PerSecond: 200}
	s.Duration, s.Warmup, s.Settle = time.Second, 0, 5*time.Second
	if change != nil {
		change(&s)
	}
	return load.Config{Scenario: s, URL: url}
}

func mustRun(t *testing.T, cfg load.Config, procs int, addrs ...string) *result.Result {
	t.Helper()
	r, err := Run(cfg, procs, addrs)
	if err != nil {
		t.Fatal(err)
	}
	r.Judge(nil)
	return r
}

func TestSeveralGeneratorsKeepOneSchedule(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	r := mustRun(t, config(stub.Start(t, hub.Serve), nil), 3)
	tr := r.Traffic
	if tr.Conns != 40 || tr.Sent != 200 || tr.Due != 200 || tr.Delivered != 2000 || r.Latency.Count != 2000 || r.Generator.Processes != 3 {
		t.Errorf("got %+v, latency %+v, generator %+v", tr, r.Latency, r.Generator)
	}
	if r.Proof.Sum() != 0 || r.Proof.Sent != 200 || r.Proof.Expected != 2000 || r.First.Count != 200 || len(r.Seconds) < 1 || r.Seconds[0].Delivered < 1000 {
		t.Errorf("proof %+v, first %+v, seconds %+v", r.Proof, r.First, r.Seconds)
	}
}

// The first generator reads the figures of the server while the connections of
// all generators are still open.
func TestTheServerIsReadBeforeAnyGeneratorLeaves(t *testing.T) {
	hub := &stub.Hub{}
	cfg := config(stub.Start(t, hub.Serve), func(s *scenario.Scenario) { s.Conns, s.Settle = 200, 0 })
	cfg.Pids = []int{os.Getpid()}
	before := probe.Descriptors(os.Getpid())
	r := mustRun(t, cfg, 4)
	if got := r.Server.Descriptors; got < before+200 {
		t.Errorf("the server had %d descriptors at the end, %d before, want %d more", got, before, 200)
	}
}

// wronged is a server that passes one message through frames: the first message
// for member 7 whose number is at least n.
func wronged(n int, frames func(message []byte) [][]byte) *stub.Hub {
	var once atomic.Bool
	return &stub.Hub{Tamper: func(_ string, member, message int, text []byte) [][]byte {
		if member == 7 && message >= n && !once.Swap(true) {
			return frames(text)
		}
		return [][]byte{stub.Frame(stub.Text, text)}
	}}
}

func TestARoomOverSeveralGeneratorsIsJudgedAsOne(t *testing.T) {
	t.Parallel()
	one := func(s *scenario.Scenario) { s.Rooms = 1 }
	for name, c := range map[string]struct {
		hub  *stub.Hub
		want proof.Counts
	}{
		"right": {&stub.Hub{}, proof.Counts{}},
		"drop":  {wronged(50, func([]byte) [][]byte { return nil }), proof.Counts{Lost: 1}},
		"double": {wronged(50, func(m []byte) [][]byte {
			return [][]byte{stub.Frame(stub.Text, m), stub.Frame(stub.Text, m)}
		}), proof.Counts{Doubled: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(stub.Start(t, c.hub.Serve), one)
			if c.want.Lost > 0 {
				cfg.Scenario.Settle = 2 * time.Second // a message is missing, so the run waits for this time twice
			}
			r := mustRun(t, cfg, 2)
			if r.Proof.Counts != c.want || r.Proof.Sent != 200 || r.Proof.Expected != 200*40 {
				t.Errorf("got %+v", r.Proof)
			}
		})
	}
}

func TestAWorkerOnAnotherMachineHasRoomsOfItsOwn(t *testing.T) {
	hub := &stub.Hub{}
	url := stub.Start(t, hub.Serve)
	addr, ended := serve(t, newHost("", true, io.Discard))
	r := mustRun(t, config(url, nil), 2, addr)
	if err := <-ended; err != nil || r.Proof.Sum() != 0 || r.Proof.Expected != 2000 || r.Generator.Processes != 3 {
		t.Errorf("got %+v, %v", r.Proof, err)
	}
	_, err := Run(config(url, func(s *scenario.Scenario) { s.Rooms = 1 }), 1, []string{addr, addr})
	if e := (&cli.Error{}); !errors.As(err, &e) || e.Code != cli.Usage || !strings.Contains(err.Error(), "clocks of different machines") {
		t.Errorf("one room over machines: got %v", err)
	}
}

func TestWhoDoesNotKnowTheTokenIsRefused(t *testing.T) {
	hub := &stub.Hub{}
	url := stub.Start(t, hub.Serve)
	addr, _ := serve(t, newHost("secret", false, io.Discard))
	if _, err := Run(config(url, nil), 1, []string{addr}); err == nil || !strings.Contains(err.Error(), "worker "+addr+": wrong token") {
		t.Errorf("a coordinator with a wrong token was accepted: %v", err)
	}
	t.Setenv(Token, "secret")
	if r := mustRun(t, config(url, nil), 1, addr); r.Traffic.Sent != 200 {
		t.Errorf("with the token: got %+v", r.Traffic)
	}
}

func TestMistakesEndAllGeneratorsWithTheFirstReason(t *testing.T) {
	for _, c := range []struct {
		cfg  load.Config
		want string
	}{
		{config("ws://127.0.0.1:1", nil), "no server at 127.0.0.1:1"},
		{config("ws://127.0.0.1:1", func(s *scenario.Scenario) { s.Restart = time.Second / 2 }), "leave out --procs and --workers"},
		{config("ws://127.0.0.1:1", func(s *scenario.Scenario) { s.Conns, s.Rooms = 1, 1 }), "conns: 1: must be at least the number of generators (2)"},
		{config("http://127.0.0.1:1", nil), "must begin with ws://"},
	} {
		_, err := Run(c.cfg, 2, nil)
		if e := (&cli.Error{}); !errors.As(err, &e) || e.Code != cli.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	for _, addrs := range [][]string{nil, {"127.0.0.1:1", "127.0.0.1:1"}} {
		if _, err := Run(config("ws://127.0.0.1:1", nil), -1, addrs); err == nil || !strings.Contains(err.Error(), "procs: -1") {
			t.Errorf("fewer than none, and %d workers: got %v", len(addrs), err)
		}
	}
	if _, err := Run(config("ws://127.0.0.1:1", nil), 1, []string{"127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "dotsbench worker --listen") {
		t.Errorf("a worker that is not there: got %v", err)
	}
}
