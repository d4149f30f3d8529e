// Package stats has the statistics for comparing servers: medians, their
// spread, and the certainty of the ratio of two medians. It knows nothing
// about servers. The same seed gives the same answer.
//
// It uses medians because one disturbed run out of seven must not change the
// answer. It uses the bootstrap because the times of runs follow no known
// distribution.
package stats

import (
	"math"
	"slices"
)

// Median is the middle value, or the mean of the two in the middle; NaN if
// there are no values.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile is the value below which a share q of the values lies, interpolated
// between neighbours (type 7 of Hyndman and Fan, the default of R and NumPy);
// NaN if there are no values.
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

// Sample summarizes several values of one thing.
type Sample struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Low    float64 `json:"quartile_low"`
	High   float64 `json:"quartile_high"`
}

// Describe summarizes values. Without values all fields are 0.
func Describe(values []float64) Sample {
	if len(values) == 0 {
		return Sample{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return Sample{len(sorted), quantileOfSorted(sorted, 0.5), quantileOfSorted(sorted, 0.25), quantileOfSorted(sorted, 0.75)}
}

// Spread is the interquartile range as a share of the median.
func (s Sample) Spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.High - s.Low) / s.Median
}
