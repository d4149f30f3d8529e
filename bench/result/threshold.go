package result

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

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
	Why       string  `json:"why,omitempty"` // reason why the run does not have this figure
}

// kind says how the value of a threshold is written.
type kind int

const (
	plain  kind = iota
	micros      // a time such as 20ms
	octets      // bytes such as 4M
)

type figure struct {
	kind kind
	get  func(r *Result) (float64, bool)
}

func quantile(of func(r *Result) Quantiles, get func(q Quantiles) int64) figure {
	return figure{micros, func(r *Result) (float64, bool) { q := of(r); return float64(get(q)), q.Count > 0 }}
}

func ofServer(k kind, get func(s *Server) float64) figure {
	return figure{k, func(r *Result) (float64, bool) {
		if r.Server == nil {
			return 0, false
		}
		v := get(r.Server)
		return v, v > 0
	}}
}

// figures returns the figures that a threshold can limit, by name.
func figures() map[string]figure {
	all := map[string]figure{
		"rate.sent":      {plain, func(r *Result) (float64, bool) { return r.Traffic.SentRate, true }},
		"rate.delivered": {plain, func(r *Result) (float64, bool) { return r.Traffic.DeliveredRate, true }},

		"server.cpu_us_per_delivery":      ofServer(plain, func(s *Server) float64 { return s.CPUPerDelivery }),
		"server.cpu_us_per_heartbeat":     ofServer(plain, func(s *Server) float64 { return s.CPUPerBeat }),
		"server.cpu_us_per_connect":       ofServer(plain, func(s *Server) float64 { return s.CPUPerConnect }),
		"server.rss":                      ofServer(octets, func(s *Server) float64 { return float64(s.RSSEnd) }),
		"server.bytes_per_connection":     ofServer(octets, func(s *Server) float64 { return s.BytesPerConn }),
		"server.bytes_per_connection_end": ofServer(octets, func(s *Server) float64 { return s.BytesActive }),
		"server.goroutines": ofServer(plain, func(s *Server) float64 {
			if s.Go == nil {
				return 0
			}
			return float64(s.Go.Goroutines)
		}),

		"generator.bytes_per_connection": {octets, func(r *Result) (float64, bool) { return r.Generator.BytesPerConn, true }},
	}
	of := map[string]func(r *Result) Quantiles{
		"latency":  func(r *Result) Quantiles { return r.Latency },
		"lateness": func(r *Result) Quantiles { return r.Lateness },
		"connect":  func(r *Result) Quantiles { return r.Connect },

		"first_receiver": func(r *Result) Quantiles { return r.First },
		"last_receiver":  func(r *Result) Quantiles { return r.Last },
		"reconnect":      func(r *Result) Quantiles { return r.Reconnect },
		"kick":           func(r *Result) Quantiles { return r.Kick },
	}
	for name, q := range of {
		all[name+".p50"] = quantile(q, func(q Quantiles) int64 { return q.P50 })
		all[name+".p90"] = quantile(q, func(q Quantiles) int64 { return q.P90 })
		all[name+".p99"] = quantile(q, func(q Quantiles) int64 { return q.P99 })
		all[name+".p999"] = quantile(q, func(q Quantiles) int64 { return q.P999 })
		all[name+".max"] = quantile(q, func(q Quantiles) int64 { return q.Max })
	}
	return all
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
	all := figures()
	f, ok := all[t.figure]
	if !ok {
		return t, fmt.Errorf("threshold %q: unknown figure; write one of %s", text, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	var err error
	takes := "a plain number"
	switch f.kind {
	case micros:
		takes = "a time such as 20ms"
		var d time.Duration
		d, err = time.ParseDuration(value)
		t.want = float64(d) / 1000
	case octets:
		takes = "bytes such as 900 or 64M"
		var n int
		n, err = scenario.ParseBytes(value)
		t.want = float64(n)
	default:
		t.want, err = strconv.ParseFloat(strings.TrimSuffix(value, "/s"), 64)
	}
	if err != nil || !(t.want >= 0) || math.IsInf(t.want, 0) {
		return t, fmt.Errorf("threshold %q: %q is not %s", text, value, takes)
	}
	return t, nil
}

func (t Threshold) check(r *Result) Outcome {
	got, ok := figures()[t.figure].get(r)
	o := Outcome{Threshold: t.text, Got: got}
	if !ok {
		o.Why = "this run has no such figure"
		return o
	}
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
