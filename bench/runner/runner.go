// Package runner makes one run of what a person asks for: it starts the server if
// it is told how, keeps server and generator on different CPUs if it is told to,
// and ends what it started.
package runner

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/fleet"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/load"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// DefaultURL is where a server is looked for that nobody named.
const DefaultURL = "ws://127.0.0.1:8000"

// Spec is a run as asked for.
type Spec struct {
	Scenario   scenario.Scenario
	URL        string           // several servers: with commas; empty: DefaultURL; with ServerCmd only its path counts
	ServerCmd  string           // has {port} and perhaps {admin}; empty: the servers run already
	Servers    int              // how many of it, or of Adapter; 0: one
	Adapter    *adapter.Adapter // another server to build, once, and to start; nil: none
	Pids       []int            // of servers that run already; empty: not known
	Admin      string           // URL of a Go server's debug pages; empty: what ServerCmd has for {admin}
	HurtCmd    string           // what scenarios that hurt do, and what mends it
	HealCmd    string
	Source     netip.Prefix
	Thresholds []result.Threshold
	Pin        bool     // server on the first CPU, generator on the others
	Procs      int      // generators on this machine; 0: one
	Workers    []string // HOST:PORT of generators on others
	Frames     load.Frames
	Progress   *cli.Progress
}

// Run makes the run and judges it. An error says that it did not come about, and
// has the exit code; everything else is in the result. A signal to end that comes
// meanwhile mends what was hurt, ends what was started, and the program.
func (s Spec) Run() (r *result.Result, err error) {
	if s.Scenario.Needs != "" {
		return nil, cli.Failf(cli.Usage, "scenario %s needs %s", s.Scenario.Name, s.Scenario.Needs)
	}
	v := newServers(&s)
	err = Interruptible(func(ctx context.Context) error {
		r, err = s.make(ctx, v)
		return err
	}, func() {
		if s.Progress != nil {
			s.Progress.Clear()
		}
		_ = v.stop() // who interrupts hears of nothing else
	})
	return r, err
}

// make is Run without regard to signals, except while something is built.
func (s *Spec) make(ctx context.Context, v *servers) (*result.Result, error) {
	if err := load.CheckPids(s.Pids); err != nil {
		return nil, err
	}
	// The server ends with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cfg := load.Config{Scenario: s.Scenario, URL: s.URL, SourceNet: s.Source, Admin: s.Admin, Frames: s.Frames, Progress: s.Progress,
		Spin: s.Pin && s.Procs <= 1 && len(s.Workers) == 0}
	if cfg.URL == "" {
		cfg.URL = DefaultURL
	}
	if s.Adapter != nil {
		if err := s.Adapter.Prepare(ctx); err != nil {
			return nil, cli.Failf(cli.Usage, "%s: %w", s.Adapter.Name, err)
		}
	}
	cpus, unpin, err := s.pin()
	if err != nil {
		return nil, cli.Failf(cli.Usage, "--pin: %w", err)
	}
	defer unpin()
	if err := v.serve(&cfg, cpus); err != nil {
		return nil, errors.Join(err, v.stop())
	}
	r, err := s.generate(cfg)
	harmed := v.stop()
	if err != nil {
		return nil, errors.Join(err, harmed)
	}
	r.Flags = s.flags()
	r.Judge(s.Thresholds)
	switch {
	case harmed != nil && r.Exit == cli.ServerDied: // then nothing could be mended
		return nil, errors.Join(Verdict(r), harmed)
	case harmed != nil:
		return nil, harmed
	}
	return r, nil
}

// generate makes the load: here, or in several processes.
func (s Spec) generate(cfg load.Config) (*result.Result, error) {
	if s.Procs > 1 || len(s.Workers) > 0 {
		return fleet.Run(cfg, s.Procs, s.Workers)
	}
	return load.Run(cfg)
}

// pin moves this process away from the CPUs of the servers.
func (s Spec) pin() (servers *unix.CPUSet, unpin func(), err error) {
	if !s.Pin {
		return nil, func() {}, nil
	}
	p, err := NewPin()
	if err != nil {
		return nil, nil, err
	}
	unpin, err = p.Generator()
	return &p.Server, unpin, err
}

// Verdict is the result's exit code as an error with its reason; nil for 0.
func Verdict(r *result.Result) error {
	switch r.Exit {
	case cli.OK:
		return nil
	case cli.Missed:
		return cli.Failf(r.Exit, "a threshold was missed")
	case cli.Invalid:
		return cli.Failf(r.Exit, "run invalid: %s", strings.Join(r.Invalid, "; "))
	case cli.ServerDied:
		return cli.Failf(r.Exit, "the server died: %s", r.Died)
	}
	if r.Proof.Sum() == 0 && len(r.Broken) > 0 {
		return cli.Failf(r.Exit, "promise broken: %s", r.Broken[0])
	}
	if r.Proof.Sum() == 0 {
		return cli.Failf(r.Exit, "delivery violation: %s", r.Ended)
	}
	return cli.Failf(r.Exit, "delivery violation: %s", r.Proof.Notes[0])
}
