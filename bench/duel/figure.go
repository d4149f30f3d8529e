package duel

import (
	"fmt"
	"slices"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
)

// Figure is a figure of a run that can be compared with the same figure of
// another run.
type Figure struct {
	Name   string // name of the figure in thresholds
	Label  string
	Always bool   // the figure counts even in an INVALID run, because a busy generator does not change it
	less   string // adjective for B if B has the smaller value, such as "faster"; more: adjective if B has the larger value
	more   string
	get    func(r *result.Result) float64 // 0 or less if the run does not have the figure
	show   func(v float64) string
}

// Figures returns all figures, in the order in which tables show them.
func Figures() []Figure {
	figures := []Figure{
		{"server.cpu_us_per_delivery", "server CPU per delivery", true, "cheaper", "dearer",
			ofServer(func(s *result.Server) float64 { return s.CPUPerDelivery }), showCost},
		{"server.cpu_us_per_heartbeat", "server CPU per heartbeat", true, "cheaper", "dearer",
			ofServer(func(s *result.Server) float64 { return s.CPUPerBeat }), showCost},
		{"server.bytes_per_connection", "server RSS per connection", true, "smaller", "larger",
			ofServer(func(s *result.Server) float64 { return s.BytesPerConn }), showBytes},
		{"server.rss", "server RSS at the end", true, "smaller", "larger",
			ofServer(func(s *result.Server) float64 { return float64(s.RSSEnd) }), showBytes},
	}
	of := func(name string, quantiles func(r *result.Result) *result.Quantiles) {
		for _, q := range []struct {
			name, label string
			get         func(q *result.Quantiles) int64
		}{
			{"p50", "p50", func(q *result.Quantiles) int64 { return q.P50 }},
			{"p90", "p90", func(q *result.Quantiles) int64 { return q.P90 }},
			{"p99", "p99", func(q *result.Quantiles) int64 { return q.P99 }},
			{"p999", "p99.9", func(q *result.Quantiles) int64 { return q.P999 }},
			{"max", "max", func(q *result.Quantiles) int64 { return q.Max }},
		} {
			figures = append(figures, Figure{name + "." + q.name, name + " " + q.label, false, "faster", "slower",
				func(r *result.Result) float64 { return float64(q.get(quantiles(r))) }, showMicros})
		}
	}
	of("latency", func(r *result.Result) *result.Quantiles { return &r.Latency })
	of("connect", func(r *result.Result) *result.Quantiles { return &r.Connect })
	return append(figures,
		Figure{"rate.sent", "messages per second", false, "slower", "faster",
			func(r *result.Result) float64 { return r.Traffic.SentRate }, showRate},
		Figure{"rate.delivered", "deliveries per second", false, "slower", "faster",
			func(r *result.Result) float64 { return r.Traffic.DeliveredRate }, showRate})
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

func ofServer(get func(s *result.Server) float64) func(r *result.Result) float64 {
	return func(r *result.Result) float64 {
		if r.Server == nil {
			return 0
		}
		return get(r.Server)
	}
}

func showCost(v float64) string   { return fmt.Sprintf("%.3g us", v) }
func showBytes(v float64) string  { return cli.Count(int64(v)) + " B" }
func showMicros(v float64) string { return result.Micros(int64(v)) }
func showRate(v float64) string   { return cli.Count(int64(v)) + "/s" }
