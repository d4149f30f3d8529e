package duel

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"dotsconnect/bench/internal/folder"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
	"dotsconnect/bench/stats"
)

// Schema is the version of the format of duel.json.
const Schema = 1

// Report has the findings of a duel, as in duel.json.
type Report struct {
	Schema   int               `json:"schema"`
	Program  string            `json:"program"`
	Started  string            `json:"started"`
	Name     string            `json:"name"`
	Scenario map[string]string `json:"scenario"`
	A        string            `json:"a"`
	B        string            `json:"b"`
	Machine  result.Machine    `json:"machine"`
	Rounds   int               `json:"rounds"`
	Repeated int               `json:"invalid_and_repeated"`
	Outcomes []*Outcome        `json:"figures"`
	Runs     []*Run            `json:"runs"`
	Ended    string            `json:"ended,omitempty"` // why the duel ended early; empty: it did not
	Exit     int               `json:"exit"`
}

// Outcome is the finding of a duel about one figure.
type Outcome struct {
	Name    string       `json:"name"`
	Label   string       `json:"label"`
	A       stats.Sample `json:"a"`
	B       stats.Sample `json:"b"`
	Ratio   *stats.Ratio `json:"b_over_a,omitempty"`
	Noise   *stats.Ratio `json:"a_over_a,omitempty"`
	Unseen  float64      `json:"-"`                        // the largest difference that the duel may have overlooked, such as 0.05
	Smaller float64      `json:"unseen_percent,omitempty"` // Unseen in percent
	Finding string       `json:"finding"`                  // less, greater, no difference, unproven, too few rounds
	Verdict string       `json:"verdict"`                  // the finding as a text for people

	figure Figure
}

func newReport(cfg Config) *Report {
	s := cfg.Spec.Scenario
	r := &Report{Schema: Schema, Program: "dotsbench duel", Started: time.Now().UTC().Format(time.RFC3339), Name: s.Name,
		Scenario: map[string]string{}, A: cfg.A.Name, B: cfg.B.Name, Rounds: cfg.Rounds, Outcomes: []*Outcome{}, Runs: []*Run{}}
	for _, f := range scenario.Fields() {
		r.Scenario[f.Name] = f.Get(&s)
	}
	return r
}

// conclude sets Finding and Verdict from the ratio. need is the number of
// rounds that must count; noise says that A also ran against itself.
func (o *Outcome) conclude(need int, noise bool) {
	if o.Ratio == nil {
		o.Finding = "too few rounds"
		o.Verdict = fmt.Sprintf("no answer: both runs count in %d rounds, but at least %d are needed", o.A.N, need)
		return
	}
	o.Smaller = math.Round(1000*o.Unseen) / 10
	interval := fmt.Sprintf("interval %.2f to %.2f", o.Ratio.Low, o.Ratio.High)
	switch {
	case o.Noise != nil:
		interval += fmt.Sprintf("; A against itself %.2f to %.2f", o.Noise.Low, o.Noise.High)
	case noise:
		interval += "; noise floor unknown, too few valid rounds"
	}
	percent := math.Abs(100 * (o.Ratio.Of - 1))
	word := o.figure.more
	switch stats.Judge(*o.Ratio, o.Noise) {
	case stats.Less:
		o.Finding, word = "less", o.figure.less
	case stats.Greater:
		o.Finding = "greater"
	default:
		o.Finding = "no difference"
		o.Verdict = fmt.Sprintf("no difference (%s); a difference under %.2g %% would not have been seen", interval, 100*o.Unseen)
		return
	}
	if o.Ratio.Rounds < MinProof {
		o.Finding = "unproven"
		o.Verdict = fmt.Sprintf("unproven: B seems %.3g %% %s, but fewer than %d rounds prove nothing (%s)", percent, word, MinProof, interval)
		return
	}
	o.Verdict = fmt.Sprintf("B is %.3g %% %s (%s)", percent, word, interval)
}

// Table writes the report as a table for people.
func (r *Report) Table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A  %s\nB  %s\n%s: %s connections in %s rooms, %s, %s; %d rounds, %d runs", r.A, r.B, r.Name,
		r.Scenario["conns"], r.Scenario["rooms"], r.Scenario["rate"], r.Scenario["duration"], r.Rounds, len(r.Runs))
	fmt.Fprintf(&b, ", %d INVALID%s\n", r.invalid(), repeated(r.Repeated))
	if len(r.Outcomes) > 0 {
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		_, _ = fmt.Fprintln(t, "median\tA\tspread\tB\tspread\tB/A\t95 % interval\tnoise floor\trounds\t")
		for _, o := range r.Outcomes {
			o.row(t)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, o := range r.Outcomes {
		fmt.Fprintf(&b, "%s: %s\n", o.Label, o.Verdict)
	}
	if r.Rounds < MinRounds {
		fmt.Fprintf(&b, "WARNING %d rounds prove little: a reliable verdict needs %d or more\n", r.Rounds, MinRounds)
	}
	if r.Ended != "" {
		fmt.Fprintf(&b, "ENDED %s\n", r.Ended)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) invalid() int {
	n := 0
	for _, run := range r.Runs {
		if len(run.Invalid) > 0 {
			n++
		}
	}
	return n
}

func repeated(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d repeated)", n)
}

func (o *Outcome) row(w io.Writer) {
	cell := func(s stats.Sample) string {
		if s.N == 0 {
			return "-\t-"
		}
		return fmt.Sprintf("%s\t%.1f %%", o.figure.Show(s.Median), 100*s.Spread())
	}
	ratio, floor := "-\t-", "-"
	if o.Ratio != nil {
		ratio = fmt.Sprintf("%.3f\t%.3f to %.3f", o.Ratio.Of, o.Ratio.Low, o.Ratio.High)
	}
	if o.Noise != nil {
		floor = fmt.Sprintf("+-%.1f %%", 100*(stats.Floor(*o.Noise)-1))
	}
	_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t\n", o.Label, cell(o.A), cell(o.B), ratio, floor, o.A.N)
}

// write writes duel.json and table.txt, and gives the folder its final name.
func (s *session) write() error {
	for _, f := range []folder.File{
		{Name: "duel.json", Write: func(w io.Writer) error { return folder.JSON(w, s.report) }}, {Name: "table.txt", Write: s.report.Table},
	} {
		if err := s.out.Write(f); err != nil {
			return err
		}
	}
	return s.out.Keep()
}
