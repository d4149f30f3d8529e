package report

import (
	"math"
	"slices"
)

// A scale maps values to positions along an axis. A value outside of the bounds
// gets the position of the bound, so that no curve leaves its panel.
type scale struct {
	lo, hi   float64 // bounds of the values
	from, to float64 // positions of lo and hi; on a y axis from is larger than to
	warp     func(float64) float64
}

func linear(lo, hi, from, to float64) scale {
	return scale{lo, hi, from, to, func(v float64) float64 { return v }}
}

// logarithmic returns a logarithmic scale; both bounds must be above 0.
func logarithmic(lo, hi, from, to float64) scale { return scale{lo, hi, from, to, math.Log10} }

// byNines returns a scale for percentiles on which 90, 99 and 99.9 are at equal
// distances. So the tail of a distribution takes half of the plot, and not only
// its last pixel.
func byNines(lo, hi, from, to float64) scale { return scale{lo, hi, from, to, nines} }

// nines returns the number of nines of a percentile: 0 for 0, 1 for 90, 2 for
// 99.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }

func (s scale) at(v float64) float64 {
	lo, hi := s.warp(s.lo), s.warp(s.hi)
	if hi <= lo || math.IsNaN(v) {
		return s.from
	}
	share := (s.warp(min(max(v, s.lo), s.hi)) - lo) / (hi - lo)
	return s.from + share*(s.to-s.from)
}

// steps are the readable distances between ticks, to be multiplied by a power
// of ten.
var steps = []float64{1, 2, 5, 10}

// niceStep returns the smallest number of the form 1, 2 or 5 times a power of
// ten that is not below v.
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

// niceBelow returns the largest number of the form 1, 2 or 5 times a power of
// ten that is not above v.
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

// linearTicks returns ticks for a linear axis: the multiples of a readable step
// from lo to hi. There are about n ticks, and at most n+1.
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

// wholeTicks returns ticks like linearTicks, but only whole numbers, for
// counts.
func wholeTicks(lo, hi float64, n int) []float64 {
	return slices.DeleteFunc(linearTicks(lo, hi, n), func(v float64) bool { return math.Abs(v-math.Round(v)) > 1e-9 })
}

// top returns the end of a linear axis that begins at 0: the first tick that is
// not below the largest value.
func top(largest float64, n int) float64 {
	if !(largest > 0) || math.IsInf(largest, 0) {
		return 1
	}
	step := niceStep(largest / float64(n))
	return math.Ceil(largest/step-1e-9) * step
}

// logBounds widens the bounds of a logarithmic axis to 1, 2 or 5 times a power
// of ten, so that both ends have a tick.
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

// logTicks returns ticks for a logarithmic axis on which n labels fit: ticks
// with labels, and thin ticks for which there is no room for labels.
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

// ladder has the percentiles that can be ticks.
var ladder = []float64{50, 90, 99, 99.9, 99.99, 99.999, 99.9999}

func ninesTicks(highest float64) []float64 {
	return slices.DeleteFunc(slices.Clone(ladder), func(p float64) bool { return p > highest })
}

// spread moves labels so that they are at least gap apart, and keeps them
// between lo and hi if there is room. It moves them as little as possible.
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
