package load

import (
	"testing"

	"dotsconnect/bench/result"
)

func TestARecorderCountsLikeAHistogram(t *testing.T) {
	c, want := newRecorder(), result.NewHistogram()
	for i := range int64(20_000) {
		ns := i * i * 37 // up to 15 s
		c.record(ns)
		result.Record(want, ns)
		if i == 7000 {
			c.histogram() // reading changes nothing
		}
	}
	c.record(-5)
	result.Record(want, -5)
	if got := c.take(); !got.Equals(want) {
		t.Errorf("got %+v, want %+v", result.Summarize(got), result.Summarize(want))
	}
	if n := c.histogram().TotalCount(); n != 0 {
		t.Errorf("%d values after take", n)
	}
}
