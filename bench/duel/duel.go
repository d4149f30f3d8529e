// Package duel compares two results, or runs two servers in turns so often that
// a difference can be distinguished from noise.
package duel

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/folder"
	"dotsconnect/bench/report"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/stats"
)

// The rounds of a duel:
//
// A round has one run of each server. Each run starts the server again; the
// runs of a round have the same seed. The order alternates, A B B A A B B A, so
// that slow changes of the machine, such as its temperature, favour neither
// server. To measure the noise, A runs a second time in each round, as A': the
// rounds are A B A' and A' B A. The ratio of A' to A shows how much two runs of
// the same server differ.
//
// An INVALID run is repeated at once, as long as repeats are left. The number
// of repeats is for the whole duel, so that a duel in which all runs are
// INVALID takes about twice as long, and not ten times as long. The last repeat
// counts. If the last repeat is INVALID too, its CPU time and memory count, but
// its latencies do not count.

// Side names which server a run measures.
type Side string

// The sides of a duel.
const (
	A     Side = "A"
	B     Side = "B"
	Again Side = "A2" // the second run of A in a round (A'), for the noise
)

// Numbers of rounds. A duel should have MinRounds; ratios can be computed from
// MinQuick. A verdict needs MinProof: if the servers are equal, all 6 rounds
// favour the same server by chance in one of 32 duels. With 5 rounds this
// happens in one of 16 duels, which is too often for a 95 % interval.
const (
	MinRounds = 7
	MinProof  = 6
	MinQuick  = 2
	MaxRounds = 1000
)

// Server is one of the two servers. Set sets those fields of a runner.Spec that
// say how to start and to reach the server.
type Server struct {
	Name string // the command or the adapter that the user gave
	Set  func(spec *runner.Spec)
}

// Config describes a duel.
type Config struct {
	A, B     Server
	Spec     runner.Spec // the settings that both servers share
	Rounds   int         // if Effect is set: at least that many
	Effect   float64     // the duel goes on until it would see a difference of this size in the CPU time, such as 0.05; 0: Rounds rounds
	Noise    bool        // run A twice in each round, to measure the noise
	Repeats  int         // largest number of repeats of INVALID runs in the whole duel
	Out      string
	Progress *cli.Progress
	Run      func(spec runner.Spec) (*result.Result, error) // makes a run; nil: Spec.Run
}

// order returns the sides in the order of their runs in a round. Rounds count
// from 0.
func order(round int, noise bool) []Side {
	switch {
	case noise && round%2 == 0:
		return []Side{A, B, Again}
	case noise:
		return []Side{Again, B, A}
	case round%2 == 0:
		return []Side{A, B}
	}
	return []Side{B, A}
}

// Run is one run of a duel.
type Run struct {
	Number  int                `json:"number"`
	Round   int                `json:"round"` // counts from 1
	Side    Side               `json:"side"`
	Seed    uint64             `json:"seed"`
	Exit    int                `json:"exit"`
	Invalid []string           `json:"invalid"`
	Stands  bool               `json:"stands"` // false: the run was INVALID and was repeated, so it does not count
	Figures map[string]float64 `json:"figures"`

	Doubtful []string `json:"doubtful_figures,omitempty"` // figures that do not count, because the generator or the machine was too slow
	Folder   string   `json:"folder,omitempty"`
}

// session is the state of a duel in progress.
type session struct {
	cfg     Config
	figures []Figure
	out     folder.Folder
	report  *Report
	unsaved bool // a run could not be written, so the folder must not be kept
	left    int  // number of repeats that may still be made
	took    time.Duration
}

// Fight runs the duel. The report has its findings. The error has the exit code
// and says why the duel has no clear outcome. The report is nil if no run could
// be made.
func Fight(cfg Config) (*Report, error) {
	if cfg.Run == nil {
		cfg.Run = runner.Spec.Run
	}
	if cfg.Progress == nil {
		cfg.Progress = cli.NewProgress(nil)
	}
	s := &session{cfg: cfg, figures: duelFigures(cfg.Spec.Scenario.Rate.Max), left: cfg.Repeats,
		out: folder.Folder{Dir: cfg.Out}, report: newReport(cfg)}
	defer s.out.Drop()
	err := s.rounds()
	if len(s.report.Runs) == 0 {
		return nil, err
	}
	if err != nil {
		s.report.Ended = err.Error()
	} else {
		err = s.judge()
	}
	s.report.Exit = code(err)
	if cfg.Out != "" && !s.unsaved {
		// The error of the duel comes first, because its exit code counts and
		// not the exit code of a write error.
		err = errors.Join(err, s.write())
	}
	return s.report, err
}

func (s *session) rounds() error {
	for round := 0; round < s.cfg.Rounds || s.blind() && round < MaxRounds; round++ {
		s.report.Rounds = round + 1
		for _, side := range order(round, s.cfg.Noise) {
			if err := s.turn(round, side); err != nil {
				return err
			}
		}
	}
	return nil
}

// blind reports whether the duel would not see a difference of the wanted size
// in the first figure of the server, its CPU time.
func (s *session) blind() bool {
	if s.cfg.Effect == 0 {
		return false
	}
	i := slices.IndexFunc(s.figures, s.has)
	return i < 0 || s.outcome(s.figures[i]).Unseen > s.cfg.Effect
}

// turn makes the run of one side in a round. It repeats the run while it is
// INVALID and repeats are left.
func (s *session) turn(round int, side Side) error {
	for {
		r, err := s.run(round, side)
		if err != nil {
			return fail(code(err), round, side, err)
		}
		run := s.enter(round, side, r)
		if s.cfg.Out != "" {
			if err := s.save(r, run.Folder); err != nil {
				s.unsaved = true
				return err
			}
		}
		if r.Exit == cli.Violated || r.Exit == cli.ServerDied {
			return fail(r.Exit, round, side, runner.Verdict(r))
		}
		if r.Exit != cli.Invalid || s.left == 0 {
			run.Stands = true
			return nil
		}
		s.left--
		s.report.Repeated++
	}
}

// code returns the exit code of an error.
func code(err error) int { return cli.Exit(io.Discard, "", err) }

func fail(code, round int, side Side, err error) error {
	name := string(side)
	if side == Again {
		name = "A (against itself)"
	}
	return cli.Failf(code, "round %d, %s: %w", round+1, name, err)
}

func (s *session) save(r *result.Result, name string) error {
	if err := s.out.RemoveOnSignal(); err != nil {
		return err
	}
	path, err := s.out.Path(name)
	if err != nil {
		return err
	}
	return r.Write(path, report.Files(r)...)
}

func (s *session) enter(round int, side Side, r *result.Result) *Run {
	run := &Run{Number: len(s.report.Runs) + 1, Round: round + 1, Side: side, Seed: r.Seed, Exit: r.Exit,
		Invalid: r.Invalid, Figures: map[string]float64{}}
	for _, f := range s.figures {
		v := f.Of(r)
		if v <= 0 {
			continue
		}
		run.Figures[f.Name] = v
		if f.Doubt(r) != "" {
			run.Doubtful = append(run.Doubtful, f.Name)
		}
	}
	if s.cfg.Out != "" {
		run.Folder = fmt.Sprintf("runs/%03d-round%d-%s", run.Number, run.Round, side)
	}
	s.report.Machine = r.Machine
	s.report.Runs = append(s.report.Runs, run)
	return run
}

// run makes one run of a side. Meanwhile it updates the progress line.
func (s *session) run(round int, side Side) (*result.Result, error) {
	spec := s.cfg.Spec
	spec.Scenario.Seed += uint64(round)
	// Turn off the progress line of the run, because show prints one that also
	// has the remaining time of the duel.
	spec.Progress = cli.NewProgress(nil)
	server := s.cfg.A
	if side == B {
		server = s.cfg.B
	}
	server.Set(&spec)
	begin := time.Now()
	stop := s.show(round, side, begin)
	defer stop()
	r, err := s.cfg.Run(spec)
	s.took += time.Since(begin)
	return r, err
}

// show updates the progress line until stop is called. It does so only once a
// second, so that the cost for the generator cannot be measured.
func (s *session) show(round int, side Side, begin time.Time) (stop func()) {
	halt, gone := make(chan struct{}), make(chan struct{})
	left := s.timeLeft(round)
	go func() {
		defer close(gone)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			rest := max(left-time.Since(begin), 0).Round(time.Second)
			s.cfg.Progress.Show("round %d of %d, %s; %d runs made, %d INVALID and repeated; %v left",
				round+1, max(round+1, s.cfg.Rounds), side, len(s.report.Runs), s.report.Repeated, rest)
			select {
			case <-halt:
				s.cfg.Progress.Clear()
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(halt); <-gone }
}

// timeLeft estimates the remaining time of the duel, assuming that no further
// run is repeated.
func (s *session) timeLeft(round int) time.Duration {
	each := s.cfg.Spec.Scenario.Warmup + s.cfg.Spec.Scenario.Duration + 2*time.Second
	if made := len(s.report.Runs); made > 0 {
		each = s.took / time.Duration(made)
	}
	standing := 0
	for _, r := range s.report.Runs {
		if r.Stands {
			standing++
		}
	}
	return each * time.Duration(s.cfg.Rounds*len(order(round, s.cfg.Noise))-standing)
}

// pairs returns the values of a figure on sides a and b, for the rounds in
// which both have a value that counts.
func (s *session) pairs(f Figure, a, b Side) (of, against []float64) {
	values := map[Side]map[int]float64{a: {}, b: {}}
	for _, r := range s.report.Runs {
		v, ok := r.Figures[f.Name]
		if side := values[r.Side]; ok && side != nil && r.Stands && !slices.Contains(r.Doubtful, f.Name) {
			side[r.Round] = v
		}
	}
	for round := range s.report.Rounds {
		x, hasA := values[a][round+1]
		y, hasB := values[b][round+1]
		if hasA && hasB {
			of, against = append(of, x), append(against, y)
		}
	}
	return of, against
}

// has reports whether at least one run has the figure.
func (s *session) has(f Figure) bool {
	for _, r := range s.report.Runs {
		if r.Figures[f.Name] > 0 {
			return true
		}
	}
	return false
}

// judge computes the outcome of each figure. The error names the figures for
// which too few rounds count.
func (s *session) judge() error {
	var open []string
	for _, f := range s.figures {
		if !s.has(f) {
			continue
		}
		o := s.outcome(f)
		if o.Ratio == nil {
			open = append(open, f.Label)
		}
		s.report.Outcomes = append(s.report.Outcomes, o)
	}
	if len(open) > 0 {
		return cli.Failf(cli.Invalid, "too few valid rounds for %s", strings.Join(open, ", "))
	}
	return nil
}

func (s *session) outcome(f Figure) *Outcome {
	a, b := s.pairs(f, A, B)
	o := &Outcome{Name: f.Name, Label: f.Label, A: stats.Describe(a), B: stats.Describe(b), Unseen: math.Inf(1), figure: f}
	need := min(s.cfg.Rounds, MinRounds)
	if ratio, err := stats.MedianRatio(a, b, s.cfg.Spec.Scenario.Seed); err == nil && len(a) >= need {
		o.Ratio = &ratio
	}
	if s.cfg.Noise {
		a, again := s.pairs(f, A, Again)
		if noise, err := stats.MedianRatio(a, again, s.cfg.Spec.Scenario.Seed); err == nil && len(a) >= need {
			o.Noise = &noise
		}
	}
	if o.Ratio != nil {
		o.Unseen = stats.Unseen(*o.Ratio, o.Noise)
	}
	o.conclude(need, s.cfg.Noise)
	return o
}
