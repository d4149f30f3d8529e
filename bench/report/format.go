package report

import (
	"math"
	"strconv"

	"dotsconnect/bench/internal/cli"
)

// quantity is a number and its unit, separate because a page prints them in different sizes.
type quantity struct{ Value, Unit string }

// String joins them with a non-breaking space.
func (q quantity) String() string {
	if q.Unit == "" {
		return q.Value
	}
	return q.Value + "\u00a0" + q.Unit
}

// duration writes microseconds in a readable unit with three digits; runs do not repeat more
// precisely.
func duration(us float64) quantity {
	switch us = finite(us); {
	case us < 999.5:
		return quantity{digits(us, 3), "µs"}
	case us < 999_500:
		return quantity{digits(us/1e3, 3), "ms"}
	}
	return quantity{digits(us/1e6, 3), "s"}
}

// octets reads bytes in powers of ten, as the table on the terminal does.
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

// count writes a whole number with thousands separators.
func count[T int | int64](n T) string { return cli.Count(int64(n)) }

// rate writes events per second: large rates as whole numbers with separators, small ones with
// three digits.
func rate(v float64) string {
	switch v = finite(v); {
	case v >= 1e15:
		return "over 10¹⁵" // no real run is that fast
	case v >= 99.95:
		return cli.Count(int64(math.Round(v)))
	}
	return digits(v, 3)
}

// short is rate for axis labels: 20k, 1.5M.
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

// percent writes a share of 1 as a percentage.
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

// plain writes a number with its own digits, without floating-point noise.
func plain(v float64) string {
	return strconv.FormatFloat(math.Round(finite(v)*1e9)/1e9, 'f', -1, 64)
}

// digits writes a number with n significant digits and never as 1e+06; a large number keeps all
// digits before the decimal point.
func digits(v float64, n int) string {
	v = finite(v)
	if v == 0 {
		return "0"
	}
	// 0.9997 becomes 1.00 and not 1.000: count the digits before the point after rounding.
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', n-1, 64), 64)
	if err != nil {
		rounded = v // rounding overflowed
	}
	before := int(math.Floor(math.Log10(math.Abs(rounded)))) + 1
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', max(n-before, 0), 64)
}

// finite returns 0 for NaN and infinity, such as a figure per delivery of a run without deliveries.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// several returns "1 room" or "2 rooms".
func several[T int | int64](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}
