package fleet

import (
	"math"
	"slices"
	"testing"
	"time"

	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
)

func TestGeneratorsThatSawDifferentOrdersAreFound(t *testing.T) {
	vote := func(hash uint64, members int) *found {
		return &found{Result: &result.Result{Proof: proof.Verdict{Votes: []proof.Vote{{Room: 3, Hash: hash, Members: members}}}}}
	}
	for _, c := range []struct {
		all  []*found
		want int64
	}{
		{[]*found{vote(1, 10), vote(1, 4)}, 0},
		{[]*found{vote(1, 10), vote(2, 4), vote(1, 5)}, 4},
	} {
		o := &result.Result{}
		mergeProof(o, c.all)
		if o.Proof.Reordered != c.want || int64(len(o.Proof.Notes)) != min(c.want, 1) {
			t.Errorf("got %+v, want %d reordered", o.Proof, c.want)
		}
	}
}

func TestHistogramsCrossTheWireWhole(t *testing.T) {
	all := result.NewHistogram()
	var parts []*found
	for p := range int64(3) {
		r := &result.Result{Histograms: result.Histograms{Latency: result.NewHistogram(), Kick: result.NewHistogram()}}
		for i := range int64(1000) {
			ns := (p*977 + i) * 41_000 * (p + 1)
			result.Record(r.Histograms.Latency, ns)
			result.Record(all, ns)
		}
		r.Histograms.Interval = []result.Interval{{Start: time.UnixMilli(5000), Latency: r.Histograms.Latency}}
		r.Seconds = []result.Second{{Delivered: 1000}}
		f, err := pack(r)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, f)
	}
	r, err := merge(parts, time.Second)
	if err != nil || !r.Histograms.Latency.Equals(all) || r.Latency.Count != 3000 || r.Seconds[0].Delivered != 3000 || r.Seconds[0].Max != r.Latency.Max {
		t.Errorf("merged %+v, seconds %+v, %v", r.Latency, r.Seconds, err)
	}
}

// second returns the row of second t, with one delivery that took ms
// milliseconds, and its histogram.
func second(t int, ms int64) (result.Second, result.Interval) {
	h := result.NewHistogram()
	result.Record(h, ms*1e6)
	return result.Second{T: t, Sent: 1, Delivered: 1}, result.Interval{Start: time.UnixMilli(int64(1000 * t)), Latency: h}
}

func TestRowsOfTheSameSecondAreAddedWhoeverLeftOneOut(t *testing.T) {
	var parts []*found
	for p, seconds := range [][]int{{0, 2, 3}, {1, 2}, {0, 1, 2, 5}} {
		r := &result.Result{Histograms: result.Histograms{Latency: result.NewHistogram()}}
		for _, at := range seconds {
			s, i := second(at, int64(10*at+p+1))
			r.Seconds, r.Histograms.Interval = append(r.Seconds, s), append(r.Histograms.Interval, i)
		}
		f, err := pack(r)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, f)
	}
	r, err := merge(parts, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	var sent, slowest []int64
	for i, s := range r.Seconds {
		at, sent, slowest = append(at, s.T), append(sent, s.Delivered), append(slowest, s.Max/1000)
		if h := r.Histograms.Interval[i]; h.Latency.TotalCount() != s.Delivered || h.Start.Unix() != int64(s.T) {
			t.Errorf("second %d: its histogram starts at %v and has %d", s.T, h.Start, h.Latency.TotalCount())
		}
	}
	if !slices.Equal(at, []int{0, 1, 2, 3, 5}) || !slices.Equal(sent, []int64{2, 2, 3, 1, 1}) || !slices.Equal(slowest, []int64{3, 13, 23, 31, 53}) {
		t.Errorf("got seconds %v with %v deliveries, the slowest %v ms", at, sent, slowest)
	}
	parts[0].Intervals = parts[0].Intervals[1:]
	if _, err := merge(parts, time.Second); err == nil {
		t.Error("a second without its histogram was accepted")
	}
}

func TestTheCostOfAMessageCountsThoseSentWhileTimeWasMeasured(t *testing.T) {
	// 100/s and 50/s for 10 s are 1,500 messages, although one run was measured
	// for 14 s.
	part := func(rate, measured float64) *found {
		return &found{Result: &result.Result{Traffic: result.Traffic{Sent: 2000, SentRate: rate, MeasuredS: measured, Delivered: 3000}}}
	}
	parts := []*found{part(100, 14), part(50, 10.5)}
	parts[0].Result.Server = &result.Server{CPUSeconds: 3}
	r, err := merge(parts, 10*time.Second)
	if err != nil || math.Abs(r.Server.CPUPerMessage-2000) > 1e-6 || math.Abs(r.Server.CPUPerDelivery-500) > 1e-6 {
		t.Errorf("got %+v, %v", r.Server, err)
	}
}
