package result

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"

	"dotsconnect/bench/internal/cli"
)

// Quantiles summarizes a histogram.
type Quantiles struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_us"`
	P50   int64   `json:"p50_us"`
	P90   int64   `json:"p90_us"`
	P99   int64   `json:"p99_us"`
	P999  int64   `json:"p999_us"`
	Max   int64   `json:"max_us"`
}

// Summarize returns the quantiles of a histogram, which may be nil.
func Summarize(h *hdrhistogram.Histogram) Quantiles {
	if h == nil {
		return Quantiles{}
	}
	q := Quantiles{Count: h.TotalCount()}
	if q.Count == 0 {
		return q
	}
	q.Mean, q.Max = h.Mean(), h.Max()
	q.P50, q.P90 = h.ValueAtQuantile(50), h.ValueAtQuantile(90)
	q.P99, q.P999 = h.ValueAtQuantile(99), h.ValueAtQuantile(99.9)
	return q
}

// Quantile is one of the quantiles that tables show and thresholds limit.
type Quantile struct {
	Name  string  // name in thresholds, such as p999
	Label string  // name in tables, such as p99.9
	Share float64 // 1: the maximum
	Of    func(q Quantiles) int64
}

// EachQuantile returns all quantiles, in the order of the tables.
func EachQuantile() []Quantile {
	return []Quantile{
		{"p50", "p50", 0.5, func(q Quantiles) int64 { return q.P50 }},
		{"p90", "p90", 0.9, func(q Quantiles) int64 { return q.P90 }},
		{"p99", "p99", 0.99, func(q Quantiles) int64 { return q.P99 }},
		{"p999", "p99.9", 0.999, func(q Quantiles) int64 { return q.P999 }},
		{"max", "max", 1, func(q Quantiles) int64 { return q.Max }},
	}
}

// Needs returns the number of values from which the quantile means something:
// ten values must lie above it.
func (n Quantile) Needs() int64 {
	if n.Share == 1 {
		return 1
	}
	return int64(math.Round(10 / (1 - n.Share)))
}

// Enough reports whether q has enough values for the quantile.
func (n Quantile) Enough(q Quantiles) bool { return q.Count >= n.Needs() }

// Time is one of the times that a run measures.
type Time struct {
	Key   string // name in thresholds
	Label string // name in tables
	Help  string // sentence for the metrics
	Of    Quantiles
	Late  bool // counted from the time at which something was due, so it contains the lateness of the generator
}

// Times returns all times of a run, in the order of the tables. Times that were
// not measured have no values.
func (r *Result) Times() []Time {
	return []Time{
		{"latency", "latency", "Latency at all receivers: time from when a message was due until it arrived; quantile 1 is the maximum.", r.Latency, true},
		{"latency_from_send", "from the actual send", "Time from when a message was sent until it arrived, at all receivers.", r.FromSend, false},
		{"first_receiver", "first receiver", "Latency at the first receiver of each message: time from when it was due until it arrived.", r.First, true},
		{"last_receiver", "last receiver", "Latency at the last receiver of each message: time from when it was due until it arrived.", r.Last, true},
		{"lateness", "send lateness", "Time from when a message was due until it was sent.", r.Lateness, false},
		{"connect", "connect", "Time from the connect until the end of the handshake.", r.Connect, r.Scenario["open"] != "max"},
		{"reconnect", "reconnect", "Time from the end of a connection until the connection that replaces it has finished its handshake.", r.Reconnect, false},
		{"kick", "kick lateness", "Time from when a silent connection was due to be closed until it was closed.", r.Kick, false},
	}
}

// Doubt returns why a quantile of a time does not describe the server, or "" if
// it does: there are too few values, or the generator's own lateness at this
// quantile is more than a tenth of it.
func (r *Result) Doubt(t Time, n Quantile) string {
	if !n.Enough(t.Of) {
		return sprintf("%s needs %s values, but there are %s", n.Label, cli.Count(n.Needs()), cli.Count(t.Of.Count))
	}
	own, got := n.Of(r.Lateness), n.Of(t.Of)
	if t.Late && !r.Closed && r.Lateness.Count > 0 && own*10 > got {
		return sprintf("the generator itself was late: at %s by %s, which is more than a tenth of %s", n.Label, Micros(own), Micros(got))
	}
	return ""
}

// Show formats a quantile of a time: "-" if there are too few values, and with
// LateMark behind it if the generator was late.
func (r *Result) Show(t Time, n Quantile) string {
	if !n.Enough(t.Of) {
		return "-"
	}
	text := Micros(n.Of(t.Of))
	if r.Doubt(t, n) != "" {
		text += LateMark
	}
	return text
}

// LateMark marks figures of which the generator's own lateness is more than a
// tenth.
const LateMark = "*"
