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
	all := EachQuantile()
	heads := []string{""}
	for _, q := range all {
		heads = append(heads, q.Label)
	}
	row(append(heads, "count")...)
	marked := false
	quantiles := func(t Time) {
		if t.Of.Count == 0 || r.Closed && t.Key == "lateness" {
			return
		}
		cells := []string{t.Label}
		for _, q := range all {
			cells = append(cells, r.Show(t, q))
			marked = marked || strings.HasSuffix(cells[len(cells)-1], LateMark)
		}
		row(append(cells, cli.Count(t.Of.Count))...)
	}
	for i, t := range r.Times() {
		if i == 1 {
			for _, p := range r.Phases {
				quantiles(Time{Label: sprintf("%s, %.1f to %.1f s", p.Name, p.From, p.To), Of: p.Latency, Late: true})
			}
		}
		quantiles(t)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if marked {
		fmt.Fprintf(&b, "%s: the generator was late by more than a tenth of this figure; use --pin, or a machine with more CPUs\n", LateMark)
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
		line("", "%s messages without a stamp: %s", cli.Count(t.Other), Causes(t.OtherKinds))
	}
	if c := r.Connects; c.Failed > 0 {
		line("connects", "%s of %s failed: %s", cli.Count(c.Failed), cli.Count(c.Tried), Causes(c.Causes))
	}
	p := r.Proof
	least := ""
	if p.AtLeast {
		least = "at least "
	}
	line("proof", least+"%s lost, %s doubled, %s reordered, %s foreign, %s damaged; %s of %s deliveries at members that stayed connected",
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
	line("generator", "%s, %.2f us per delivery at %.1f deliveries per read, %s B per connection; steal %.2f %%, CPU pressure %s, waited for a CPU %s",
		who, g.PerDelivery, t.PerRead, cli.Count(int64(g.BytesPerConn)), 100*g.Steal, pressure, waited(g.Wait))
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
	line("server", "%s; waited for a CPU %s; %s descriptors, %s threads", strings.Join(cost, ", "), waited(s.Wait), cli.Count(s.Descriptors), cli.Count(s.Threads))
	memory := sprintf("RSS %.1f MB, %s B per connection when open, %s at the end", float64(s.RSSEnd)/1e6,
		cli.Count(int64(s.BytesPerConn)), cli.Count(int64(s.BytesActive)))
	if s.Settled {
		memory += " (settled)"
	}
	if s.KernelPerConn > 0 {
		memory += sprintf("; kernel %s B per connection, for both ends", cli.Count(int64(s.KernelPerConn)))
	}
	line("memory", "%s", memory)
	if s.NotFresh != "" {
		line("", "NOT FRESH %s", s.NotFresh)
	}
	if g := s.Growth; g != nil {
		line("growth", "RSS %+.1f MB per hour, descriptors %+.0f per hour", g.RSS/1e6, g.Descriptors)
	}
	if g := s.Go; g != nil {
		line("go", "%d collections, %s goroutines, heap %.1f MB in use", g.Collections, cli.Count(g.Goroutines), float64(g.HeapInuse)/1e6)
	}
}

func waited(share float64) string {
	if share < 0 {
		return "unknown"
	}
	return sprintf("%.1f %%", 100*share)
}

// parts writes the lines that only some scenarios have: kicks, churn, slow
// members, recovery.
func (r *Result) parts(line func(name, format string, args ...any)) {
	if k := r.Kicks; k != nil {
		line("kicks", "%s of %s silent connections closed: %d early, %d not at all; %d with heartbeats wrongly closed (%s)",
			cli.Count(k.Kicked), cli.Count(k.Silent), k.Early, k.Missing, k.Wrong, Causes(k.Codes))
	}
	if c := r.Churn; c != nil {
		line("churn", "%s resets, %.0f/s, %s of them before the 101, %s ended by the server; they sent %s messages, and all members got %s of these",
			cli.Count(c.Cut+c.Opened), c.Rate, cli.Count(c.Cut), cli.Count(c.Failed), cli.Count(c.Sent), cli.Count(c.Seen))
	}
	if s := r.Slow; s != nil {
		line("slow", "%s members stopped reading, %s of them were disconnected (%s)", cli.Count(s.Members), cli.Count(s.Ended), Causes(s.Codes))
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

// Causes formats counts by name.
func Causes[N int | int64](n map[string]N) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(n)) {
		all = append(all, sprintf("%s: %s", name, cli.Count(n[name])))
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

func (r *Result) verdicts(b *strings.Builder) {
	for _, o := range r.Thresholds {
		switch {
		case o.NotJudged != "":
			fmt.Fprintf(b, "NOT JUDGED %s: %s\n", o.Threshold, o.NotJudged)
		case o.Why != "":
			fmt.Fprintf(b, "MISSED %s: %s\n", o.Threshold, o.Why)
		case o.Met:
			fmt.Fprintf(b, "met %s\n", o.Threshold)
		default:
			fmt.Fprintf(b, "MISSED %s: got %s\n", o.Threshold, o.Value())
		}
	}
	for _, n := range r.Proof.Notes {
		fmt.Fprintf(b, "VIOLATION %s\n", n)
	}
	if r.Proof.Guess != "" {
		fmt.Fprintf(b, "HINT %s\n", r.Proof.Guess)
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
	for _, what := range r.NotJudged {
		fmt.Fprintf(b, "NOT JUDGED %s\n", what)
	}
	if len(r.Invalid) > 0 && r.Server != nil {
		fmt.Fprintf(b, "        %s; bench/README.md says how to get a valid run\n", r.StillTrue())
	}
	if r.Died != "" {
		fmt.Fprintf(b, "DIED %s\n", r.Died)
	}
}

// StillTrue says which figures of an INVALID run count.
func (r *Result) StillTrue() string {
	if r.Busy != "" {
		return "rates, latencies and the server's CPU time do not count, the proof does"
	}
	return "rates and latencies do not count, the proof and the server's CPU per delivery do"
}

// Value formats the value that the threshold was compared with.
func (o Outcome) Value() string {
	name, _, _ := strings.Cut(strings.ReplaceAll(o.Threshold, ">", "<"), "<")
	return figures()[strings.TrimSpace(name)].Show(o.Got)
}
