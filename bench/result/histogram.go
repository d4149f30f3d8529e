package result

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// Bounds of all histograms, in microseconds: 1 µs to 120 s by three digits.
const (
	lowest  = 1
	highest = 120_000_000
	digits  = 3
)

// NewHistogram makes a histogram of microseconds.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(lowest, highest, digits) }

// Record enters a time in nanoseconds, rounded up, and cut to the bounds: what
// took longer than 120 s took at least that.
func Record(h *hdrhistogram.Histogram, ns int64) {
	if err := h.RecordValue(min(max((ns+999)/1000, lowest), highest)); err != nil {
		panic(err) // the bounds are ours
	}
}

// Histograms are the distributions of a run.
type Histograms struct {
	Latency  *hdrhistogram.Histogram // the time measured
	Interval []Interval
}

// Interval is the latency of one second; an hlog has a line for each.
type Interval struct {
	Start   time.Time
	Latency *hdrhistogram.Histogram
}

// Merge adds histograms of equal bounds, which loses nothing.
func Merge(parts ...*hdrhistogram.Histogram) (*hdrhistogram.Histogram, error) {
	all := NewHistogram()
	for _, h := range parts {
		if dropped := all.Merge(h); dropped > 0 {
			return nil, fmt.Errorf("merging histograms: %d values are out of bounds", dropped)
		}
	}
	return all, nil
}

// Quantiles is a distribution in short.
type Quantiles struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_us"`
	P50   int64   `json:"p50_us"`
	P90   int64   `json:"p90_us"`
	P99   int64   `json:"p99_us"`
	P999  int64   `json:"p999_us"`
	Max   int64   `json:"max_us"`
}

// Summarize reads the quantiles of a histogram.
func Summarize(h *hdrhistogram.Histogram) Quantiles {
	q := Quantiles{Count: h.TotalCount()}
	if q.Count == 0 {
		return q
	}
	q.Mean, q.Max = h.Mean(), h.Max()
	q.P50, q.P90 = h.ValueAtQuantile(50), h.ValueAtQuantile(90)
	q.P99, q.P999 = h.ValueAtQuantile(99), h.ValueAtQuantile(99.9)
	return q
}

// Micros writes microseconds in the unit in which a person reads them.
func Micros(us int64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%d us", us)
	case us < 1_000_000:
		return fmt.Sprintf("%.2f ms", float64(us)/1000)
	}
	return fmt.Sprintf("%.2f s", float64(us)/1_000_000)
}
