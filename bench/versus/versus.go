// Package versus compares our server with other servers (the peers). It also
// compares all servers with the cost of the kernel alone (the floor).
//
// A comparison takes about 15 minutes. Meanwhile the machine changes: other virtual machines come
// and go, and heat lowers the clock rate. So a round goes through the experiments, and in each
// experiment through all servers. In this way the runs that are compared are only seconds apart.
// Each round has another order of servers, and each run has a fresh server. Ratios are computed
// within a round. Figures are medians, with the smallest and the largest value.
package versus

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/floor"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
)

// Config configures a comparison of our server with peers.
type Config struct {
	Servers  []adapter.Adapter // the first is our server
	Skipped  []Server          // peers that cannot be measured
	Rounds   int
	Quick    bool // fewer connections and shorter runs, which give only rough figures
	Seed     uint64
	Progress *cli.Progress

	// Functions that make a run and measure the floor; nil: the real functions.
	// Tests replace them.
	Run   func(s runner.Spec) (*result.Result, error)
	Floor func() ([]floor.Row, error)
}

// Skip adds a peer to Skipped, with the reason why it cannot be measured.
func (c *Config) Skip(a adapter.Adapter, why error) {
	c.Skipped = append(c.Skipped, Server{Name: a.Name, Library: a.Library, More: a.More, Less: a.Less,
		Skipped: firstLine(why.Error()), Runs: []Run{}})
}

// Compare makes all runs. An error means that our server or the floor could not
// be measured.
func (c *Config) Compare() (*Report, error) {
	r := &Report{
		Schema: 1, Program: "dotsbench", Started: time.Now().UTC().Format(time.RFC3339), Machine: result.ReadMachine(),
		Rounds: c.Rounds, Quick: c.Quick, Seed: c.Seed, Experiments: experiments(c.Quick, c.Seed),
		Notes: []string{},
	}
	for _, a := range c.Servers {
		r.Servers = append(r.Servers, Server{Name: a.Name, Library: a.Library, More: a.More, Less: a.Less, Runs: []Run{}})
	}
	pin, err := runner.NewPin()
	if r.Pinned = err == nil; err != nil {
		r.Notes = append(r.Notes, "not pinned: "+err.Error())
	}
	if c.Run == nil {
		c.Run = runner.Spec.Run
	}
	if c.Floor == nil {
		c.Floor = func() ([]floor.Row, error) { return c.measureFloor(r.Pinned, pin) }
	}
	for round := range c.Rounds {
		rows, err := c.Floor()
		if err != nil {
			return nil, fmt.Errorf("floor: %w", err)
		}
		r.Floor = append(r.Floor, rows)
		if err := c.round(r, round); err != nil {
			return nil, err
		}
	}
	c.Progress.Clear()
	r.Servers = append(r.Servers, c.Skipped...)
	r.conclude()
	return r, nil
}

func (c *Config) measureFloor(pinned bool, pin runner.Pin) (rows []floor.Row, err error) {
	cfg := floor.Config{Size: messageBytes, Sockets: 1000, Frames: []int{1, 8, 32}, Time: 400 * time.Millisecond}
	if c.Quick {
		cfg.Sockets, cfg.Time = 200, 100*time.Millisecond
	}
	measure := func() error {
		rows, err = floor.Measure(cfg, c.Progress)
		return err
	}
	if !pinned {
		return rows, measure()
	}
	// Measure under the conditions of a server: the clients are on another CPU,
	// and there is a pause between two messages.
	cfg.Reader, cfg.Gap = &pin.Others, time.Second/oneRate
	err = pin.OnServer(measure)
	return rows, err
}

func (c *Config) round(r *Report, round int) error {
	for e := range r.Experiments {
		x := &r.Experiments[e]
		if x.Key == Half && round == 0 {
			x.setRate(halfOf(r.mostOfPeers(), x.scenario.Conns/x.scenario.Rooms))
		}
		for place, i := range order(round, len(c.Servers)) {
			s := &r.Servers[i]
			if s.Skipped != "" {
				continue
			}
			c.Progress.Show("round %d of %d: %s %s: %s (%d of %d)", round+1, c.Rounds, x.Rooms, x.Title, s.Name, place+1, len(c.Servers))
			got := c.one(x, &c.Servers[i], r.Pinned)
			got.Round = round + 1
			if got.Error != "" && len(s.Runs) == 0 {
				s.Skipped = got.Error
				if i == 0 {
					return cli.Failf(cli.Usage, "%s: %s", s.Name, got.Error)
				}
				continue
			}
			s.Runs = append(s.Runs, got)
		}
	}
	return nil
}

// one makes one run with a fresh server.
func (c *Config) one(x *Experiment, a *adapter.Adapter, pinned bool) Run {
	var run Run
	if found, err := c.Run(runner.Spec{Scenario: x.scenario, Adapter: a, Pin: pinned}); err != nil {
		run = failed(a, err)
	} else {
		run = figuresOf(found)
	}
	run.Experiment = x.Key
	return run
}

// failed returns the Run for a run that could not be made.
func failed(a *adapter.Adapter, err error) Run {
	return Run{Error: firstLine(strings.TrimPrefix(err.Error(), a.Name+": "))}
}

// figuresOf returns the Run with those figures of a result that comparisons
// use.
func figuresOf(found *result.Result) Run {
	run := Run{Exit: found.Exit, Invalid: found.Invalid, Died: firstLine(found.Died), Ended: firstLine(found.Ended)}
	if found.Proof.Sum() > 0 {
		p := found.Proof
		run.Violation = fmt.Sprintf("%d lost, %d doubled, %d reordered, %d foreign, %d damaged",
			p.Lost, p.Doubled, p.Reordered, p.Foreign, p.Damaged)
	}
	run.DeliveredRate, run.P50, run.P99 = found.Traffic.DeliveredRate, found.Latency.P50, found.Latency.P99
	for _, name := range []string{cpuFigure, "latency.p50", "latency.p99"} {
		if f, _ := result.FigureOf(name); f.Doubt(found) != "" {
			run.Doubtful = append(run.Doubtful, name)
		}
	}
	run.GeneratorCPU = found.Generator.ThreadCPU
	if s := found.Server; s != nil {
		run.CPUPerDelivery, run.CPUPerConnect, run.BytesPerConn, run.CPUs = s.CPUPerDelivery, s.CPUPerConnect, s.BytesPerConn, s.CPUs
		run.CPUPerMessage, run.BesidePerMessage, run.PerCall = s.CPUPerMessage, s.BesidePerMessage, s.PerCall
	}
	return run
}

const cpuFigure = "server.cpu_us_per_delivery"

// counts reports whether a figure of the run describes the server.
func (r *Run) counts(figure string) bool { return !slices.Contains(r.Doubtful, figure) }

// mostOfPeers returns the deliveries per second of each peer in Rooms. If there
// is no peer, it returns the deliveries per second of our server.
func (r *Report) mostOfPeers() []float64 {
	var ours, peers []float64
	for i, s := range r.Servers {
		for _, run := range s.Runs {
			switch {
			case run.Experiment != Rooms || run.DeliveredRate <= 0:
			case i == 0:
				ours = append(ours, run.DeliveredRate)
			default:
				peers = append(peers, run.DeliveredRate)
			}
		}
	}
	if len(peers) == 0 {
		return ours
	}
	return peers
}

func firstLine(text string) string {
	const most = 200
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line[:min(most, len(line))]
}

// Verdict returns the worst outcome of our server as an error with its exit code, or nil. The
// outcome of peers and missed goals are not errors.
func (r *Report) Verdict() error {
	ours := r.Servers[0]
	if i := slices.IndexFunc(ours.Runs, func(run Run) bool { return run.Died != "" }); i >= 0 {
		return cli.Failf(cli.ServerDied, "%s died: %s", ours.Name, ours.Runs[i].Died)
	}
	if i := slices.IndexFunc(ours.Runs, func(run Run) bool { return run.Exit == cli.Violated }); i >= 0 {
		return cli.Failf(cli.Violated, "delivery violation of %s: %s %s", ours.Name, ours.Runs[i].Violation, ours.Runs[i].Ended)
	}
	if i := slices.IndexFunc(ours.Runs, func(run Run) bool { return run.Error != "" }); i >= 0 {
		return cli.Failf(cli.Invalid, "%s could not be measured: %s", ours.Name, ours.Runs[i].Error)
	}
	return nil
}
