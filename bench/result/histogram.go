package result

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// All histograms have values from 1 us to 120 s, with three significant digits.
const (
	lowest  = 1
	highest = 120_000_000
	digits  = 3
)

// NewHistogram makes a histogram for times in microseconds.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(lowest, highest, digits) }

// Record adds a time in nanoseconds. It rounds the time up to microseconds, and
// records a time above 120 s as 120 s.
func Record(h *hdrhistogram.Histogram, ns int64) {
	if err := h.RecordValue(min(max((ns+999)/1000, lowest), highest)); err != nil {
		panic(err) // cannot happen: the value is not above highest
	}
}

// RecordMany adds a time in whole microseconds n times. It must be at least one
// microsecond and below 120 s.
func RecordMany(h *hdrhistogram.Histogram, us, n int64) {
	if err := h.RecordValues(us, n); err != nil {
		panic(err) // the caller broke the rule above
	}
}

// Histograms has the histograms of all times of a run.
type Histograms struct {
	Latency   *hdrhistogram.Histogram // latencies of messages that were due in the time measured
	FromSend  *hdrhistogram.Histogram
	First     *hdrhistogram.Histogram
	Last      *hdrhistogram.Histogram
	Lateness  *hdrhistogram.Histogram
	Connect   *hdrhistogram.Histogram
	Reconnect *hdrhistogram.Histogram
	Kick      *hdrhistogram.Histogram // nil if no member was silent
	Interval  []Interval
	Phases    [PhaseCount]*hdrhistogram.Histogram // all nil if the run makes no fault
}

// Summarize computes the quantiles and curves of the result from its
// histograms.
func (r *Result) Summarize() {
	h := &r.Histograms
	r.Latency, r.Lateness, r.Connect = Summarize(h.Latency), Summarize(h.Lateness), Summarize(h.Connect)
	r.FromSend = Summarize(h.FromSend)
	r.First, r.Last, r.Reconnect = Summarize(h.First), Summarize(h.Last), Summarize(h.Reconnect)
	r.Kick = Summarize(h.Kick)
	for i := range r.Phases {
		r.Phases[i].Latency = Summarize(h.Phases[i])
	}
	r.Plots.Latency, r.Plots.Kick = nil, bars(h.Kick)
	if h.Latency.TotalCount() == 0 {
		return
	}
	for _, p := range []float64{0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999, 100} {
		// Leave out a percentile if less than one value is above it, because
		// such a percentile only repeats the maximum.
		if float64(h.Latency.TotalCount())*(100-p)/100 >= 1 || p == 100 {
			r.Plots.Latency = append(r.Plots.Latency, Point{p, float64(h.Latency.ValueAtQuantile(p))})
		}
	}
}

// bars returns the bars of a bar chart of h. There are at most 20 bars, all
// with the same width of 1, 2, 5, 10 … ms. X is the upper bound of a bar and Y
// its count.
func bars(h *hdrhistogram.Histogram) []Point {
	const most = 20
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	width := int64(1000)
	for i := 0; h.Max()/width >= most; i++ {
		width = width * []int64{2, 5, 2}[i%3] / []int64{1, 2, 1}[i%3]
	}
	points := make([]Point, h.Max()/width+1)
	for i := range points {
		points[i].X = float64(int64(i+1) * width)
	}
	for _, b := range h.Distribution() {
		if b.Count > 0 {
			points[min(b.From/width, int64(len(points)-1))].Y += float64(b.Count)
		}
	}
	return points
}

// Opened sets the RSS of a server before and after conns connections were
// opened.
func (s *Server) Opened(before, open int64, conns int) {
	s.RSSBefore, s.RSSOpen = before, open
	s.BytesPerConn = float64(open-before) / float64(conns)
}

// Interval has the latencies of one second, which are one line of latency.hlog.
type Interval struct {
	Start   time.Time
	Latency *hdrhistogram.Histogram
}

// Micros formats a time in microseconds with a readable unit.
func Micros(us int64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%d us", us)
	case us < 1_000_000:
		return fmt.Sprintf("%.2f ms", float64(us)/1000)
	}
	return fmt.Sprintf("%.2f s", float64(us)/1_000_000)
}
