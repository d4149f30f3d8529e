package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"dotsconnect/bench/result"
)

// recorder counts the times of deliveries. Most of them are short, and one array
// access counts a short time, which is several times cheaper than a histogram.
// The counts go into the histogram when it is read.
type recorder struct {
	h     *hdrhistogram.Histogram
	short [4096]uint32 // by time in us, rounded up
	any   bool         // short has counts
}

func newRecorder() *recorder { return &recorder{h: result.NewHistogram()} }

// record adds a time in nanoseconds.
func (c *recorder) record(ns int64) {
	us := (ns + int64(time.Microsecond) - 1) / int64(time.Microsecond)
	if us < 1 || us >= int64(len(c.short)) {
		result.Record(c.h, ns)
		return
	}
	c.short[us]++
	c.any = true
}

// histogram returns the histogram with all times so far.
func (c *recorder) histogram() *hdrhistogram.Histogram {
	if c.any {
		for us, n := range c.short {
			if n > 0 {
				result.RecordMany(c.h, int64(us), int64(n))
			}
		}
		clear(c.short[:])
		c.any = false
	}
	return c.h
}

// take returns the histogram and begins a new one.
func (c *recorder) take() *hdrhistogram.Histogram {
	h := c.histogram()
	c.h = result.NewHistogram()
	return h
}
