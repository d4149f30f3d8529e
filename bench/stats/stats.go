// Package stats is the little statistics that comparing servers needs: medians,
// their spread, and how sure the ratio of two medians is. It knows nothing of
// servers: numbers in, numbers out, and the same seed gives the same answer.
//
// Medians, because one run of seven in which the machine did something else must
// not move the answer. The bootstrap, because the times of runs follow no known
// distribution.
package stats

import (
	"math"
	"slices"
)

// Median is the middle value, or the mean of the two in the middle; NaN of
// nothing.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile is the value below which a share q of the values lies, interpolated
// between neighbours (type 7 of Hyndman and Fan, what R and NumPy take); NaN of
// nothing.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return quantileOfSorted(slices.Sorted(slices.Values(values)), q)
}

func quantileOfSorted(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// Sample is what is said of several values of one thing.
type Sample struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Low    float64 `json:"quartile_low"`
	High   float64 `json:"quartile_high"`
}

// Describe sums values up. Of nothing all is 0.
func Describe(values []float64) Sample {
	if len(values) == 0 {
		return Sample{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return Sample{len(sorted), quantileOfSorted(sorted, 0.5), quantileOfSorted(sorted, 0.25), quantileOfSorted(sorted, 0.75)}
}

// Spread is the distance of the quartiles as a share of the median.
func (s Sample) Spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.High - s.Low) / s.Median
}
