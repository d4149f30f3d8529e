package command

import (
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/scenario"
)

const maxAbout = `max: find the highest rate at which a server keeps your conditions.

  dotsbench max rooms --until 'p99<50ms' --server-cmd "dotsd --listen 127.0.0.1:{port} --admin="
  dotsbench max giant --until 'p99<20ms' --until 'server.rss<64M' --url ws://127.0.0.1:8000 --server-pid 4711 --from 10/s

The rate doubles until a rate fails. Then the search halves the interval between the highest rate that passed and the
lowest rate that failed, until they differ by at most 5 %, and a second run confirms the answer. A rate fails when two
runs in a row miss a condition or are INVALID, so that one bad second of the machine does not decide the result. Each
run has a row in the table. With --server-cmd each run has a fresh server. p50, p90, p99, p999 and max are short for
latency.p50 and so on.

The last line says what stopped the search: the server (exit 0), or the generator. If the generator stopped the search,
the answer is only a lower bound, because an INVALID run shows nothing about the server (exit 3). Exit 1: even the first
rate failed. Exit 4 or 5: a broken promise or a dead server ended the search.`

func maxCommand(args []string, stdout, stderr io.Writer) error {
	s, err := parseMax(args, stdout)
	if err != nil {
		return err
	}
	s.spec.Progress = cli.NewProgress(stderr)
	s.run, s.out = runner.Spec.Run, stdout
	return s.find()
}

func parseMax(args []string, stdout io.Writer) (*search, error) {
	var f runFlags
	fs := flag.NewFlagSet("max", flag.ContinueOnError)
	var until list
	fs.Var(&until, "until", "`FIGURE<VALUE` that must hold, such as p99<50ms or rate.delivered>9000; can be repeated")
	from := fs.String("from", "100/s", "`RATE` at which the search begins")
	to := fs.String("to", "1M/s", "highest `RATE` that the search tries")
	f.server(fs)
	f.generator(fs)
	f.fields(fs)
	words, err := cli.ParseWords(fs, args, stdout, maxAbout)
	if err != nil {
		return nil, err
	}
	name, err := oneScenario(words)
	if err != nil {
		return nil, err
	}
	if len(until) == 0 {
		return nil, cli.Failf(cli.Usage, "add --until FIGURE<VALUE, as in --until 'p99<50ms' (see --help)")
	}
	if _, ok := f.given["rate"]; ok {
		return nil, cli.Failf(cli.Usage, "--rate: max searches for the rate; use --from and --to instead")
	}
	for _, text := range until {
		f.thresholds = append(f.thresholds, inFull(text))
	}
	if err := f.complete(name); err != nil {
		return nil, err
	}
	s := &search{spec: f.spec}
	if s.from, err = parseBound("from", *from); err != nil {
		return nil, err
	}
	if s.to, err = parseBound("to", *to); err != nil {
		return nil, err
	}
	if s.from >= s.to {
		return nil, cli.Failf(cli.Usage, "--from %s: must be less than --to %s", *from, *to)
	}
	// At a high rate a run may have too many messages to number them. Refuse
	// that now, and not in the middle of the search.
	last := s.at(s.to).Scenario
	if err := last.Validate(); err != nil {
		return nil, cli.Failf(cli.Usage, "--to: %w; lower --to or --duration", err)
	}
	return s, nil
}

// inFull returns the threshold with its full name: latency.p99<50ms for
// p99<50ms.
func inFull(text string) string {
	name, _, _ := strings.Cut(strings.NewReplacer(">", "<").Replace(text), "<")
	if slices.Contains([]string{"p50", "p90", "p99", "p999", "max"}, strings.TrimSpace(name)) {
		return "latency." + strings.TrimSpace(text)
	}
	return text
}

// parseBound parses a rate like scenario.ParseRate, but also accepts millions
// (1M/s).
func parseBound(name, text string) (float64, error) {
	in := text
	if digits, ok := strings.CutSuffix(text, "M/s"); ok {
		if v, err := strconv.ParseFloat(digits, 64); err == nil {
			in = strconv.FormatFloat(v*1e6, 'f', -1, 64) + "/s"
		}
	}
	r, err := scenario.ParseRate(in)
	if err != nil || r.Max || r.PerSecond <= 0 {
		return 0, cli.Failf(cli.Usage, "--%s %q: write a rate such as 500/s, 20k/s or 1M/s", name, text)
	}
	return r.PerSecond, nil
}

// search looks for the highest rate that holds. A rate holds if a run at this
// rate meets all conditions. The search assumes that a server which fails at
// one rate also fails at all higher rates.
type search struct {
	spec     runner.Spec
	from, to float64
	run      func(spec runner.Spec) (*result.Result, error)
	out      io.Writer

	held  []step // rates that kept the conditions, in ascending order
	limit *step  // the lowest rate that failed; nil: no rate has failed
	shown bool
}

// step is a rate that was tried, with its outcome.
type step struct {
	rate float64
	exit int
	why  string
	last *result.Result
}

// The search ends when the lowest rate that failed is at most this factor above
// the highest rate that held.
const closeEnough = 1.05

func (s *search) at(rate float64) runner.Spec {
	spec := s.spec
	spec.Scenario.Rate = scenario.Rate{PerSecond: rate}
	return spec
}

// find makes the search and prints the answer.
func (s *search) find() error {
	for rate := s.from; s.limit == nil && rate < s.to; rate *= 2 {
		if err := s.try(rate); err != nil {
			return err
		}
	}
	if s.limit == nil {
		if err := s.try(s.to); err != nil {
			return err
		}
	}
	for {
		if err := s.halve(); err != nil {
			return err
		}
		if len(s.held) == 0 {
			return s.nothing()
		}
		ok, err := s.confirm()
		if err != nil {
			return err
		}
		if ok {
			return s.conclude()
		}
	}
}

// halve tries rates between the highest rate that held and the lowest rate that
// failed, until these two are close enough.
func (s *search) halve() error {
	for s.limit != nil && len(s.held) > 0 {
		low := s.held[len(s.held)-1].rate
		if s.limit.rate <= low*closeEnough {
			return nil
		}
		// closeEnough is a ratio, so the middle is the geometric mean.
		if err := s.try(middle(low, s.limit.rate)); err != nil {
			return err
		}
	}
	return nil
}

// confirm tries the highest rate that held again. If that rate fails now, it
// becomes the limit, confirm returns false, and the search goes on below it.
func (s *search) confirm() (bool, error) {
	top := s.held[len(s.held)-1]
	s.held = s.held[:len(s.held)-1]
	if err := s.try(top.rate); err != nil {
		return false, err
	}
	return len(s.held) > 0 && s.held[len(s.held)-1].rate == top.rate, nil
}

// try makes a run at a rate, and a second one if the first fails. It records
// the outcome. An error ends the search.
func (s *search) try(rate float64) error {
	var st step
	for range 2 {
		r, err := s.run(s.at(rate))
		if err != nil {
			return fmt.Errorf("at %s: %w", perSecond(rate), err)
		}
		st = judge(rate, r)
		s.row(st)
		if st.exit == cli.OK {
			s.held = append(s.held, st)
			return nil
		}
		if st.exit == cli.Violated || st.exit == cli.ServerDied {
			return cli.Failf(st.exit, "at %s: %s%s", perSecond(rate), st.why, s.sofar())
		}
	}
	s.limit = &st
	return nil
}

// judge returns the outcome of a run at a rate for the search.
func judge(rate float64, r *result.Result) step {
	st := step{rate: rate, exit: r.Exit, last: r}
	if err := runner.Verdict(r); err != nil {
		st.why = err.Error()
	}
	// An INVALID run means that the generator failed, with one exception: if
	// the server did not read, the generator could not send some messages. If
	// that is the only problem, the server failed.
	if t := r.Traffic; r.Exit == cli.Invalid && len(r.Invalid) == 1 && t.Sent*100 < t.Due*99 && (t.Sent+t.Refused)*100 >= t.Due*99 {
		st.exit, st.why = cli.Missed, fmt.Sprintf("the server did not read %s of %s messages", cli.Count(t.Refused), cli.Count(t.Due))
	}
	// The generator's own lateness only adds to a latency. So a limit that a
	// latency keeps in spite of it is kept.
	if r.Exit == cli.Invalid && len(r.Invalid) == 0 && !slices.ContainsFunc(r.Thresholds, func(o result.Outcome) bool { return !o.Met }) {
		st.exit, st.why = cli.OK, ""
	}
	if r.Exit == cli.Missed {
		var missed []string
		for _, o := range r.Thresholds {
			if !o.Met {
				missed = append(missed, o.Threshold)
			}
		}
		st.why = "missed " + strings.Join(missed, ", ")
	}
	return st
}

// row prints a row for a step, and first the head of the table. Columns have a
// fixed width, because each row is printed as soon as its run is over.
func (s *search) row(st step) {
	s.spec.Progress.Clear()
	if !s.shown {
		s.shown = true
		_, _ = fmt.Fprintf(s.out, "%12s %12s %10s %10s %12s  %s\n", "rate", "deliveries/s", "p50", "p99", "server CPUs", "verdict")
	}
	r, cpus, verdict := st.last, "-", "holds"
	if r.Server != nil {
		cpus = fmt.Sprintf("%.2f", r.Server.CPUs)
	}
	if st.exit != cli.OK {
		verdict = st.why
	}
	_, _ = fmt.Fprintf(s.out, "%12s %12.0f %10s %10s %12s  %s\n", perSecond(st.rate), r.Traffic.DeliveredRate,
		result.Micros(r.Latency.P50), result.Micros(r.Latency.P99), cpus, verdict)
}

// sofar returns a text for errors: the highest rate that held until now.
func (s *search) sofar() string {
	if len(s.held) == 0 {
		return ""
	}
	return fmt.Sprintf("; the highest rate that kept the conditions was %s", perSecond(s.held[len(s.held)-1].rate))
}

// nothing returns the error for a search in which no rate held.
func (s *search) nothing() error {
	code := cli.Missed
	if s.limit.exit == cli.Invalid {
		code = cli.Invalid
	}
	return cli.Failf(code, "even %s fails: %s; use a lower --from", perSecond(s.limit.rate), s.limit.why)
}

// conclude prints the answer, and returns an error if the generator was the
// limit.
func (s *search) conclude() error {
	top := s.held[len(s.held)-1]
	answer := fmt.Sprintf("%s messages/s, %s deliveries/s, confirmed by a second run", whole(top.rate), whole(top.last.Traffic.DeliveredRate))
	switch {
	case s.limit == nil:
		_, _ = fmt.Fprintf(s.out, "at least %s; stopped by --to\n", answer)
		return nil
	case s.limit.exit == cli.Invalid:
		_, _ = fmt.Fprintf(s.out, "at least %s; stopped by the generator at %s, the server may do more: %s\n",
			answer, perSecond(s.limit.rate), s.limit.why)
		return cli.Failf(cli.Invalid, "the generator or the machine was the limit: at least %s", perSecond(top.rate))
	}
	_, _ = fmt.Fprintf(s.out, "highest rate %s; stopped by the server at %s: %s\n", answer, perSecond(s.limit.rate), s.limit.why)
	return nil
}

func perSecond(rate float64) string { return whole(rate) + "/s" }

// whole formats a number with at least three significant digits.
func whole(v float64) string {
	if v < 100 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return cli.Count(int64(math.Round(v)))
}

// middle returns a rate between low and high. It is rounded to three digits,
// unless that would give low or high.
func middle(low, high float64) float64 {
	m := math.Sqrt(low * high)
	digits := math.Pow(10, math.Floor(math.Log10(m))-2)
	if r := math.Round(m/digits) * digits; r > low && r < high {
		return r
	}
	return m
}
