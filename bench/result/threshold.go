package result

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/scenario"
)

// Threshold is a limit for a figure, such as latency.p99<20ms.
type Threshold struct {
	text   string
	figure string
	op     string
	want   float64
}

// Outcome says whether a run met a threshold.
type Outcome struct {
	Threshold string  `json:"threshold"`
	Got       float64 `json:"got"`
	Met       bool    `json:"met"`
	Why       string  `json:"why,omitempty"`        // reason why the run does not have this figure
	NotJudged string  `json:"not_judged,omitempty"` // reason why the figure does not describe the server, so Met has no meaning
}

// kind says how the value of a threshold is written.
type kind int

const (
	plain     kind = iota
	micros         // a time such as 20ms
	octets         // bytes such as 4M
	percent        // a share such as 1%
	cost           // a number of microseconds, without a unit
	perSecond      // a number such as 500 or 500/s
)

// Figure is a figure of a run: thresholds limit it, and comparisons compare it.
type Figure struct {
	kind  kind
	get   func(r *Result) (float64, bool)
	doubt func(r *Result) string // returns why the figure does not describe the server, or ""; nil: it always does
}

// ofServer returns a figure of the server's process.
func ofServer(k kind, doubt func(r *Result) string, get func(s *Server) float64) Figure {
	return Figure{k, func(r *Result) (float64, bool) {
		if r.Server == nil {
			return 0, false
		}
		v := get(r.Server)
		return v, v > 0
	}, doubt}
}

// grows returns the growth of a figure of the server per hour. A server that
// shrinks does not leak, so the figure is never negative.
func grows(k kind, get func(g *Growth) float64) Figure {
	return Figure{k, func(r *Result) (float64, bool) {
		if r.Server == nil || r.Server.Growth == nil {
			return 0, r.Server != nil
		}
		return max(0, get(r.Server.Growth)), true
	}, func(r *Result) string {
		if r.Server != nil && r.Server.Growth == nil {
			return sprintf("a growth needs a measurement of %d s or more", GrowthNeeds)
		}
		return ""
	}}
}

// figures returns the figures that a threshold can limit, by name.
func figures() map[string]Figure {
	timed := (*Result).doubtTimes
	busy := func(r *Result) string { return r.Busy }
	all := map[string]Figure{
		"rate.sent":      {perSecond, func(r *Result) (float64, bool) { return r.Traffic.SentRate, true }, timed},
		"rate.delivered": {perSecond, func(r *Result) (float64, bool) { return r.Traffic.DeliveredRate, true }, timed},

		"connect.failed": {percent, func(r *Result) (float64, bool) {
			return float64(r.Connects.Failed) / float64(max(1, r.Connects.Tried)), true
		}, nil},

		"server.cpu_us_per_delivery":      ofServer(cost, busy, func(s *Server) float64 { return s.CPUPerDelivery }),
		"server.cpu_us_per_heartbeat":     ofServer(cost, busy, func(s *Server) float64 { return s.CPUPerBeat }),
		"server.cpu_us_per_connect":       ofServer(cost, busy, func(s *Server) float64 { return s.CPUPerConnect }),
		"server.rss":                      ofServer(octets, nil, func(s *Server) float64 { return float64(s.RSSEnd) }),
		"server.bytes_per_connection":     ofServer(octets, notFresh, func(s *Server) float64 { return s.BytesPerConn }),
		"server.bytes_per_connection_end": ofServer(octets, notFresh, func(s *Server) float64 { return s.BytesActive }),
		"server.rss_growth":               grows(octets, func(g *Growth) float64 { return g.RSS }),
		"server.descriptor_growth":        grows(plain, func(g *Growth) float64 { return g.Descriptors }),
		"server.goroutines": ofServer(plain, nil, func(s *Server) float64 {
			if s.Go == nil {
				return 0
			}
			return float64(s.Go.Goroutines)
		}),

		"generator.bytes_per_connection": {octets, func(r *Result) (float64, bool) { return r.Generator.BytesPerConn, true }, nil},
	}
	for i, t := range (&Result{}).Times() {
		for _, q := range EachQuantile() {
			all[t.Key+"."+q.Name] = Figure{micros,
				func(r *Result) (float64, bool) { t := r.Times()[i]; return float64(q.Of(t.Of)), t.Of.Count > 0 },
				func(r *Result) string { return cmp.Or(timed(r), r.Doubt(r.Times()[i], q)) }}
		}
	}
	return all
}

func notFresh(r *Result) string { return r.Server.NotFresh }

// FigureOf returns the figure with this name, or false if there is none.
func FigureOf(name string) (Figure, bool) {
	f, ok := figures()[name]
	return f, ok
}

// FigureNames returns the names of all figures, sorted.
func FigureNames() []string { return slices.Sorted(maps.Keys(figures())) }

// Of returns the value of the figure in a run, or 0 if the run does not have it.
func (f Figure) Of(r *Result) float64 {
	if v, ok := f.get(r); ok {
		return max(0, v)
	}
	return 0
}

// Doubt returns why the figure of a run does not describe the server, or "".
func (f Figure) Doubt(r *Result) string {
	if f.doubt == nil {
		return ""
	}
	return f.doubt(r)
}

// Show formats a value of the figure.
func (f Figure) Show(v float64) string {
	switch f.kind {
	case micros:
		return Micros(int64(v))
	case octets:
		return cli.Count(int64(v)) + " B"
	case percent:
		return sprintf("%.3g %%", 100*v)
	case cost:
		return sprintf("%.3g us", v)
	case perSecond:
		return cli.Count(int64(v)) + "/s"
	}
	return sprintf("%.3g", v)
}

// ParseThreshold parses FIGURE<VALUE. The operator may also be <=, > or >=.
func ParseThreshold(text string) (Threshold, error) {
	at := strings.IndexAny(text, "<>")
	if at < 0 {
		return Threshold{}, fmt.Errorf("threshold %q: must be FIGURE<VALUE, as in latency.p99<20ms", text)
	}
	t := Threshold{text: text, figure: strings.TrimSpace(text[:at]), op: text[at : at+1]}
	value, equal := strings.CutPrefix(text[at+1:], "=")
	if equal {
		t.op += "="
	}
	value = strings.TrimSpace(value)
	f, ok := FigureOf(t.figure)
	if !ok {
		return t, fmt.Errorf("threshold %q: unknown figure; write one of %s", text, strings.Join(FigureNames(), ", "))
	}
	var err error
	takes := "a plain number"
	switch f.kind {
	case micros:
		takes = "a time such as 20ms"
		var d time.Duration
		d, err = time.ParseDuration(value)
		t.want = float64(d) / 1000
	case percent:
		takes = "a share such as 1%"
		digits, ok := strings.CutSuffix(value, "%")
		if t.want, err = strconv.ParseFloat(digits, 64); !ok {
			err = strconv.ErrSyntax
		}
		t.want /= 100
	case octets:
		takes = "bytes such as 900 or 64M"
		var n int
		n, err = scenario.ParseBytes(strings.TrimSuffix(value, "/h"))
		t.want = float64(n)
	default:
		t.want, err = strconv.ParseFloat(strings.TrimSuffix(strings.TrimSuffix(value, "/s"), "/h"), 64)
	}
	if err != nil || !(t.want >= 0) || math.IsInf(t.want, 0) {
		return t, fmt.Errorf("threshold %q: %q is not %s", text, value, takes)
	}
	return t, nil
}

func (t Threshold) check(r *Result) Outcome {
	f := figures()[t.figure]
	got, ok := f.get(r)
	o := Outcome{Threshold: t.text, Got: got}
	if !ok {
		o.Why = "this run has no such figure"
		return o
	}
	o.NotJudged = f.Doubt(r)
	switch t.op {
	case "<":
		o.Met = got < t.want
	case "<=":
		o.Met = got <= t.want
	case ">":
		o.Met = got > t.want
	default:
		o.Met = got >= t.want
	}
	return o
}
