package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// group is a list of facts with a heading.
type group struct {
	Heading string
	Facts   []fact
}

type fact struct{ Name, Value string }

func (g *group) add(name, value string) {
	if value != "" {
		g.Facts = append(g.Facts, fact{name, value})
	}
}

// summary describes the load of a run in one line.
func summary(r *result.Result) string {
	var parts []string
	conns := several(r.Traffic.Conns, "connection", "connections")
	if rooms := number(r.Scenario["rooms"]); rooms != "" {
		conns += " in " + rooms + " rooms"
	}
	parts = append(parts, conns)
	if rate := r.Scenario["rate"]; rate == "max" {
		parts = append(parts, "as fast as the server allows")
	} else if rate == "0/s" {
		parts = append(parts, "heartbeats alone")
	} else if rate != "" {
		parts = append(parts, number(strings.TrimSuffix(rate, "/s"))+" messages/s")
	}
	if size := r.Scenario["size"]; size != "" && r.Scenario["rate"] != "0/s" {
		parts = append(parts, number(size)+" bytes each")
	}
	if d := r.Scenario["duration"]; d != "" {
		text := d + " measured"
		if w := r.Scenario["warmup"]; w != "" && w != "0s" {
			text += " after " + w + " of warm-up"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " · ")
}

// number adds commas to a text that is a whole number, and returns other texts
// unchanged.
func number(text string) string {
	var n int64
	if _, err := fmt.Sscanf(text, "%d", &n); err == nil && fmt.Sprint(n) == text {
		return count(n)
	}
	return text
}

func started(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	return t.UTC().Format("2 January 2006, 15:04:05 UTC")
}

// command returns a command line that repeats the run. It has a flag for each
// field that differs from the built-in scenario with the name of the run.
func command(r *result.Result) string {
	words := []string{"dotsbench", "run", quote(r.Name)}
	usual := map[string]string{}
	if slices.Contains(scenario.Names(), r.Name) {
		if s, err := scenario.Load(r.Name); err == nil {
			for _, f := range scenario.Fields() {
				usual[f.Name] = f.Get(&s)
			}
		}
	}
	for _, name := range fieldNames(r) {
		if value := r.Scenario[name]; value != usual[name] {
			words = append(words, "--"+name+" "+quote(value))
		}
	}
	if r.Flags == nil && r.URL != "" { // the result of an older dotsbench, which did not write Flags
		words = append(words, "--url "+quote(r.URL))
	}
	for _, word := range r.Flags {
		words = append(words, quote(word))
	}
	for _, o := range r.Thresholds {
		words = append(words, "--threshold "+quote(o.Threshold))
	}
	return strings.Join(words, " ")
}

// fieldNames returns the names of the fields of a result's scenario, in the
// order of scenario.Fields. Fields that this program does not know come last.
func fieldNames(r *result.Result) []string {
	var names []string
	for _, f := range scenario.Fields() {
		if _, ok := r.Scenario[f.Name]; ok {
			names = append(names, f.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Scenario)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// quote returns s, quoted for a shell if necessary.
func quote(s string) string {
	const harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%"
	if s != "" && strings.Trim(s, harmless) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// facts returns the details of a run: everything that other people need to
// repeat or to check it.
func facts(r *result.Result) []group {
	what := group{Heading: "Scenario"}
	for _, name := range fieldNames(r) {
		what.add(name, r.Scenario[name])
	}
	var all []group
	for _, g := range []group{what, serverFacts(r.Server), generatorFacts(r), outcomeFacts(r), machineFacts(r)} {
		if len(g.Facts) > 0 {
			all = append(all, g)
		}
	}
	return all
}

func serverFacts(s *result.Server) group {
	g := group{Heading: "Server"}
	if s == nil {
		return g
	}
	micros := func(name string, us float64) {
		if us > 0 {
			g.add(name, duration(us).String())
		}
	}
	bytes := func(name string, n float64) {
		if n > 0 {
			g.add(name, octets(n).String())
		}
	}
	g.add("CPU", digits(s.CPUSeconds, 3)+"\u00a0s, "+digits(s.CPUs, 2)+" CPUs")
	micros("CPU per delivery", s.CPUPerDelivery)
	micros("CPU per message sent", s.CPUPerMessage)
	micros("CPU per heartbeat", s.CPUPerBeat)
	micros("CPU per connect", s.CPUPerConnect)
	bytes("RSS before", float64(s.RSSBefore))
	bytes("RSS, all connected", float64(s.RSSOpen))
	bytes("RSS at the end", float64(s.RSSEnd))
	bytes("RSS per connection", s.BytesPerConn)
	bytes("RSS per connection at the end", s.BytesActive)
	bytes("kernel per connection, both ends", s.KernelPerConn)
	g.add("descriptors", count(s.Descriptors))
	g.add("threads", count(s.Threads))
	if goes := s.Go; goes != nil {
		g.add("Go collections", count(goes.Collections))
		g.add("goroutines", count(goes.Goroutines))
		bytes("Go heap, allocated", float64(goes.HeapAlloc))
		bytes("Go heap, in use", float64(goes.HeapInuse))
		bytes("Go stacks", float64(goes.StackInuse))
	}
	return g
}

func generatorFacts(r *result.Result) group {
	v := r.Generator
	g := group{Heading: "Generator"}
	g.add("version", r.Program)
	if v.Processes > 1 {
		g.add("processes", count(v.Processes))
	}
	g.add("busiest thread", percent(v.ThreadCPU)+" of a CPU")
	if v.PerDelivery > 0 {
		g.add("CPU per delivery", duration(v.PerDelivery).String())
	}
	if v.BytesPerConn > 0 {
		g.add("memory per connection", octets(v.BytesPerConn).String())
	}
	t := r.Traffic
	g.add("messages sent", count(t.Sent)+" of "+count(t.Due)+" due")
	if t.Refused > 0 {
		g.add("not accepted by the server", count(t.Refused))
	}
	if t.Other > 0 {
		g.add("without a stamp", count(t.Other))
	}
	if t.PerRead > 0 {
		g.add("deliveries per read", digits(t.PerRead, 3))
	}
	g.add("heartbeats", count(t.Beats))
	g.add("seed", fmt.Sprint(r.Seed))
	return g
}

// outcomeFacts has the counts that only some scenarios have: kicks, guests,
// slow members, recovery.
func outcomeFacts(r *result.Result) group {
	g := group{Heading: "Connections"}
	codes := func(of map[string]int) string {
		var parts []string
		for _, code := range slices.Sorted(maps.Keys(of)) {
			parts = append(parts, fmt.Sprintf("%s: %s", code, count(of[code])))
		}
		return strings.Join(parts, ", ")
	}
	if k := r.Kicks; k != nil {
		g.add("silent", count(k.Silent))
		g.add("kicked", fmt.Sprintf("%s, %s early, %s missing", count(k.Kicked), count(k.Early), count(k.Missing)))
		g.add("wrongly closed", count(k.Wrong))
		g.add("kicked with", codes(k.Codes))
	}
	if c := r.Churn; c != nil {
		g.add("opened and reset", fmt.Sprintf("%s, %s/s", count(c.Opened), rate(c.Rate)))
		g.add("reset in the handshake", count(c.Cut))
		g.add("failed", count(c.Failed))
		g.add("guests' messages received", fmt.Sprintf("%s of %s", count(c.Seen), count(c.Sent)))
	}
	if s := r.Slow; s != nil {
		g.add("stopped reading", count(s.Members))
		g.add("of these disconnected", count(s.Ended))
		g.add("ended with", codes(s.Codes))
	}
	if v := r.Recovery; v != nil {
		g.add("back after the restart", fmt.Sprintf("%s of %s", count(v.Back), count(v.Conns)))
	}
	return g
}

func machineFacts(r *result.Result) group {
	m := r.Machine
	g := group{Heading: "Machine"}
	if m.CPU != "" || m.CPUs > 0 {
		g.add("CPU", fmt.Sprintf("%d × %s", m.CPUs, m.CPU))
	}
	if m.Memory > 0 {
		g.add("memory", octets(float64(m.Memory)).String())
	}
	g.add("kernel", strings.TrimSpace(m.Kernel+" "+m.Arch))
	g.add("CPU governor", m.Governor)
	g.add("steal", percent(r.Generator.Steal))
	if r.Generator.PSI >= 0 {
		g.add("CPU pressure (PSI)", percent(r.Generator.PSI))
	}
	g.add("Go", m.Go)
	if m.Commit != "" {
		commit := m.Commit[:min(12, len(m.Commit))]
		if m.Modified {
			commit += ", modified"
		}
		g.add("commit", commit)
	}
	return g
}
