package suite

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
)

// table writes the summary of a suite for people.
func table(w io.Writer, s *Suite, rows []Row) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(t, "%s\tverdict\tp50\tp99\tCPU/delivery\tproof\t\n", s.Name)
	for _, r := range rows {
		_, _ = fmt.Fprintln(t, strings.Join(r.cells(), "\t")+"\t")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		if r.Why != "" {
			fmt.Fprintf(&b, "%s: %s: %s\n", r.Name, r.Verdict, r.Why)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Row) cells() []string {
	cells := []string{r.Name, r.Verdict, "-", "-", "-", "-"}
	if r.P99 > 0 {
		cells[2], cells[3] = result.Micros(r.P50), result.Micros(r.P99)
		if r.Verdict == "INVALID" {
			// The latencies of an INVALID run do not count, so they are shown
			// in brackets.
			cells[2], cells[3] = "("+cells[2]+")", "("+cells[3]+")"
		}
	}
	if r.CPU > 0 {
		cells[4] = fmt.Sprintf("%.3g us", r.CPU)
	}
	switch {
	case r.Wrong > 0:
		cells[5] = cli.Count(r.Wrong) + " wrong"
	case r.Expected > 0:
		cells[5] = fmt.Sprintf("%s of %s", cli.Count(r.Proved), cli.Count(r.Expected))
	}
	return cells
}

// List writes one line for each run of the suite, without running it.
func (s *Suite) List(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", s.Name, s.About)
	for _, e := range s.Runs {
		about := fmt.Sprintf("%s connections in %s rooms, %s, %v", cli.Count(e.Scenario.Conns), cli.Count(e.Scenario.Rooms),
			e.Scenario.Rate, e.Scenario.Duration)
		switch lacks := e.lacks(&runner.Spec{}); {
		case e.Needs != "":
			about = "skipped: needs " + e.Needs
		case lacks != "":
			about += "; needs " + lacks
		}
		fmt.Fprintf(&b, "  %-18s %s\n", e.Name, about)
	}
	if s.Needs != "" {
		fmt.Fprintf(&b, "  needs %s\n", s.Needs)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
