package command

import (
	"math"
	"strconv"
	"strings"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/scenario"
)

// A flag that would have no effect is refused. Otherwise the user would believe
// that the figures were measured with the flag.

// check refuses flags that contradict each other or, if single is true, the
// scenario. single is false for a suite, which has several scenarios.
func (f *runFlags) check(single bool) error {
	if f.spec.Procs < 1 {
		return cli.Failf(cli.Usage, "--procs %d: must be at least 1", f.spec.Procs)
	}
	if s := f.spec.Spin; s != "" && s != runner.SpinAuto && s != runner.SpinYes && s != runner.SpinNo {
		return cli.Failf(cli.Usage, "--spin %q: write auto, yes or no", s)
	}
	if f.spec.Spin == runner.SpinYes && (f.spec.Procs > 1 || len(f.spec.Workers) > 0) {
		return cli.Failf(cli.Usage, "--spin yes: only a single generator can spin; leave out --procs and --workers")
	}
	if r := f.spec.Frames.Receive; r != "" && !strings.Contains(r, "{payload}") {
		return cli.Failf(cli.Usage, "--receive %q: must contain {payload}", r)
	}
	if !f.servers {
		return nil
	}
	if err := f.checkServers(); err != nil {
		return err
	}
	s := &f.spec
	if s.Adapter != nil && s.Servers > 1 && single && s.Scenario.Across == scenario.AcrossMembers {
		if err := s.Adapter.OneSystem(s.Servers); err != nil {
			return cli.Failf(cli.Usage, "--adapter: %w", err)
		}
	}
	switch {
	case len(s.Workers) > 0 && len(s.Pids) > 0 && s.Procs == 1:
		return cli.Failf(cli.Usage, "--server-pid: workers cannot see that process; add --procs 2 to run generators on this machine, or leave --server-pid out")
	case s.Pin && s.ServerCmd == "" && s.Adapter == nil && len(s.Pids) == 0:
		return cli.Failf(cli.Usage, "--pin: the server's process is not known; give its id with --server-pid, or start the server with --server-cmd")
	case single && s.Scenario.Hurt == 0 && s.HurtCmd != "":
		return cli.Failf(cli.Usage, "--hurt-cmd: scenario %s has no time at which to run the command; set --hurt and --heal", s.Scenario.Name)
	case single && s.Scenario.Hurt == 0 && s.HealCmd != "":
		return cli.Failf(cli.Usage, "--heal-cmd: scenario %s has no time at which to run the command; set --hurt and --heal", s.Scenario.Name)
	}
	return nil
}

// checkServers checks the flags that name servers.
func (f *runFlags) checkServers() error {
	s, urls := &f.spec, strings.Count(f.spec.URL, ",")+1
	switch {
	case s.ServerCmd != "" && f.pids != "":
		return cli.Failf(cli.Usage, "--server-cmd and --server-pid exclude each other: dotsbench knows the process that --server-cmd starts")
	case s.Servers < 1:
		return cli.Failf(cli.Usage, "--servers %d: must be at least 1", s.Servers)
	case s.Servers > 1 && s.ServerCmd == "" && s.Adapter == nil:
		return cli.Failf(cli.Usage, "--servers %d: needs --server-cmd or --adapter to start them; list servers that already run in --url, with commas", s.Servers)
	case len(s.Pids) > 0 && s.URL != "" && len(s.Pids) != urls:
		return cli.Failf(cli.Usage, "--server-pid names %d processes, but --url names %d servers", len(s.Pids), urls)
	}
	return nil
}

// checkNumber refuses a threshold whose limit is NaN or infinite, because it
// would be met always or never.
func checkNumber(threshold string) error {
	value := strings.TrimLeft(threshold[strings.LastIndexAny(threshold, "<>")+1:], "= ")
	v, err := strconv.ParseFloat(strings.TrimRight(value, " x/s"), 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		return cli.Failf(cli.Usage, "--threshold %q: %q is not a limit", threshold, value)
	}
	return nil
}
