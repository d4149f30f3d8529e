package fleet

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/load"
	"dotsconnect/bench/scenario"
)

// headStart is how long before the start of the schedule the generators learn
// the start time.
const headStart = 100 * time.Millisecond

// conduct leads all generators through the steps of the run, until each has
// sent its result.
func (c *crew) conduct() error {
	for _, step := range []string{load.StepReady, load.StepOpen, load.StepStart, load.StepSent, load.StepQuiet, load.StepRead, ""} {
		if c.cfg.Progress != nil {
			c.cfg.Progress.Show("%d generators: %s", len(c.workers), map[string]string{load.StepReady: "starting", load.StepOpen: "opening connections",
				load.StepStart: "reading memory", load.StepSent: "running", load.StepQuiet: "waiting for the last deliveries",
				load.StepRead: "reading memory", "": "collecting the results"}[step])
		}
		if err := listen(c.workers, step, patience(&c.cfg, step)); err != nil {
			return err
		}
		if step == "" {
			return nil
		}
		if err := c.tell(step); err != nil {
			return err
		}
	}
	return nil
}

// patience is the longest time that a generator may take to come to a step (""
// stands for its result): the time that package load allows itself, plus a
// minute. Without this limit the run would never end if a process hangs or a
// machine loses its network.
func patience(cfg *load.Config, step string) time.Duration {
	const slack = time.Minute
	s := &cfg.Scenario
	// The generator waits up to 20 s for each server until its memory is
	// stable, and then reads it.
	memory := time.Duration(len(cfg.Pids)) * 25 * time.Second
	switch step {
	case load.StepReady:
		return slack + memory + time.Minute*time.Duration(min(s.Prelude, 1)*(1+len(cfg.Pids)))
	case load.StepOpen:
		d := slack + 30*time.Second + time.Duration(s.Conns)*2*time.Millisecond
		if !s.Open.Max && s.Open.PerSecond > 0 {
			d += time.Duration(float64(s.Conns) / s.Open.PerSecond * float64(time.Second))
		}
		return d
	case load.StepStart:
		return slack + memory
	}
	// After the last message was sent, allow the duration of the run once more,
	// because messages of a backlog may still be arriving.
	return slack + memory + headStart + s.Warmup + s.Duration + 2*s.Settle
}

// listen waits until each worker has come to the step, but not longer than the
// limit.
func listen(workers []*worker, step string, limit time.Duration) error {
	type heard struct {
		i   int
		err error
	}
	all := make(chan heard, len(workers))
	for i, w := range workers {
		go func() { all <- heard{i, w.hear(step)} }()
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	silent := make([]bool, len(workers))
	for i := range silent {
		silent[i] = true
	}
	// The first error is the cause of the others. After it abandon ends all
	// workers, so their goroutines report soon.
	var first error
	for left := len(workers); left > 0; {
		var err error
		select {
		case h := <-all:
			err = h.err
			silent[h.i] = false
			left--
		case <-late.C:
			err = cli.Failf(cli.Invalid, "%s: did not reach step %q within %v", firstOf(workers, silent).name, step, limit)
		}
		if err != nil && first == nil {
			first = err
			abandon(workers)
		}
	}
	return first
}

func firstOf(workers []*worker, which []bool) *worker {
	for i, w := range workers {
		if which[i] {
			return w
		}
	}
	return nil
}

func (c *crew) tell(step string) error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return err
	}
	for i, w := range c.workers {
		m := met{Step: step}
		switch {
		case step == load.StepStart && w.conn != nil:
			m.Delay = int64(headStart)
		case step == load.StepStart:
			m.Start = ts.Nano() + int64(headStart)
		case step == load.StepSent:
			for k, other := range c.workers {
				if k != i {
					m.Totals = append(m.Totals, other.said.Brought.Totals...)
				}
			}
		}
		if err := w.write(m); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	if step == load.StepStart {
		c.nemesis = schedule(&c.cfg.Scenario, func(what string) {
			if c.cfg.Nemesis == nil {
				return
			}
			if err := c.cfg.Nemesis(what); err != nil {
				c.undone <- err
			}
		})
	}
	return nil
}

// schedule starts the timers for the beginning ("hurt") and the end ("heal") of
// the fault. With several generators the coordinator makes the fault, not a
// generator.
func schedule(s *scenario.Scenario, nemesis func(what string)) []*time.Timer {
	var timers []*time.Timer
	for what, after := range map[string]time.Duration{"hurt": s.Hurt, "heal": s.Heal} {
		if after > 0 {
			timers = append(timers, time.AfterFunc(headStart+s.Warmup+after, func() { nemesis(what) }))
		}
	}
	return timers
}
