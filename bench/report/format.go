package report

import (
	"math"
	"strconv"

	"dotsconnect/bench/internal/cli"
)

// quantity is a number and its unit as texts. They are separate because the
// page shows them in different sizes.
type quantity struct{ Value, Unit string }

// String returns the number and the unit, with a non-breaking space between
// them.
func (q quantity) String() string {
	if q.Unit == "" {
		return q.Value
	}
	return q.Value + "\u00a0" + q.Unit
}

// duration formats a time in microseconds with a readable unit and three digits. More digits would
// differ in the next run anyway.
func duration(us float64) quantity {
	switch us = finite(us); {
	case us < 999.5:
		return quantity{digits(us, 3), "µs"}
	case us < 999_500:
		return quantity{digits(us/1e3, 3), "ms"}
	}
	return quantity{digits(us/1e6, 3), "s"}
}

// octets formats a number of bytes with units that are powers of 1,000, as in
// the table for the terminal.
func octets(n float64) quantity {
	switch n = finite(n); {
	case math.Abs(n) < 9999.5:
		return quantity{cli.Count(int64(math.Round(n))), "B"}
	case math.Abs(n) < 999_500:
		return quantity{digits(n/1e3, 3), "kB"}
	case math.Abs(n) < 999_500_000:
		return quantity{digits(n/1e6, 3), "MB"}
	}
	return quantity{digits(n/1e9, 3), "GB"}
}

// count formats a whole number with commas between groups of three digits.
func count[T int | int64](n T) string { return cli.Count(int64(n)) }

// rate formats a rate per second: large rates as whole numbers with commas, small ones with three
// digits.
func rate(v float64) string {
	switch v = finite(v); {
	case v >= 1e15:
		return "over 10¹⁵" // no real run is that fast, but a result may have any value
	case v >= 99.95:
		return cli.Count(int64(math.Round(v)))
	}
	return digits(v, 3)
}

// short formats a number for the label of an axis, such as 20k or 1.5M.
func short(v float64) string {
	v = finite(v)
	for _, unit := range []struct {
		of   float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= unit.of*(1-1e-9) {
			return plain(v/unit.of) + unit.name
		}
	}
	return plain(v)
}

// percent formats a share as a percentage: 0.5 is 50 %.
func percent(share float64) string {
	p := 100 * finite(share)
	switch {
	case p == 0:
		return "0\u00a0%"
	case math.Abs(p) < 10:
		return digits(p, 2) + "\u00a0%"
	}
	return digits(p, 3) + "\u00a0%"
}

// plain formats a number with all of its digits, but with at most nine digits
// after the point, so that rounding errors do not show.
func plain(v float64) string {
	return strconv.FormatFloat(math.Round(finite(v)*1e9)/1e9, 'f', -1, 64)
}

// digits formats a number with n significant digits, but with all digits before the point. It never
// uses an exponent. Whole numbers have no digits after the point.
func digits(v float64, n int) string {
	v = finite(v)
	if v == 0 {
		return "0"
	}
	// Count the digits before the point after rounding, so that 0.9997 becomes
	// 1.00 and not 1.000.
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', n-1, 64), 64)
	if err != nil {
		rounded = v // the rounded value is too large for a float64
	}
	before := int(math.Floor(math.Log10(math.Abs(rounded)))) + 1
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', max(n-before, 0), 64)
}

// finite returns 0 for NaN and infinity. A figure per delivery is NaN, for
// example, if a run has no deliveries.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// several returns a number with the singular or the plural of a noun: "1 room"
// or "2 rooms".
func several[T int | int64](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}
