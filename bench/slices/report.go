package slices

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Table writes the report as a table for people.
func (r *Report) Table(w io.Writer) error {
	pinned := "each alone on one CPU"
	if !r.Pinned {
		pinned = "not pinned: this process has one CPU"
	}
	if _, err := fmt.Fprintf(w, "All servers run at the same time, %s. A ratio to %s is the median over pairs of slices in the same turn, with its 95 %% interval.\n\n", pinned, r.Servers[0]); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "work\tfigure\tserver\t%s\tserver's\tratio\t95 %%\tturns\tdropped\tmust\taim\t\n", r.Servers[0])
	for i := range r.Lines {
		l := &r.Lines[i]
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%.3g %s\t%.3g %s\t%.3f\t%.3f–%.3f\t%d\t%d\t%s\t%s\t%s\n", l.Row, l.Figure, l.Server, l.Base, l.Unit, l.Value, l.Unit,
			l.Ratio.Of, l.Ratio.Low, l.Ratio.High, l.Ratio.Rounds, l.Dropped, goal(l.Must), goal(l.Aim), l.verdict())
	}
	return t.Flush() // returns the first error of the writes above too
}

func goal(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}

func (l *Line) verdict() string {
	switch {
	case l.Ratio.Rounds == 0:
		return "not measured: too many slices were dropped"
	case l.Must == 0 && tooWide(l.Ratio):
		return "interval too wide"
	case l.Must == 0:
		return ""
	case l.Met():
		return "met"
	case tooWide(l.Ratio):
		return "interval too wide"
	}
	return "missed"
}

// JSON writes the report as JSON.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
