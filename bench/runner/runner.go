// Package runner makes one run. It starts the server if the user gives a
// command that starts one. With --pin it gives the server and the generator
// different CPUs. At the end it ends the processes that it started.
package runner

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/client"
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
	URL        string           // URLs are separated by commas; empty: DefaultURL; with ServerCmd only the path is used
	ServerCmd  string           // command that starts a server, with {port} and optionally {admin}; empty: the servers already run
	Servers    int              // number of servers; 0 means 1
	Adapter    *adapter.Adapter // how to build and start a server of another kind; nil: not wanted
	Pids       []int            // process ids of servers that already run; empty: not known
	Admin      string           // URL of a Go server's debug pages; empty: taken from {admin} in ServerCmd
	HurtCmd    string           // command that makes a fault; HealCmd ends it
	HealCmd    string
	Source     netip.Prefix
	Thresholds []result.Threshold
	InvalidOK  bool     // an INVALID run does not change the exit code
	Spin       string   // SpinAuto, SpinYes or SpinNo; empty: SpinAuto
	Pin        bool     // the server gets the first CPU, and the generator gets the other CPUs
	Procs      int      // number of generators on this machine; 0 means 1
	Workers    []string // HOST:PORT of generators on other machines
	Frames     load.Frames
	Progress   *cli.Progress
}

// Run makes the run and judges it. An error means that the run could not be
// made, and contains the exit code. All other outcomes, good or bad, are in the
// result. If SIGINT or SIGTERM arrives during the run, Run ends the fault and
// the processes that it started, and then exits the program.
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
		_ = v.stop() // a user who interrupts the program needs no further error
	})
	return r, err
}

// make does the work of Run. A signal cancels ctx. That ends only a build; Run
// ends the servers and the fault.
func (s *Spec) make(ctx context.Context, v *servers) (*result.Result, error) {
	if err := load.CheckPids(s.Pids); err != nil {
		return nil, err
	}
	// The kernel ends a server when the thread that started it ends, so keep
	// this thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cfg := load.Config{Scenario: s.Scenario, URL: s.URL, SourceNet: s.Source, Admin: s.Admin, Frames: s.Frames, Progress: s.Progress,
		Pinned: s.Pin, Started: s.ServerCmd != "" || s.Adapter != nil, Spin: s.spins()}
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
	r.InvalidOK = s.InvalidOK
	r.Judge(s.Thresholds)
	switch {
	case harmed != nil && r.Exit == cli.ServerDied: // if the server died, the heal command may fail because of that, so return both errors
		return nil, errors.Join(Verdict(r), harmed)
	case harmed != nil:
		return nil, harmed
	}
	return r, nil
}

// Values of Spec.Spin.
const (
	SpinAuto = "auto"
	SpinYes  = "yes"
	SpinNo   = "no"
)

// spins reports whether the generator polls for events without sleeping. That
// makes its own lateness much smaller, but it takes a CPU. So by default it does
// so if a CPU is free: if the server has CPUs of its own or is on another
// machine, or if there are at least four.
func (s *Spec) spins() bool {
	const enough = 4
	switch {
	case s.Procs > 1 || len(s.Workers) > 0 || s.Spin == SpinNo:
		return false
	case s.Spin == SpinYes || s.Pin:
		return true
	}
	var ours unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &ours); err != nil {
		return false
	}
	return ours.Count() >= enough || ours.Count() > 1 && s.elsewhere()
}

// elsewhere reports whether all servers are on other machines.
func (s *Spec) elsewhere() bool {
	if s.ServerCmd != "" || s.Adapter != nil || len(s.Pids) > 0 || s.URL == "" {
		return false
	}
	for url := range strings.SplitSeq(s.URL, ",") {
		target, err := client.ParseTarget(strings.TrimSpace(url))
		if err != nil || target.Local() {
			return false
		}
	}
	return true
}

// generate makes the load, in this process or with several generators.
func (s Spec) generate(cfg load.Config) (*result.Result, error) {
	if s.Procs > 1 || len(s.Workers) > 0 {
		return fleet.Run(cfg, s.Procs, s.Workers)
	}
	return load.Run(cfg)
}

// pin moves this process away from the CPU of the servers, and returns that
// CPU. Without --pin it does nothing.
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

// Verdict returns the exit code of a result and the reason for it as an error,
// or nil if the code is 0.
func Verdict(r *result.Result) error {
	switch r.Exit {
	case cli.OK:
		return nil
	case cli.Missed:
		return cli.Failf(r.Exit, "a threshold was missed")
	case cli.Invalid:
		if len(r.Invalid) == 0 {
			return cli.Failf(r.Exit, "a threshold cannot be judged (let it pass with --invalid ok)")
		}
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
