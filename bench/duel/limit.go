package duel

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"dotsconnect/bench/internal/cli"
)

// Limit is a limit for the ratio of B to A in one figure. For example,
// server.cpu_us_per_delivery<1.05x means that B may use at most 1.05 times the
// CPU time of A.
type Limit struct {
	text   string
	figure Figure
	below  bool
	want   float64
}

// ParseLimit parses FIGURE<NUMBERx or FIGURE>NUMBERx.
func ParseLimit(text string) (Limit, error) {
	at := strings.IndexAny(text, "<>")
	if at < 0 {
		return Limit{}, fmt.Errorf("threshold %q: must be FIGURE<NUMBERx, as in server.cpu_us_per_delivery<1.05x", text)
	}
	name := strings.TrimSpace(text[:at])
	all := Figures()
	i := slices.IndexFunc(all, func(f Figure) bool { return f.Name == name })
	if i < 0 {
		var names []string
		for _, f := range all {
			names = append(names, f.Name)
		}
		return Limit{}, fmt.Errorf("threshold %q: unknown figure; write one of %s", text, strings.Join(names, ", "))
	}
	value := strings.TrimSpace(text[at+1:])
	digits, ok := strings.CutSuffix(value, "x")
	v, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(v > 0) {
		return Limit{}, fmt.Errorf("threshold %q: %q is not a ratio of B to A such as 1.05x", text, value)
	}
	return Limit{text, all[i], text[at] == '<', v}, nil
}

// Check writes a line for each limit. It returns the worst outcome as an error
// with its exit code, or nil. A missed limit is worse than a limit that cannot
// be judged.
func (c *Comparison) Check(limits []Limit, w io.Writer) error {
	var missed, open []string
	for _, l := range limits {
		if why := c.against(l.figure); why != "" {
			_, _ = fmt.Fprintf(w, "OPEN %s: %s\n", l.text, why)
			open = append(open, l.text+": "+why)
			continue
		}
		got := l.figure.Of(c.B) / l.figure.Of(c.A)
		if l.below && got < l.want || !l.below && got > l.want {
			_, _ = fmt.Fprintf(w, "met %s: got %.3fx\n", l.text, got)
			continue
		}
		_, _ = fmt.Fprintf(w, "MISSED %s: got %.3fx\n", l.text, got)
		missed = append(missed, l.text)
	}
	switch {
	case len(missed) > 0:
		return cli.Failf(cli.Missed, "a threshold was missed: %s", strings.Join(missed, ", "))
	case len(open) > 0:
		return cli.Failf(cli.Invalid, "a threshold cannot be judged: %s", strings.Join(open, ", "))
	}
	return nil
}
