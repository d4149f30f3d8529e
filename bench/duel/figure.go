package duel

import (
	"slices"

	"dotsconnect/bench/result"
)

// Figure is a figure of a run that can be compared with the same figure of
// another run.
type Figure struct {
	result.Figure
	Name  string // name of the figure in thresholds
	Label string
	less  string // adjective for B if B has the smaller value, such as "faster"
	more  string // adjective for B if B has the larger value
}

// Figures returns all figures, in the order in which tables show them.
func Figures() []Figure {
	var all []Figure
	add := func(name, label, less, more string) {
		f, ok := result.FigureOf(name)
		if !ok {
			panic("duel: no figure " + name)
		}
		all = append(all, Figure{f, name, label, less, more})
	}
	add("server.cpu_us_per_delivery", "server CPU per delivery", "cheaper", "dearer")
	add("server.cpu_us_per_heartbeat", "server CPU per heartbeat", "cheaper", "dearer")
	add("server.bytes_per_connection", "server RSS per connection", "smaller", "larger")
	add("server.rss", "server RSS at the end", "smaller", "larger")
	for _, name := range []string{"latency", "connect"} {
		for _, q := range result.EachQuantile() {
			add(name+"."+q.Name, name+" "+q.Label, "faster", "slower")
		}
	}
	add("rate.sent", "messages per second", "slower", "faster")
	add("rate.delivered", "deliveries per second", "slower", "faster")
	return all
}

// duelFigures returns the figures of a duel. closed means a scenario with a
// closed loop. Without a closed loop the rate of deliveries is left out,
// because the schedule decides the rate and not the server.
func duelFigures(closed bool) []Figure {
	names := []string{"server.cpu_us_per_delivery", "server.cpu_us_per_heartbeat", "server.bytes_per_connection", "latency.p50", "latency.p99"}
	if closed {
		names = append(names, "rate.delivered")
	}
	return slices.DeleteFunc(Figures(), func(f Figure) bool { return !slices.Contains(names, f.Name) })
}
