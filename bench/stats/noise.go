package stats

// Finding is what a ratio proves.
type Finding int

// Findings.
const (
	Same    Finding = iota // no difference was shown; there may still be one
	Less                   // b is less than a
	Greater                // b is greater than a
)

// Judge returns what the ratio of B to A proves. noise is the ratio of A to
// itself, measured in the same session and in the same way; nil if it was not
// measured.
//
// A difference is shown if the interval does not contain 1 and the ratio is
// farther from 1 than A is from itself. The second condition catches an error
// that the first cannot see: the interval shows how well the rounds agree with
// each other, and they also agree on a difference that the measurement causes.
func Judge(r Ratio, noise *Ratio) Finding {
	if r.Holds(1) {
		return Same
	}
	if noise != nil {
		if f := Floor(*noise); r.Of <= f && r.Of >= 1/f {
			return Same
		}
	}
	if r.Of < 1 {
		return Less
	}
	return Greater
}

// Floor is the factor by which A may seem to differ from itself, up or down:
// the end of its interval that is farther from 1. It does not matter which of
// the two runs is called the first, so the floor applies to both directions.
func Floor(noise Ratio) float64 {
	return max(noise.High, 1/noise.Low, 1)
}
