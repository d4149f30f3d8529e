package server

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ByteSize is a number of bytes that is written with a unit: "64KiB" (65,536), "1MB" (1,000,000), "512". A bare K, M or G is
// refused, because some readers would take K for 1000 and others for 1024.
type ByteSize int64

// Sizes with the binary units.
const (
	KiB ByteSize = 1 << 10
	MiB ByteSize = 1 << 20
	GiB ByteSize = 1 << 30
)

// byteUnits holds the units in the order in which they are tried when a size is written: the first one that divides the size is
// used.
var byteUnits = []struct {
	name  string
	bytes ByteSize
}{
	{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// UnmarshalText reads a whole number with an optional unit, in upper or lower case.
func (b *ByteSize) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	digits := strings.TrimRight(s, "BGKMbgikm ")
	unit := strings.TrimSpace(s[len(digits):])
	n, err := strconv.ParseUint(digits, 10, 63)
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%q is too large", s)
	}
	if err != nil {
		return fmt.Errorf("%q is not a size", s)
	}
	for _, u := range byteUnits {
		if !strings.EqualFold(u.name, cmp.Or(unit, "B")) {
			continue
		}
		if n > math.MaxInt64/uint64(u.bytes) {
			return fmt.Errorf("%q is too large", s)
		}
		*b = ByteSize(n) * u.bytes
		return nil
	}
	return fmt.Errorf("%q has none of the units B, kB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024)", s)
}

// MarshalText writes the size with the first of byteUnits that divides it. UnmarshalText can read the result.
func (b ByteSize) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

func (b ByteSize) String() string {
	for _, u := range byteUnits {
		if u.bytes > 1 && b != 0 && b%u.bytes == 0 {
			return strconv.FormatInt(int64(b/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Patience is a time to wait, or Forever.
type Patience time.Duration

// Forever means to wait without end.
const Forever Patience = math.MaxInt64

const foreverWord = "forever"

// UnmarshalText reads a time with its unit, or "forever".
func (p *Patience) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if strings.EqualFold(s, foreverWord) {
		*p = Forever
		return nil
	}
	d, err := ParseDuration(s)
	if err == nil {
		*p = Patience(d)
	}
	return err
}

// MarshalText writes the time in a form that UnmarshalText can read.
func (p Patience) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

func (p Patience) String() string {
	if p == Forever {
		return foreverWord
	}
	return formatDuration(time.Duration(p))
}

// ParseDuration reads a time with its unit. The error says only what is wrong with the text.
func ParseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, fmt.Errorf("%q has no unit", text)
	}
	return 0, fmt.Errorf("%q is not a time", text)
}

// formatDuration writes a time in the way a person would type it: 60s instead of 1m0s.
func formatDuration(d time.Duration) string {
	switch {
	case d >= 2*time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= 2*time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second)
	default:
		return d.String()
	}
}
