// Package runner makes one run: it starts the server if it has a command for
// it, pins server and generator to different CPUs if asked to, and ends the
// processes that it started.
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

// DefaultURL is the server's URL if the user gives none.
const DefaultURL = "ws://127.0.0.1:8000"

// Spec describes a run.
type Spec struct {
	Scenario   scenario.Scenario
	URL        string           // several servers: with commas; empty: DefaultURL; with ServerCmd only its path counts
	ServerCmd  string           // has {port} and optionally {admin}; empty: the servers already run
	Servers    int              // number of servers; 0: one
	Adapter    *adapter.Adapter // another server to build, once, and to start; nil: none
	Pids       []int            // of servers that already run; empty: not known
	Admin      string           // URL of a Go server's debug pages; empty: taken from {admin} in ServerCmd
	HurtCmd    string           // commands that make a fault and end it
	HealCmd    string
	Source     netip.Prefix
	Thresholds []result.Threshold
	Pin        bool     // server on the first CPU, generator on the others
	Procs      int      // generators on this machine; 0: one
	Workers    []string // HOST:PORT of generators on other machines
	Frames     load.Frames
	Progress   *cli.Progress
}

// Run makes the run and judges it. An error means that the run could not be
// made, and has the exit code; all other outcomes are in the result. If a
// signal to end arrives meanwhile, Run ends the fault, the processes that it
// started, and the program.
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
		_ = v.stop() // a user who interrupts the program sees no other error
	})
	return r, err
}

// make is Run without handling of signals, except during a build.
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
	case harmed != nil && r.Exit == cli.ServerDied: // after a dead server the heal command may fail, too
		return nil, errors.Join(Verdict(r), harmed)
	case harmed != nil:
		return nil, harmed
	}
	return r, nil
}

// generate makes the load: in this process, or in several.
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

// Verdict returns the result's exit code as an error with its reason; nil for
// 0.
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
