// Package report shows results to people and to other programs: one HTML page,
// and Prometheus' text format.
//
// The page is a single file that needs no network and no script: style sheet
// and plots are inside it, and its Content-Security-Policy forbids everything
// else. It serves three kinds of readers. Readers with ten seconds see the
// verdict and the figures below it. Readers who doubt the figures find the
// plots. Readers who want to repeat the run find the command and the machine
// at the end.
package report

import (
	"cmp"
	_ "embed" // the page and its style sheet
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

// page has the values of the template.
type page struct {
	Title string
	Style template.CSS
	Index *table // nil for a single run
	Runs  []run
}

// run is one result as text. Fields without a value in the result are empty
// and not shown.
type run struct {
	ID, Name, Summary, Started, Command string
	Single                              bool
	Verdict                             verdict
	Figures                             []figure
	Plots                               []plot
	Gap                                 bool // the plots leave an empty place that the tables fit into
	Tables                              []table
	Facts                               []group
	Seconds                             *table
}

// HTML writes results as one page. Several results get a table on top with a
// row for each.
func HTML(w io.Writer, results ...*result.Result) error {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	p := page{Style: template.CSS(styleText)} //nolint:gosec // our own file
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

// A plot is a figure with its caption, drawn for each width of screen.
type plot struct {
	Class    string // "whole": takes both columns
	Title    string
	Caption  string
	Drawings []*drawing
}

// plots draws the plots for which the result has data.
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
