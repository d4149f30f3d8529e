package result

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"dotsconnect/bench/internal/cli"
)

// Table writes the run for a person.
func (r *Result) Table(w io.Writer) error {
	var b strings.Builder
	t := r.Traffic
	fmt.Fprintf(&b, "%s: %s connections in %s rooms, %s, %s bytes, seed %d\n", r.Name,
		cli.Count(t.Conns), r.Scenario["rooms"], r.Scenario["rate"], r.Scenario["size"], r.Seed)
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(tw, strings.Join(cells, "\t")+"\t") }
	row("", "p50", "p90", "p99", "p99.9", "max", "count")
	quantiles := func(name string, q Quantiles) {
		if q.Count > 0 {
			row(name, Micros(q.P50), Micros(q.P90), Micros(q.P99), Micros(q.P999), Micros(q.Max), cli.Count(q.Count))
		}
	}
	quantiles("latency", r.Latency)
	if !r.Closed {
		quantiles("send lateness", r.Lateness)
	}
	quantiles("connect", r.Connect)
	if err := tw.Flush(); err != nil {
		return err
	}
	r.lines(&b)
	r.verdicts(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Result) lines(b *strings.Builder) {
	line := func(name, format string, args ...any) { fmt.Fprintf(b, "%-10s %s\n", name, sprintf(format, args...)) }
	t := r.Traffic
	line("traffic", "%s messages sent, %.1f/s; %s deliveries in %.1f s, %.0f/s", cli.Count(t.Sent), t.SentRate,
		cli.Count(t.Delivered), t.MeasuredS, t.DeliveredRate)
	if t.Refused > 0 {
		line("", "%s messages could not be sent: the server did not read", cli.Count(t.Refused))
	}
	if t.Other > 0 {
		line("", "%s messages without a stamp, not judged", cli.Count(t.Other))
	}
	p := r.Proof
	line("proof", "%s lost, %s doubled, %s reordered, %s foreign, %s damaged; %s of %s deliveries at members that stayed",
		cli.Count(p.Lost), cli.Count(p.Doubled), cli.Count(p.Reordered), cli.Count(p.Foreign), cli.Count(p.Damaged),
		cli.Count(p.Received), cli.Count(p.Expected))
	if s := r.Server; s != nil {
		var cost []string
		if s.CPUPerDelivery > 0 {
			cost = append(cost, sprintf("%.2f us CPU per delivery", s.CPUPerDelivery))
		}
		if s.CPUPerBeat > 0 {
			cost = append(cost, sprintf("%.2f us CPU per heartbeat", s.CPUPerBeat))
		}
		cost = append(cost, sprintf("%.2f CPUs", s.CPUs))
		line("server", "%s; RSS %.1f MB, %s B per connection; %s descriptors, %s threads", strings.Join(cost, ", "),
			float64(s.RSSEnd)/1e6, cli.Count(int64(s.BytesPerConn)), cli.Count(s.Descriptors), cli.Count(s.Threads))
	}
	g := r.Generator
	pressure := "unknown"
	if g.PSI >= 0 {
		pressure = sprintf("%.1f %%", 100*g.PSI)
	}
	line("generator", "%.0f %% of a CPU, %.2f us per delivery, %s B per connection; steal %.2f %%, CPU pressure %s",
		100*g.ThreadCPU, g.PerDelivery, cli.Count(int64(g.BytesPerConn)), 100*g.Steal, pressure)
}

func (r *Result) verdicts(b *strings.Builder) {
	for _, o := range r.Thresholds {
		switch {
		case o.Why != "":
			fmt.Fprintf(b, "MISSED %s: %s\n", o.Threshold, o.Why)
		case o.Met:
			fmt.Fprintf(b, "met %s\n", o.Threshold)
		default:
			fmt.Fprintf(b, "MISSED %s: got %s\n", o.Threshold, figures()[strings.TrimSpace(o.Threshold[:strings.IndexAny(o.Threshold, "<>")])].show(o.Got))
		}
	}
	for _, n := range r.Proof.Notes {
		fmt.Fprintf(b, "VIOLATION %s\n", n)
	}
	if r.Ended != "" {
		fmt.Fprintf(b, "ENDED %s\n", r.Ended)
	}
	for _, why := range r.Invalid {
		fmt.Fprintf(b, "INVALID %s\n", why)
	}
	if len(r.Invalid) > 0 && r.Server != nil {
		fmt.Fprintln(b, "        rates and latencies do not count; the proof and the server's CPU per delivery do")
	}
	if r.Died != "" {
		fmt.Fprintf(b, "DIED %s\n", r.Died)
	}
}

func (f figure) show(v float64) string {
	switch f.kind {
	case micros:
		return Micros(int64(v))
	case octets:
		return cli.Count(int64(v)) + " B"
	}
	return sprintf("%.3g", v)
}
