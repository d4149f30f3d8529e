package fleet

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/load"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// Token is the environment variable with the secret that a coordinator and its
// workers share.
const Token = "DOTSBENCH_TOKEN"

// crew has the generators of one run and the timers of its fault. It belongs to
// the goroutine that calls Run.
type crew struct {
	cfg     load.Config
	workers []*worker
	nemesis []*time.Timer
	undone  chan error // the timers send the errors of faults that could not be started or ended
}

// Run makes a run with procs processes on this machine and with the workers
// that listen at addrs.
func Run(cfg load.Config, procs int, addrs []string) (*result.Result, error) {
	switch {
	case procs < 0:
		return nil, cli.Failf(cli.Usage, "procs: %d: must not be negative", procs)
	case len(addrs) == 0:
		procs = max(procs, 1)
	case procs == 1:
		procs = 0 // 1 is the default of --procs; with workers no generator is needed on this machine
	}
	if err := check(&cfg.Scenario, procs+len(addrs), len(addrs)); err != nil {
		return nil, err
	}
	c := &crew{cfg: cfg, undone: make(chan error, 2)} // room for one error at the start of the fault and one at its end
	defer c.dismiss()
	err := c.hire(procs, addrs)
	if err == nil {
		err = c.conduct()
	}
	if err == nil {
		select {
		case err = <-c.undone: // a run without its fault proves nothing
		default:
		}
	}
	if err != nil {
		abandon(c.workers)
		return nil, err
	}
	var all []*found
	for _, w := range c.workers {
		all = append(all, w.said.Found)
	}
	r, err := merge(all, cfg.Scenario.Duration)
	if err == nil && cfg.Died != nil {
		r.Died = cfg.Died()
	}
	return r, err
}

// dismiss stops the timers and the generators of the run. A fault that has not
// begun must not hit the server of the next run.
func (c *crew) dismiss() {
	for _, t := range c.nemesis {
		t.Stop()
	}
	for _, w := range c.workers {
		w.stop()
	}
}

// check refuses a scenario that cannot be divided among the generators. parts
// is the number of all generators, remote the number of generators on other
// machines.
func check(s *scenario.Scenario, parts, remote int) error {
	switch {
	case s.Conns < parts:
		return cli.Failf(cli.Usage, "conns: %d: must be at least the number of generators (%d)", s.Conns, parts)
	case remote > 0 && s.Rooms < parts:
		return cli.Failf(cli.Usage, "rooms: %d: must be at least the number of generators (%d): clocks of different machines differ, so each generator needs its own rooms", s.Rooms, parts)
	case s.Churn.PerSecond > 0 && s.Rooms < parts:
		return cli.Failf(cli.Usage, "rooms: %d: must be at least the number of generators (%d): with churn each generator needs its own rooms", s.Rooms, parts)
	case s.Restart > 0:
		return cli.Failf(cli.Usage, "scenario %s kills the server, so it needs a single generator: leave out --procs and --workers", s.Name)
	}
	return nil
}

// hire connects to the generators, one after the other, and gives each its
// job.
func (c *crew) hire(procs int, addrs []string) error {
	j := job{Name: c.cfg.Scenario.Name, Fields: map[string]string{}, URL: c.cfg.URL, Frames: c.cfg.Frames,
		Pinned: c.cfg.Pinned, Fresh: c.cfg.Started, RunID: load.NewRunID(), Parts: procs + len(addrs)}
	for _, f := range scenario.Fields() {
		j.Fields[f.Name] = f.Get(&c.cfg.Scenario)
	}
	for i := range j.Parts {
		var w *worker
		var err error
		token := ""
		if i < procs {
			w, err = start(i)
		} else {
			w, err = dial(strings.TrimSpace(addrs[i-procs]))
			token = os.Getenv(Token)
		}
		if err != nil {
			return err
		}
		c.workers = append(c.workers, w)
		if err := w.greet(token); err != nil {
			return err
		}
		if err := w.write(c.part(j, i, w)); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// part completes the job of generator i. Only the first generator measures the
// servers, and only if it runs on this machine.
func (c *crew) part(j job, i int, w *worker) job {
	j.Part = i
	if i == 0 && w.conn == nil {
		j.Pids, j.Admin = c.cfg.Pids, c.cfg.Admin
	}
	j.Source = sourceOf(c.cfg.SourceNet, i, c.cfg.URL)
	return j
}

// sourceOf gives each generator its own source addresses on the loopback, so
// that they do not use up each other's ports.
func sourceOf(given netip.Prefix, i int, url string) string {
	if given.IsValid() {
		return given.String()
	}
	if strings.Contains(url, "//127.") && i < 250 {
		return fmt.Sprintf("127.%d.0.0/24", i+1)
	}
	return ""
}
