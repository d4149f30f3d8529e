package result

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"dotsconnect/bench/internal/cli"
)

// Table writes the result as a table for people.
func (r *Result) Table(w io.Writer) error {
	var b strings.Builder
	t := r.Traffic
	rate := r.Scenario["rate"]
	if r.Closed { // a closed loop sends only as fast as the server can deliver, so readers must know about the loop to judge the latencies
		rate = "closed loop"
	}
	fmt.Fprintf(&b, "%s: %s connections in %s rooms, %s, %s bytes, seed %d\n", r.Name,
		cli.Count(t.Conns), r.Scenario["rooms"], rate, r.Scenario["size"], r.Seed)
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(tw, strings.Join(cells, "\t")+"\t") }
	row("", "p50", "p90", "p99", "p99.9", "max", "count")
	quantiles := func(name string, q Quantiles) {
		if q.Count > 0 {
			row(name, Micros(q.P50), Micros(q.P90), Micros(q.P99), Micros(q.P999), Micros(q.Max), cli.Count(q.Count))
		}
	}
	quantiles("latency", r.Latency)
	for _, p := range r.Phases {
		quantiles(sprintf("%s, %.1f to %.1f s", p.Name, p.From, p.To), p.Latency)
	}
	quantiles("first receiver", r.First)
	quantiles("last receiver", r.Last)
	if !r.Closed {
		quantiles("send lateness", r.Lateness)
	}
	quantiles("connect", r.Connect)
	quantiles("reconnect", r.Reconnect)
	quantiles("kick lateness", r.Kick)
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
		line("", "%s messages could not be sent because the server did not read", cli.Count(t.Refused))
	}
	if t.Other > 0 {
		line("", "%s messages without a stamp, not checked", cli.Count(t.Other))
	}
	p := r.Proof
	line("proof", "%s lost, %s doubled, %s reordered, %s foreign, %s damaged; %s of %s deliveries at members that stayed connected",
		cli.Count(p.Lost), cli.Count(p.Doubled), cli.Count(p.Reordered), cli.Count(p.Foreign), cli.Count(p.Damaged),
		cli.Count(p.Received), cli.Count(p.Expected))
	if p.Back > 0 {
		line("", "%s deliveries at %s members that reconnected, checked from then on", cli.Count(p.ReceivedBack), cli.Count(p.Back))
	}
	r.parts(line)
	if s := r.Server; s != nil {
		s.lines(line)
	}
	g := r.Generator
	pressure := "unknown"
	if g.PSI >= 0 {
		pressure = sprintf("%.1f %%", 100*g.PSI)
	}
	who := sprintf("%.0f %% of a CPU", 100*g.ThreadCPU)
	if g.Processes > 1 {
		who = sprintf("%d processes, the busiest %.0f %% of a CPU", g.Processes, 100*g.ThreadCPU)
	}
	line("generator", "%s, %.2f us per delivery at %.1f deliveries per read, %s B per connection; steal %.2f %%, CPU pressure %s",
		who, g.PerDelivery, t.PerRead, cli.Count(int64(g.BytesPerConn)), 100*g.Steal, pressure)
}

// lines writes the lines about the cost of the server.
func (s *Server) lines(line func(name, format string, args ...any)) {
	var cost []string
	add := func(v float64, format string) {
		if v > 0 {
			cost = append(cost, sprintf(format, v))
		}
	}
	add(s.CPUPerDelivery, "%.2f us CPU per delivery")
	add(s.CPUPerBeat, "%.2f us CPU per heartbeat")
	add(s.CPUPerConnect, "%.0f us CPU per connect")
	cost = append(cost, sprintf("%.2f CPUs", s.CPUs))
	line("server", "%s; %s descriptors, %s threads", strings.Join(cost, ", "), cli.Count(s.Descriptors), cli.Count(s.Threads))
	memory := sprintf("RSS %.1f MB, %s B per connection when open, %s at the end", float64(s.RSSEnd)/1e6,
		cli.Count(int64(s.BytesPerConn)), cli.Count(int64(s.BytesActive)))
	if s.Settled {
		memory += " (settled)"
	}
	if s.KernelPerConn > 0 {
		memory += sprintf("; kernel %s B per connection, for both ends", cli.Count(int64(s.KernelPerConn)))
	}
	line("memory", "%s", memory)
	if g := s.Go; g != nil {
		line("go", "%d collections, %s goroutines, heap %.1f MB in use", g.Collections, cli.Count(g.Goroutines), float64(g.HeapInuse)/1e6)
	}
}

// parts writes the lines that only some scenarios have: kicks, churn, slow
// members, recovery.
func (r *Result) parts(line func(name, format string, args ...any)) {
	if k := r.Kicks; k != nil {
		line("kicks", "%s of %s silent connections closed: %d early, %d not at all; %d with heartbeats wrongly closed (%s)",
			cli.Count(k.Kicked), cli.Count(k.Silent), k.Early, k.Missing, k.Wrong, codes(k.Codes))
	}
	if c := r.Churn; c != nil {
		line("churn", "%s resets, %.0f/s, %s of them before the 101, %s ended by the server; they sent %s messages, and all members got %s of these",
			cli.Count(c.Cut+c.Opened), c.Rate, cli.Count(c.Cut), cli.Count(c.Failed), cli.Count(c.Sent), cli.Count(c.Seen))
	}
	if s := r.Slow; s != nil {
		line("slow", "%s members stopped reading, %s of them were disconnected (%s)", cli.Count(s.Members), cli.Count(s.Ended), codes(s.Codes))
	}
	if v := r.Recovery; v != nil {
		at := func(us int64) string {
			if us == 0 {
				return "never"
			}
			return Micros(us)
		}
		line("recovery", "%s of %s connections back: 50 %% after %s, 90 %% %s, 99 %% %s, all %s; the server accepted connections after %s",
			cli.Count(v.Back), cli.Count(v.Conns), at(v.At50), at(v.At90), at(v.At99), at(v.At100), at(v.Server))
	}
}

func codes(n map[string]int) string {
	var all []string
	for _, code := range slices.Sorted(maps.Keys(n)) {
		all = append(all, sprintf("%s: %s", code, cli.Count(n[code])))
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
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
	for _, n := range r.Broken {
		fmt.Fprintf(b, "VIOLATION %s\n", n)
	}
	if r.Ended != "" {
		fmt.Fprintf(b, "ENDED %s\n", r.Ended)
	}
	for _, why := range r.Invalid {
		fmt.Fprintf(b, "INVALID %s\n", why)
	}
	if len(r.Invalid) > 0 && r.Server != nil {
		fmt.Fprintln(b, "        rates and latencies do not count, the proof and the server's CPU per delivery do; bench/README.md says how to get a valid run")
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
