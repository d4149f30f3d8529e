// Package stats has the statistics for comparing servers: medians, spreads, and
// intervals for the ratio of two medians. Its functions get only numbers. The
// same numbers and the same seed give the same answer.
//
// It uses medians because one disturbed run of seven must not change the
// answer. It uses the bootstrap because the distribution of the values of runs
// is not known.
package stats

import (
	"math"
	"slices"
)

// Median returns the middle value, or the mean of the two values in the middle.
// Without values it returns NaN.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile returns the value below which the share q of the values lies. It
// interpolates between neighbouring values (type 7 of Hyndman and Fan, the
// default of R and NumPy). Without values it returns NaN.
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

// Sample summarizes several values of the same figure.
type Sample struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Low    float64 `json:"quartile_low"`
	High   float64 `json:"quartile_high"`
}

// Describe returns the Sample of values. Without values all of its fields are
// 0.
func Describe(values []float64) Sample {
	if len(values) == 0 {
		return Sample{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return Sample{len(sorted), quantileOfSorted(sorted, 0.5), quantileOfSorted(sorted, 0.25), quantileOfSorted(sorted, 0.75)}
}

// Spread returns the interquartile range as a share of the median.
func (s Sample) Spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.High - s.Low) / s.Median
}
