package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

type spanOf = time.Duration

// ParseCount parses a number such as 500, 10k or 2M, where k is 1,000.
func ParseCount(text string) (int, error) {
	return parseScaled(text, 1000)
}

// ParseBytes parses a number of bytes such as 128, 4k or 1M, where k is 1,024.
func ParseBytes(text string) (int, error) {
	return parseScaled(strings.TrimSuffix(text, "B"), 1024)
}

func parseScaled(text string, thousand int) (int, error) {
	digits, by := text, 1
	switch {
	case strings.HasSuffix(text, "k"):
		digits, by = text[:len(text)-1], thousand
	case strings.HasSuffix(text, "M"):
		digits, by = text[:len(text)-1], thousand*thousand
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > 1<<31/by {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return n * by, nil
}

func parseSpan(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return 0, fmt.Errorf("%q has no unit", text)
		}
		return 0, fmt.Errorf("%q is not a time", text)
	}
	return d, nil
}

func parseExponent(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v < 0.5 || v > 3 {
		return 0, fmt.Errorf("%q is out of range", text)
	}
	return v, nil
}

func parseShare(text string) (float64, error) {
	digits, ok := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(v >= 0 && v <= 100) {
		return 0, fmt.Errorf("%q is not a share of 0%% to 100%%", text)
	}
	return v / 100, nil
}

func parseSeed(text string) (uint64, error) {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a seed", text)
	}
	return v, nil
}

// ParseRate parses a rate such as 500/s, 10k/s, 0.5/s or max.
func ParseRate(text string) (Rate, error) {
	if text == "max" {
		return Rate{Max: true}, nil
	}
	digits, ok := strings.CutSuffix(text, "/s")
	if !ok {
		return Rate{}, fmt.Errorf("%q has no unit", text)
	}
	by := 1.0
	if d, ok := strings.CutSuffix(digits, "k"); ok {
		digits, by = d, 1000
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(v >= 0 && v*by <= 10e6) {
		return Rate{}, fmt.Errorf("%q is not a rate up to 10 million", text)
	}
	return Rate{PerSecond: v * by}, nil
}

func (r Rate) String() string {
	if r.Max {
		return "max"
	}
	return strconv.FormatFloat(r.PerSecond, 'f', -1, 64) + "/s"
}

func parseSizes(text string) ([]int, error) {
	var sizes []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := ParseBytes(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, n)
	}
	return sizes, nil
}

func joinSizes(sizes []int) string {
	var parts []string
	for _, n := range sizes {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}
