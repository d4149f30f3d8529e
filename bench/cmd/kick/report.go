package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dotsconnect/bench/internal/cli"
)

// result is the JSON object.
type result struct {
	Program     string         `json:"program"`
	Silent      int            `json:"silent"`
	Beating     int            `json:"beating"`
	MaxAge      float64        `json:"max_age_ms"`
	Beat        float64        `json:"beat_ms"`
	LongestGap  float64        `json:"longest_beat_gap_ms"`
	Counts      map[string]int `json:"counts"`
	LatenessMs  *lateness      `json:"lateness_ms,omitempty"`
	Violations  []string       `json:"violations"`
	MoreOmitted int            `json:"violations_not_listed"`
}

// lateness of the kicks, counted from the arrival of the 101.
type lateness struct {
	Min     float64  `json:"min"`
	P50     float64  `json:"p50"`
	P90     float64  `json:"p90"`
	P99     float64  `json:"p99"`
	Max     float64  `json:"max"`
	Buckets []bucket `json:"buckets"`
}

type bucket struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Count int     `json:"count"`
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// summarize sorts the samples. The percentile is the smallest sample that as
// many percent of all do not exceed.
func summarize(samples []time.Duration) *lateness {
	if len(samples) == 0 {
		return nil
	}
	slices.Sort(samples)
	at := func(percent int) float64 {
		return ms(samples[max(0, (len(samples)*percent+99)/100-1)])
	}
	low, high := samples[0], samples[len(samples)-1]
	width := bucketWidth(high - low)
	from := low.Truncate(width)
	if low < from {
		from -= width // Truncate goes towards zero
	}
	l := &lateness{Min: ms(low), P50: at(50), P90: at(90), P99: at(99), Max: ms(high)}
	for i := 0; i < len(samples); from += width {
		b := bucket{From: ms(from), To: ms(from + width)}
		for ; i < len(samples) && samples[i] < from+width; i++ {
			b.Count++
		}
		l.Buckets = append(l.Buckets, b)
	}
	return l
}

// bucketWidth is the first of 1, 2, 5, 10 … ms that needs at most 20 buckets.
func bucketWidth(span time.Duration) time.Duration {
	for unit := time.Millisecond; ; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if span/(n*unit) < 20 {
				return n * unit
			}
		}
	}
}

func (w *watch) violations() int {
	n := 0
	for v := range verdicts {
		if v.violation() {
			n += w.counts[v]
		}
	}
	return n
}

func (w *watch) report(stdout, stderr io.Writer) error {
	r := result{
		Program: "kick", Silent: w.silent, Beating: w.beating, MaxAge: ms(w.maxAge), Beat: ms(w.beat),
		LongestGap: ms(w.gap), Counts: map[string]int{}, LatenessMs: summarize(w.samples),
		Violations: append([]string{}, w.lines...), MoreOmitted: w.violations() - len(w.lines),
	}
	for v := range verdicts {
		r.Counts[strings.ReplaceAll(v.String(), " ", "_")] = w.counts[v]
	}
	table := stdout
	if w.json {
		table = stderr
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(table, w.table(r)); err != nil {
		return err
	}
	if n := w.violations(); n > 0 {
		return cli.Failf(cli.Violated, "%s violations: %s early, %s in another way, %s not closed, %s wrongly closed", cli.Count(n),
			cli.Count(w.counts[early]), cli.Count(w.counts[otherEnd]), cli.Count(w.counts[notClosed]), cli.Count(w.counts[wrong]))
	}
	if w.counts[excused]*10 > w.beating {
		return cli.Failf(cli.Invalid, "%s of %s beating ones had to be excused: this program wrote its heartbeats too late",
			cli.Count(w.counts[excused]), cli.Count(w.beating))
	}
	return nil
}

func (w *watch) table(r result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s silent and %s beating every %v, max-age %v; longest time between two heartbeats written: %.0f ms\n",
		cli.Count(w.silent), cli.Count(w.beating), w.beat, w.maxAge, r.LongestGap)
	c := func(v verdict) string { return cli.Count(w.counts[v]) }
	fmt.Fprintf(&b, "silent:   %s kicked with %d, %s early, %s other ends, %s not closed\n",
		c(kicked), kickCode, c(early), c(otherEnd), c(notClosed))
	fmt.Fprintf(&b, "beating:  %s stayed, %s wrongly closed, %s excused\n", c(fine), c(wrong), c(excused))
	if l := r.LatenessMs; l != nil {
		fmt.Fprintf(&b, "lateness from the 101 in ms: min %.1f  p50 %.1f  p90 %.1f  p99 %.1f  max %.1f\n", l.Min, l.P50, l.P90, l.P99, l.Max)
		most := 0
		for _, k := range l.Buckets {
			most = max(most, k.Count)
		}
		for _, k := range l.Buckets {
			fmt.Fprintf(&b, "  %7.0f to %7.0f  %7s  %s\n", k.From, k.To, cli.Count(k.Count), strings.Repeat("#", (k.Count*50+most-1)/most))
		}
	}
	for _, line := range r.Violations {
		fmt.Fprintf(&b, "VIOLATION %s\n", line)
	}
	if r.MoreOmitted > 0 {
		fmt.Fprintf(&b, "VIOLATION … and %s more\n", cli.Count(r.MoreOmitted))
	}
	return b.String()
}
