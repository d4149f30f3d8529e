package report

import (
	"fmt"

	"dotsconnect/bench/result"
)

// figure is a large number at the top of a run's part of the page.
type figure struct {
	Name string
	quantity
	Note  string
	Class string // "void": does not count, because the run is INVALID; "bad": a promise was broken
}

// figures returns the most important figures of a run.
func figures(r *result.Result) []figure {
	var all []figure
	timed := ""
	if !valid(r) {
		timed = "void"
	}
	add := func(class, name string, q quantity, note string) {
		switch class {
		case "void":
			note = "invalid run"
		case "late":
			class = "void"
		}
		all = append(all, figure{name, q, note, class})
	}
	if q := r.Latency; q.Count > 0 {
		latency := r.Times()[0]
		notes := map[string]string{"p50": "at all receivers", "p99": "at all receivers", "max": "of " + several(q.Count, "delivery", "deliveries")}
		for _, n := range result.EachQuantile() {
			note, ok := notes[n.Name]
			if !ok || !n.Enough(q) {
				continue
			}
			class := timed
			if r.Doubt(latency, n) != "" && class == "" {
				class, note = "late", "the generator was late"
			}
			add(class, "Latency "+n.Label, duration(float64(n.Of(q))), note)
		}
	}
	if t := r.Traffic; t.Delivered > 0 {
		add(timed, "Deliveries", quantity{rate(t.DeliveredRate), "/s"}, "of "+rate(t.SentRate)+"/s sent")
	}
	if s := r.Server; s != nil {
		all = append(all, serverFigures(r, s)...)
	}
	all = append(all, proofFigure(r))
	if k := r.Kicks; k != nil {
		class := ""
		if k.Early+k.Missing+k.Wrong > 0 {
			class = "bad"
		}
		add(class, "Kicked", quantity{count(k.Kicked), "of " + count(k.Silent)},
			fmt.Sprintf("%s early, %s missing, %s wrong", count(k.Early), count(k.Missing), count(k.Wrong)))
	}
	if v := r.Recovery; v != nil {
		note := several(v.Back, "connection", "connections") + " of " + count(v.Conns)
		if v.At99 > 0 {
			add("", "99\u00a0% back after", duration(float64(v.At99)), note)
		} else {
			add("bad", "Back after the kill", quantity{count(v.Back), "of " + count(v.Conns)}, "99\u00a0% never")
		}
	}
	return all
}

func serverFigures(r *result.Result, s *result.Server) []figure {
	var all []figure
	class := ""
	if r.Busy != "" {
		class = "void"
	}
	busy := digits(s.CPUs, 2) + " CPUs busy"
	switch {
	case s.CPUPerDelivery > 0:
		all = append(all, figure{"Server CPU", duration(s.CPUPerDelivery), "per delivery; " + busy, class})
	case s.CPUPerBeat > 0:
		all = append(all, figure{"Server CPU", duration(s.CPUPerBeat), "per heartbeat; " + busy, class})
	}
	if s.BytesPerConn > 0 {
		note := "user; kernel not measured"
		if s.KernelPerConn > 0 {
			note = "user; kernel " + octets(s.KernelPerConn).String() + " for both ends"
		}
		all = append(all, figure{"Per connection", octets(s.BytesPerConn), note, ""})
	}
	return all
}

func proofFigure(r *result.Result) figure {
	p := r.Proof
	f := figure{Name: "Violations", quantity: quantity{Value: count(p.Sum())}}
	switch {
	case p.Sum() > 0:
		f.Class = "bad"
		f.Note = fmt.Sprintf("%s of %s deliveries", count(p.Received), count(p.Expected))
	case p.Expected > 0:
		f.Note = "all " + count(p.Expected) + " once, in order"
	default:
		f.Note = "nothing to deliver"
	}
	return f
}
