package stats

// Finding says which difference a ratio proves.
type Finding int

// The findings of Judge.
const (
	Same    Finding = iota // no difference is proved, although there may be one
	Less                   // b is less than a
	Greater                // b is greater than a
)

// Judge returns which difference the ratio of B to A proves. noise is the ratio
// of A to itself, measured in the same duel and in the same way; noise is nil
// if A did not run against itself.
//
// A difference is proved under two conditions: the interval does not contain 1,
// and the ratio is farther from 1 than Floor(noise). The second condition is
// needed because the interval shows only how well the rounds agree. The rounds
// also agree if the measurement itself causes the difference.
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

// Unseen returns the size of the largest difference that a duel with this ratio
// may have overlooked, such as 0.05 for 5 %: a difference is seen only if it is
// larger than half of the interval, and larger than the noise.
func Unseen(r Ratio, noise *Ratio) float64 {
	least := max(r.High/r.Of, r.Of/r.Low)
	if noise != nil {
		least = max(least, Floor(*noise))
	}
	return least - 1
}

// Floor returns the largest factor by which A seems to differ from itself: the
// factor between 1 and the end of the interval that is farther from 1. The
// order of the two runs of A in the ratio is arbitrary, so the factor applies
// in both directions.
func Floor(noise Ratio) float64 {
	return max(noise.High, 1/noise.Low, 1)
}
