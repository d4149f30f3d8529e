package report

import (
	"math"
	"slices"
)

// A scale maps values to positions along one side of a plot. Values outside of
// its bounds are drawn at the bound, so that no curve leaves its plot.
type scale struct {
	lo, hi   float64 // values
	from, to float64 // positions; from may be the larger one, as on a y axis
	warp     func(float64) float64
}

func linear(lo, hi, from, to float64) scale {
	return scale{lo, hi, from, to, func(v float64) float64 { return v }}
}

// logarithmic needs bounds above 0.
func logarithmic(lo, hi, from, to float64) scale { return scale{lo, hi, from, to, math.Log10} }

// byNines gives each further nine of a percentile the same width. So the tail,
// where users notice a server, is half of the plot and not its last pixel.
func byNines(lo, hi, from, to float64) scale { return scale{lo, hi, from, to, nines} }

// nines is 0 for 0 %, 1 for 90 %, 2 for 99 %.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }

func (s scale) at(v float64) float64 {
	lo, hi := s.warp(s.lo), s.warp(s.hi)
	if hi <= lo || math.IsNaN(v) {
		return s.from
	}
	share := (s.warp(min(max(v, s.lo), s.hi)) - lo) / (hi - lo)
	return s.from + share*(s.to-s.from)
}

// steps are the steps of a readable axis.
var steps = []float64{1, 2, 5, 10}

// niceStep is the smallest of 1, 2 and 5 times a power of ten that is not below v.
func niceStep(v float64) float64 {
	if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, s := range steps {
		// Allow a small tolerance: 0.2/0.1 is not exactly 2.
		if s*power >= v*(1-1e-9) {
			return s * power
		}
	}
	return 10 * power
}

// niceBelow is the largest of 1, 2 and 5 times a power of ten that is not above v.
func niceBelow(v float64) float64 {
	if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, s := range slices.Backward(steps) {
		if s*power <= v*(1+1e-9) {
			return s * power
		}
	}
	return power
}

// linearTicks are the multiples of a nice step from lo to hi, about n of them
// and at most n+1.
func linearTicks(lo, hi float64, n int) []float64 {
	if !(hi > lo) || n < 1 {
		return []float64{lo}
	}
	step := niceStep((hi - lo) / float64(n))
	var ticks []float64
	for k := math.Ceil(lo/step - 1e-9); k*step <= hi+step*1e-9; k++ {
		ticks = append(ticks, k*step+0) // -0 would be written as -0, but -0+0 is 0
	}
	return ticks
}

// wholeTicks are linearTicks without fractions, for counts.
func wholeTicks(lo, hi float64, n int) []float64 {
	return slices.DeleteFunc(linearTicks(lo, hi, n), func(v float64) bool { return math.Abs(v-math.Round(v)) > 1e-9 })
}

// top is the end of a linear axis from 0: the first tick at or above the
// largest value.
func top(largest float64, n int) float64 {
	if !(largest > 0) || math.IsInf(largest, 0) {
		return 1
	}
	step := niceStep(largest / float64(n))
	return math.Ceil(largest/step-1e-9) * step
}

// logBounds widens bounds to 1, 2 or 5 times a power of ten, so that both ends
// of the axis have a tick.
func logBounds(lo, hi float64) (from, to float64) {
	if !(lo > 0) {
		lo = 1
	}
	hi = max(hi, lo)
	from, to = niceBelow(lo), niceStep(hi)
	if to <= from {
		to = niceStep(from * 1.01)
	}
	return from, to
}

// logTicks are the ticks of a logarithmic axis: labelled ticks, and thin lines
// without labels where labels would be too close. n is how many labels fit.
func logTicks(lo, hi float64, n int) (labelled, thin []float64) {
	var all, tens []float64
	for e := math.Floor(math.Log10(lo)); e <= math.Ceil(math.Log10(hi)); e++ {
		for _, s := range steps[:3] {
			v := s * math.Pow(10, e)
			if v < lo*(1-1e-9) || v > hi*(1+1e-9) {
				continue
			}
			all = append(all, v)
			if s == 1 {
				tens = append(tens, v)
			}
		}
	}
	switch {
	case len(all) <= n || len(tens) < 2:
		return all, nil
	case len(tens) <= n:
		return tens, slices.DeleteFunc(all, func(v float64) bool { return slices.Contains(tens, v) })
	}
	var some []float64
	every := (len(tens) + n - 1) / n
	for i := 0; i < len(tens); i += every {
		some = append(some, tens[i])
	}
	return some, nil
}

// ladder are the common percentiles.
var ladder = []float64{50, 90, 99, 99.9, 99.99, 99.999, 99.9999}

func ninesTicks(highest float64) []float64 {
	return slices.DeleteFunc(slices.Clone(ladder), func(p float64) bool { return p > highest })
}

// spread moves apart labels that are closer than gap, as little as possible,
// and keeps them between lo and hi while there is room.
func spread(places []float64, gap, lo, hi float64) []float64 {
	order := make([]int, len(places))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case places[a] < places[b]:
			return -1
		case places[a] > places[b]:
			return 1
		}
		return 0
	})
	moved := slices.Clone(places)
	below := lo - gap
	for _, i := range order {
		moved[i] = max(moved[i], below+gap)
		below = moved[i]
	}
	above := hi + gap
	for _, i := range slices.Backward(order) {
		moved[i] = min(moved[i], above-gap)
		above = moved[i]
	}
	return moved
}
