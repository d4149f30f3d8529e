package fleet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/load"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// headStart is how long before the schedule begins all are told when it does.
const headStart = 100 * time.Millisecond

// Token is the environment variable that has the word by which workers know
// their coordinator.
const Token = "DOTSBENCH_TOKEN"

// worker is one generator, seen from here.
type worker struct {
	line
	name   string
	remote bool
	cmd    *exec.Cmd // nil: on another machine
	said   said
}

// Run makes a run with so many processes on this machine and the workers that
// listen at the addresses.
func Run(cfg load.Config, procs int, addrs []string) (*result.Result, error) {
	if len(addrs) == 0 {
		procs = max(procs, 1)
	} else if procs == 1 {
		procs = 0 // the default: all is done by the workers
	}
	if err := check(&cfg.Scenario, procs+len(addrs), len(addrs)); err != nil {
		return nil, err
	}
	workers, err := gather(procs, addrs)
	defer func() {
		for _, w := range workers {
			w.stop()
		}
	}()
	if err != nil {
		return nil, err
	}
	if err := hire(cfg, workers); err != nil {
		return nil, err
	}
	if err := conduct(cfg, workers); err != nil {
		return nil, err
	}
	var all []*found
	for _, w := range workers {
		all = append(all, w.said.Found)
	}
	r, err := merge(all)
	if err == nil && cfg.Died != nil {
		r.Died = cfg.Died()
	}
	return r, err
}

// check refuses what cannot be divided.
func check(s *scenario.Scenario, parts, remote int) error {
	switch {
	case s.Conns < parts:
		return cli.Failf(cli.Usage, "conns: %d, and there are %d generators", s.Conns, parts)
	case remote > 0 && s.Rooms < parts:
		return cli.Failf(cli.Usage, "rooms: %d, and there are %d generators: clocks of different machines differ, so each needs rooms of its own", s.Rooms, parts)
	case s.Churn.PerSecond > 0 && s.Rooms < parts:
		return cli.Failf(cli.Usage, "rooms: %d, and there are %d generators: with churn each needs rooms of its own", s.Rooms, parts)
	case s.Restart > 0:
		return cli.Failf(cli.Usage, "scenario %s kills the server, which one generator does: leave --procs and --workers out", s.Name)
	}
	return nil
}

func gather(procs int, addrs []string) ([]*worker, error) {
	var workers []*worker
	for i := range procs {
		w, err := start(i)
		if err != nil {
			return workers, err
		}
		workers = append(workers, w)
	}
	for _, addr := range addrs {
		c, err := net.DialTimeout("tcp", strings.TrimSpace(addr), 5*time.Second)
		if err != nil {
			return workers, cli.Failf(cli.Usage, "no worker at %s: %w; start one there with: dotsbench worker --listen :PORT", addr, err)
		}
		workers = append(workers, &worker{line: newLine(c, c, c), name: "worker " + addr, remote: true})
	}
	return workers, nil
}

// start starts a process of this program. It ends with the thread that started
// it, which is the caller's.
func start(i int) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "worker")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start generator %d: %w", i+1, err)
	}
	return &worker{line: newLine(out, in, in), name: "generator " + strconv.Itoa(i+1), cmd: cmd}, nil
}

// stop ends a worker that has not ended.
func (w *worker) stop() {
	_ = w.end.Close() // its next read ends it
	if w.cmd == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		_ = w.cmd.Wait() // what it had to say, it has said
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		_ = w.cmd.Process.Kill()
		<-done
	}
}

// hire gives each its job. The first one on this machine looks at the servers.
func hire(cfg load.Config, workers []*worker) error {
	j := job{Name: cfg.Scenario.Name, Fields: map[string]string{}, URL: cfg.URL, Frames: cfg.Frames,
		RunID: load.NewRunID(), Parts: len(workers), Token: os.Getenv(Token)}
	for _, f := range scenario.Fields() {
		j.Fields[f.Name] = f.Get(&cfg.Scenario)
	}
	for i, w := range workers {
		mine := j
		mine.Part = i
		if !w.remote {
			mine.Token = "" // a child needs none
		}
		if i == 0 && !w.remote {
			mine.Pids, mine.Admin = cfg.Pids, cfg.Admin
		}
		mine.Source = sourceOf(cfg.SourceNet, i, cfg.URL)
		if err := w.out.Encode(mine); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// sourceOf gives each generator addresses of its own towards the loopback, so
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

// conduct brings all from step to step to their results.
func conduct(cfg load.Config, workers []*worker) error {
	for _, step := range []string{load.StepReady, load.StepOpen, load.StepStart, load.StepSent, ""} {
		if cfg.Progress != nil {
			cfg.Progress.Show("%d generators: %s", len(workers), map[string]string{load.StepReady: "starting", load.StepOpen: "opening connections",
				load.StepStart: "reading memory", load.StepSent: "running", "": "waiting for what is on its way"}[step])
		}
		if err := listen(workers, step); err != nil {
			return err
		}
		if step == "" {
			return nil
		}
		if err := tell(cfg, workers, step); err != nil {
			return err
		}
	}
	return nil
}

// listen waits until each has said that it came to the step.
func listen(workers []*worker, step string) error {
	errs := make(chan error, len(workers))
	for _, w := range workers {
		go func() { errs <- w.hear(step) }()
	}
	var first error
	for range workers {
		// The first to fail is why the others do.
		if err := <-errs; err != nil && first == nil {
			first = err
			for _, w := range workers {
				_ = w.end.Close()
			}
		}
	}
	return first
}

func (w *worker) hear(step string) error {
	w.said = said{}
	if err := w.read(&w.said); err != nil {
		return cli.Failf(cli.Invalid, "%s: %w", w.name, err)
	}
	switch {
	case w.said.Error != "":
		return &cli.Error{Code: w.said.Code, Err: errors.New(w.said.Error)}
	case w.said.Step != step, step == "" && w.said.Found == nil:
		return cli.Failf(cli.Invalid, "%s: came to step %q instead of %q: is it of another version?", w.name, w.said.Step, step)
	}
	return nil
}

func tell(cfg load.Config, workers []*worker, step string) error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return err
	}
	for i, w := range workers {
		m := met{Step: step}
		switch {
		case step == load.StepStart && w.remote:
			m.Delay = int64(headStart)
		case step == load.StepStart:
			m.Start = ts.Nano() + int64(headStart)
		case step == load.StepSent:
			for k, other := range workers {
				if k != i {
					m.Totals = append(m.Totals, other.said.Brought.Totals...)
				}
			}
		}
		if err := w.out.Encode(m); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	if step == load.StepStart {
		nemesis(cfg)
	}
	return nil
}

// nemesis does here what a generator alone does by itself.
func nemesis(cfg load.Config) {
	s := cfg.Scenario
	for what, after := range map[string]time.Duration{"hurt": s.Hurt, "heal": s.Heal} {
		if after > 0 && cfg.Nemesis != nil {
			time.AfterFunc(headStart+s.Warmup+after, func() { _ = cfg.Nemesis(what) })
		}
	}
}
