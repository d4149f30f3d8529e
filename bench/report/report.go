// Package report shows results to people, as one HTML page, and to other
// programs, in the text format of Prometheus.
//
// The page is a single file without scripts that needs no network. It contains
// its style sheet and its plots, and its Content-Security-Policy forbids
// everything else. It is for three kinds of readers. Readers with ten seconds
// see the verdict and the most important figures at the top. Readers who doubt
// the figures find the plots below. Readers who want to repeat the run find the
// command and the machine at the end.
package report

import (
	"cmp"
	_ "embed" // for pageText and styleText
	"fmt"
	"html/template"
	"io"

	"dotsconnect/bench/result"
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	styleText string
)

// page has the values for the template page.html.
type page struct {
	Title string
	Style template.CSS
	Index *table // table of all runs; nil for a single run
	Runs  []run
}

// run is a result as texts for the page. The page does not show fields that are
// empty.
type run struct {
	ID, Name, Summary, Started, Command string
	Single                              bool
	Verdict                             verdict
	Figures                             []figure
	Plots                               []plot
	Gap                                 bool // the last row of plots has an empty place, into which the tables fit
	Tables                              []table
	Facts                               []group
	Seconds                             *table
}

// HTML writes a page about these results. If there are several results, the
// page begins with a table that has a row for each result.
func HTML(w io.Writer, results ...*result.Result) error {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	p := page{Style: template.CSS(styleText)} //nolint:gosec // page.css of this package, not a text of a result
	for i, r := range results {
		p.Runs = append(p.Runs, newRun(r, i+1, len(results) == 1))
	}
	switch len(p.Runs) {
	case 0:
		p.Title = "dotsbench: no runs"
	case 1:
		p.Title = "dotsbench " + p.Runs[0].Name + ": " + p.Runs[0].Verdict.Word
	default:
		p.Title = "dotsbench: " + several(len(results), "run", "runs")
		p.Index = index(results)
	}
	return t.Execute(w, p)
}

func newRun(r *result.Result, number int, single bool) run {
	v := run{
		ID: runID(number), Name: cmp.Or(r.Name, "run"), Summary: summary(r), Started: started(r.Started), Command: command(r),
		Single: single, Verdict: judge(r), Figures: figures(r), Plots: plots(r), Tables: tables(r), Facts: facts(r), Seconds: secondsTable(r),
	}
	for i := range v.Plots {
		if v.Plots[i].Class == "" {
			v.Gap = !v.Gap
		}
		for _, d := range v.Plots[i].Drawings {
			d.ID = fmt.Sprintf("%s-plot-%d-%s", v.ID, i+1, d.Size)
		}
	}
	return v
}

func runID(number int) string { return fmt.Sprintf("run-%d", number) }

// A plot has a caption and a drawing for each size of screen.
type plot struct {
	Class    string // "whole" if the plot takes both columns
	Title    string
	Caption  string
	Drawings []*drawing
}

// plots returns the plots for which the result has data.
func plots(r *result.Result) []plot {
	var all []plot
	add := func(class, title, caption string, draw func(*result.Result, size) *drawing, sizes ...size) {
		var drawings []*drawing
		for _, s := range sizes {
			if d := draw(r, s); d != nil {
				drawings = append(drawings, d)
			}
		}
		if len(drawings) > 0 {
			all = append(all, plot{class, title, caption, drawings})
		}
	}
	add("whole", "Latency over time", latencyCaption(r), latencyOverTime, wide, medium, small)
	add("", "Latency by percentile", percentileCaption(r), percentiles, medium, small)
	add("", "CPU and memory", resourcesCaption(r), cpuAndMemory, medium, small)
	add("", "Deliveries and sends", trafficCaption(r), traffic, medium, small)
	add("", "Kick times", kickCaption(r), kickTimes, medium, small)
	add("", "Recovery after a restart", recoveryCaption(r), recovery, medium, small)
	return all
}
