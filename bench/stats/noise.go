package stats

// Finding is what a ratio proves.
type Finding int

// Findings.
const (
	Same    Finding = iota // no difference was shown, which is not that there is none
	Less                   // b is less than a
	Greater                // b is greater than a
)

// Judge says what the ratio of B to A proves, if A against itself, in the same
// session and by the same means, gave noise; nil where that was not measured.
//
// A difference is shown when the interval does not hold 1 and the ratio itself
// is farther from 1 than A is from itself. The second catches what the first
// cannot see: an interval tells how well the rounds agree with each other, and
// they agree well on a difference that the measuring makes.
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
// the end of the interval of A against itself that is farther from 1. Which of
// the two runs is called the first is arbitrary, so the floor has two sides.
func Floor(noise Ratio) float64 {
	return max(noise.High, 1/noise.Low, 1)
}
