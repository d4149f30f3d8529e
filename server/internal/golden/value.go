package golden

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// SameValue reports whether two JSON texts have the same value. The order of keys, white space and escapes do not matter, and the
// last of duplicate keys counts. Integers are compared by their exact value. Other numbers are compared as float64, because the
// original converted them to float64: it wrote 100.0 for 1e2. A text that is not JSON has no value and equals nothing.
func SameValue(a, b string) bool {
	x, err := parse(a)
	if err != nil {
		return false
	}
	y, err := parse(b)
	return err == nil && same(x, y)
}

func parse(text string) (value any, err error) {
	if !json.Valid([]byte(text)) { // a Decoder would not notice text after the value
		return nil, &json.SyntaxError{}
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, x := range a {
			if y, ok := b[key]; !ok || !same(x, y) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !same(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a.String(), b.String())
	default: // string, bool, nil
		return a == b
	}
}

// sameNumber compares numbers that are not both integers as float64, bit by bit: the original kept the sign of -0.0, while
// integers have only one zero.
func sameNumber(a, b string) bool {
	if a == b {
		return true // the same text is the same number, even 1E400, which does not fit into a float64
	}
	x, whole := new(big.Int).SetString(a, 10)
	if y, alsoWhole := new(big.Int).SetString(b, 10); whole && alsoWhole {
		return x.Cmp(y) == 0
	}
	f, err := strconv.ParseFloat(a, 64)
	if err != nil {
		return false
	}
	g, err := strconv.ParseFloat(b, 64)
	return err == nil && math.Float64bits(f) == math.Float64bits(g)
}
