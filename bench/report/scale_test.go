package report

import (
	"math"
	"slices"
	"testing"

	"dotsconnect/bench/result"
)

func same(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Abs(x-y) <= 1e-9*max(1, math.Abs(y)) })
}

func TestLinearTicksCountByOneTwoOrFive(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		n      int
		want   []float64
	}{
		{0, 30, 6, []float64{0, 5, 10, 15, 20, 25, 30}},
		{0, 100, 4, []float64{0, 50, 100}},
		{0, 0.3, 3, []float64{0, 0.1, 0.2, 0.3}},
		{-7, 7, 3, []float64{-5, 0, 5}},
		{0, 1e12, 2, []float64{0, 5e11, 1e12}},
		{0, 0, 5, []float64{0}},
		{5, 1, 5, []float64{5}},
		{0, math.NaN(), 5, []float64{0}},
	} {
		got := linearTicks(c.lo, c.hi, c.n)
		if !same(got, c.want) {
			t.Errorf("%v to %v by %d: got %v, want %v", c.lo, c.hi, c.n, got, c.want)
		}
		for _, v := range got {
			if v == 0 && math.Signbit(v) {
				t.Errorf("%v to %v: a tick is -0", c.lo, c.hi)
			}
		}
	}
	if got := wholeTicks(0, 1, 5); !same(got, []float64{0, 1}) {
		t.Errorf("seconds of a run of one: got %v", got)
	}
}

func TestAnAxisEndsAtATick(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 1: 1, 0.31: 0.4, 100: 100, 101: 150, 4000: 4000, 4001: 6000, math.Inf(1): 1} {
		if got := top(v, 3); math.Abs(got-want) > 1e-9*want {
			t.Errorf("%v: got %v, want %v", v, got, want)
		}
	}
	for _, c := range [][4]float64{{212, 212, 200, 500}, {1, 120e6, 1, 200e6}, {0, 0, 1, 2}, {200, 500, 200, 500}, {math.NaN(), 3, 1, 5}} {
		if lo, hi := logBounds(c[0], c[1]); math.Abs(lo-c[2]) > 1e-6 || math.Abs(hi-c[3]) > 1e-6 {
			t.Errorf("%v to %v: got %v to %v, want %v to %v", c[0], c[1], lo, hi, c[2], c[3])
		}
	}
}

func TestLogTicksGetFewerAsTheRangeGrows(t *testing.T) {
	labelled, thin := logTicks(100, 1000, 7)
	if !same(labelled, []float64{100, 200, 500, 1000}) || thin != nil {
		t.Errorf("a decade: got %v and %v", labelled, thin)
	}
	labelled, thin = logTicks(100, 50_000, 6)
	if !same(labelled, []float64{100, 1000, 10_000}) || !same(thin, []float64{200, 500, 2000, 5000, 20_000, 50_000}) {
		t.Errorf("three decades: got %v and %v", labelled, thin)
	}
	if labelled, _ = logTicks(1, 1e9, 5); !same(labelled, []float64{1, 100, 1e4, 1e6, 1e8}) {
		t.Errorf("nine decades: got %v", labelled)
	}
}

func TestScalesMapTheirBoundsAndHoldWhatIsOutside(t *testing.T) {
	for name, c := range map[string]struct {
		s            scale
		value, place float64
	}{
		"linear":             {linear(0, 10, 100, 200), 5, 150},
		"upside down":        {linear(0, 10, 200, 100), 10, 100},
		"above":              {linear(0, 10, 100, 200), 11, 200},
		"below a logarithm":  {logarithmic(1, 100, 0, 100), 0, 0},
		"logarithm":          {logarithmic(1, 100, 0, 100), 10, 50},
		"each nine as wide":  {byNines(0, 99.9, 0, 300), 99, 200},
		"no range":           {linear(3, 3, 7, 9), 3, 7},
		"no number":          {linear(0, 10, 100, 200), math.NaN(), 100},
		"more than infinity": {linear(0, 10, 100, 200), math.Inf(1), 200},
	} {
		if got := c.s.at(c.value); math.Abs(got-c.place) > 1e-6 {
			t.Errorf("%s: got %v, want %v", name, got, c.place)
		}
	}
}

func TestLabelsMoveApartAndStayInside(t *testing.T) {
	for _, c := range []struct{ places, want []float64 }{
		{[]float64{10, 50, 90}, []float64{10, 50, 90}},
		{[]float64{50, 52}, []float64{50, 65}},
		{[]float64{52, 50}, []float64{65, 50}},
		{[]float64{100, 100, 100}, []float64{70, 85, 100}},
		{[]float64{-5}, []float64{0}},
		{nil, nil},
	} {
		if got := spread(c.places, 15, 0, 100); !same(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.places, got, c.want)
		}
	}
}

func TestFiguresAreReadByThreeDigits(t *testing.T) {
	for want, got := range map[string]string{
		"224\u00a0µs": duration(224).String(), "35.0\u00a0µs": duration(34.97).String(), "1.00\u00a0ms": duration(999.7).String(),
		"48.3\u00a0ms": duration(48_320).String(), "120\u00a0s": duration(120e6).String(), "0\u00a0µs": duration(math.NaN()).String(),
		"1,382\u00a0B": octets(1382.4).String(), "28.0\u00a0MB": octets(28_004_352).String(), "25.3\u00a0GB": octets(25_276_510_208).String(),
		"4,000": rate(3999.98), "0.500x": rate(0.5001) + "x", "over 10¹⁵": rate(1e300), "0": rate(math.Inf(1)),
		"1.5M": short(1.5e6), "20k": short(20_000), "500": short(500),
		"6.8\u00a0%": percent(0.068), "0\u00a0%": percent(0), "14.0\u00a0%": percent(0.13986),
		"1 room": several(1, "room", "rooms"), "8,000 rooms": several(8000, "room", "rooms"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestALongRunKeepsItsWorstSecond(t *testing.T) {
	all := seconds(7200, 60)
	rows, each := spans(all, 240)
	worst := 0.0
	for _, row := range rows {
		worst = max(worst, positive(row.Max))
	}
	if len(rows) != 240 || each != 30 || worst != 48_320 {
		t.Errorf("%d rows of %d seconds, worst %v", len(rows), each, worst)
	}
	if rows, each := spans(nil, 240); rows != nil || each != 1 {
		t.Errorf("no seconds: got %v of %d", rows, each)
	}
	if rows, _ := spans(all[:1], 240); !rows[0].Warmup || !math.IsNaN(rows[0].Max) {
		t.Errorf("a missing value is drawn as %v", rows[0].Max)
	}
}

func TestTheMaximumOfAPercentilePlotHasAPlace(t *testing.T) {
	c := percentileCurve([]result.Point{{X: 100, Y: 9}, {X: 50, Y: 2}, {X: 99.9999, Y: 8}, {X: 90, Y: 0}}, 1000)
	if !same(c.xs, []float64{50, 90, 99.9}) || !same(c.ys, []float64{2, 1, 9}) {
		t.Errorf("got %v, %v", c.xs, c.ys)
	}
}

func TestBarsReachFromBoundToBound(t *testing.T) {
	point := func(x, y float64) result.Point { return result.Point{X: x, Y: y} }
	for name, c := range map[string]struct {
		points   []result.Point
		want     []bar
		byFactor bool
	}{
		"none":      {nil, nil, false},
		"one":       {[]result.Point{point(10, 3)}, []bar{{0, 10, 3}}, false},
		"even":      {[]result.Point{point(10, 0), point(20, 2), point(30, 1), point(40, 0)}, []bar{{10, 20, 2}, {20, 30, 1}}, false},
		"by factor": {[]result.Point{point(10, 1), point(100, 2), point(1000, 1)}, []bar{{1, 10, 1}, {10, 100, 2}, {100, 1000, 1}}, true},
		"early":     {[]result.Point{point(-10, 1), point(0, 1)}, []bar{{-20, -10, 1}, {-10, 0, 1}}, false},
	} {
		got, byFactor := bars(c.points)
		if !slices.Equal(got, c.want) || byFactor != c.byFactor {
			t.Errorf("%s: got %v, %v", name, got, byFactor)
		}
	}
}
