package report

import (
	"math"
	"strings"
	"time"

	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// A span is one or several seconds that are one point of a plot, because a long
// run has more seconds than a plot has pixels. The latencies of a span are the
// latencies of its worst second, because a mean would hide a spike. Rates, CPU
// and memory are means.
type span struct {
	T              float64 // second at which it begins
	Warmup         bool
	Sent           float64 // messages per second; Delivered: deliveries per second
	Delivered      float64
	P50, P99, Max  float64 // in us; NaN: not measured
	ServerCPU, RSS float64 // ServerCPU in percent of one CPU, RSS in bytes
	ThreadCPU      float64 // in percent of one CPU
}

// spans combines seconds into limit spans or fewer. each is the number of
// seconds in a span.
func spans(seconds []result.Second, limit int) (rows []span, each int) {
	each = max(1, (len(seconds)+limit-1)/limit)
	for i := 0; i < len(seconds); i += each {
		rows = append(rows, join(seconds[i:min(i+each, len(seconds))]))
	}
	return rows, each
}

func join(seconds []result.Second) span {
	row := span{T: float64(seconds[0].T), Warmup: seconds[0].Warmup, P50: math.NaN(), P99: math.NaN(), Max: math.NaN()}
	worst := func(have float64, us int64) float64 {
		if us <= 0 {
			return have
		}
		// positive turns NaN into 0; max would return NaN.
		return max(float64(us), positive(have))
	}
	n := float64(len(seconds))
	for _, s := range seconds {
		row.Sent += float64(s.Sent) / n
		row.Delivered += float64(s.Delivered) / n
		row.P50, row.P99, row.Max = worst(row.P50, s.P50), worst(row.P99, s.P99), worst(row.Max, s.Max)
		row.ServerCPU += 100 * finite(s.ServerCPU) / n
		row.ThreadCPU += 100 * finite(s.ThreadCPU) / n
		row.RSS += float64(s.ServerRSS) / n
	}
	return row
}

func positive(v float64) float64 {
	if v > 0 {
		return v
	}
	return 0
}

// timeline has the rows and the x axis of the plots over time, which are the
// same in all of these plots.
type timeline struct {
	rows []span
	each int
	end  float64 // second at which the last row ends
}

func newTimeline(r *result.Result, s size) timeline {
	rows, each := spans(r.Seconds, pick(s, 120, 240, 480))
	t := timeline{rows: rows, each: each, end: 1}
	if n := len(r.Seconds); n > 0 {
		t.end = float64(r.Seconds[n-1].T + 1)
	}
	return t
}

// curve returns a curve of one value of each row. Its points are in the middle
// of the seconds of a row.
func (t timeline) curve(class, label string, get func(span) float64) curve {
	c := curve{class: class, label: label}
	for _, row := range t.rows {
		c.xs = append(c.xs, min(row.T+float64(t.each)/2, t.end))
		c.ys = append(c.ys, get(row))
	}
	return c
}

// shade draws a shaded area behind the warm-up and, if named is true, a label.
func (t timeline) shade(p *panel, named bool) {
	end := 0.0
	for _, row := range t.rows {
		if row.Warmup {
			end = row.T + float64(t.each)
		}
	}
	if end <= 0 {
		return
	}
	from, to := p.x.at(0), p.x.at(min(end, t.end))
	p.d.rect("warmup", from, p.top, to, p.bottom)
	if label := "warm-up"; named && to-from > lengthOf(label) {
		p.d.text("note", "start", from+4, p.top+12, label)
	} else if named {
		p.d.text("note", "start", from, p.top-5, label)
	}
}

func (t timeline) xAxis(p *panel) {
	p.xAxis(t.ticks(p), func(v float64) string { return count(int64(math.Round(v))) }, t.about())
}

func (t timeline) ticks(p *panel) []float64 { return wholeTicks(0, t.end, pick(p.d.Size, 5, 8, 12)) }

// about returns the label of the x axis.
func (t timeline) about() string {
	if len(t.rows) > 0 && t.rows[0].Warmup {
		return "seconds (shaded: warm-up)"
	}
	return "seconds"
}

// latencyOverTime draws the p50, the p99 and the maximum of the latency of each
// second.
func latencyOverTime(r *result.Result, s size) *drawing {
	t := newTimeline(r, s)
	lo, hi := math.Inf(1), 0.0
	for _, row := range t.rows {
		if row.P50 > 0 {
			lo = min(lo, row.P50)
		}
		hi = max(hi, positive(row.P50), positive(row.P99), positive(row.Max))
	}
	if hi == 0 {
		return nil
	}
	if math.IsInf(lo, 1) {
		lo = hi
	}
	limit, limitText := latencyLimit(r, lo, hi)
	lo, hi = logBounds(lo, max(hi, limit))
	d := newDrawing(s, pick(s, 260.0, 300, 320), "Latency over time",
		"Median, 99th percentile and longest latency of each second, on a logarithmic axis.")
	labelled, thin := logTicks(lo, hi, pick(s, 6, 7, 8))
	p := &panel{d: d, top: 22, bottom: d.Height - 42, right: besides(d, "max")}
	format := func(v float64) string { return duration(v).String() }
	p.left = longest(formatted(labelled, format)...) + 10
	p.x, p.y = linear(0, t.end, p.left, p.right), logarithmic(lo, hi, p.bottom, p.top)
	t.shade(p, true)
	p.yAxis(labelled, thin, format)
	t.xAxis(p)
	if limit > 0 {
		p.reference("limit", "bad", limit, limitText)
	}
	p.curves(
		t.curve("max", "max", func(row span) float64 { return row.Max }),
		t.curve("p99", "p99", func(row span) float64 { return row.P99 }),
		t.curve("p50", "p50", func(row span) float64 { return row.P50 }),
	)
	return d
}

// latencyLimit returns the smallest threshold on latency, so that it can be
// drawn. It ignores thresholds that are so far from the curves that the curves
// would become flat.
func latencyLimit(r *result.Result, lo, hi float64) (us float64, text string) {
	for _, o := range r.Thresholds {
		figure, value, ok := strings.Cut(o.Threshold, "<")
		if !ok || !strings.HasPrefix(strings.TrimSpace(figure), "latency.") {
			continue
		}
		limit, err := time.ParseDuration(strings.TrimSpace(strings.TrimPrefix(value, "=")))
		v := float64(limit) / 1000
		if err == nil && v >= lo && v <= 20*hi && (us == 0 || v < us) {
			us, text = v, o.Threshold
		}
	}
	return us, text
}

// stacked makes two panels, one above the other, with the same x axis.
func stacked(d *drawing, t timeline, left, right float64) (upper, lower *panel) {
	const gap, above = 42, 26
	bottom := d.Height - 42
	height := (bottom - above - gap) / 2
	x := linear(0, t.end, left, right)
	upper = &panel{d: d, left: left, right: right, top: above, bottom: above + height, x: x}
	lower = &panel{d: d, left: left, right: right, top: bottom - height, bottom: bottom, x: x}
	return upper, lower
}

// area draws a curve with a shaded area below it, on a y axis that begins at
// zero. The name of the value and its unit are above the panel.
func (t timeline) area(p *panel, name string, highest float64, c curve, format func(float64) string) {
	p.y = linear(0, highest, p.bottom, p.top)
	t.shade(p, false)
	p.fill("area "+c.class, c)
	p.yAxis(linearTicks(0, highest, 3), nil, format)
	p.draw(c)
	p.d.text("title", "start", 0, p.top-11, name)
}

// cpuAndMemory draws the CPU and the memory of the server. It also draws the
// CPU of the generator, so that readers see whether the generator was close to
// its limit.
func cpuAndMemory(r *result.Result, s size) *drawing {
	t := newTimeline(r, s)
	server := t.curve("server", "server", func(row span) float64 { return row.ServerCPU })
	thread := t.curve("generator", "generator", func(row span) float64 { return row.ThreadCPU })
	memory := t.curve("server", "", func(row span) float64 { return row.RSS })
	if highest(server, thread, memory) == 0 {
		return nil
	}
	d := newDrawing(s, 350, "CPU and memory over time",
		"CPU of the server and of the busiest thread of the generator, and, below, the server's resident memory.")
	cpuTop := top(max(highest(server, thread), 100), 4)
	unit, per := memoryUnit(highest(memory))
	bytes := func(v float64) string { return plain(v / per) }
	memoryTop := top(highest(memory)/per, 3) * per
	left := 10 + longest(append(formatted(linearTicks(0, memoryTop, 3), bytes), plain(cpuTop))...)
	upper, lower := stacked(d, t, left, besides(d, "generator"))
	t.cpu(upper, cpuTop, server, thread)
	if highest(memory) == 0 {
		d.Height = upper.bottom + 42
		t.xAxis(upper)
		return d
	}
	upper.xAxis(t.ticks(upper), nil, "")
	t.area(lower, "server's resident memory, "+unit, memoryTop, memory, bytes)
	t.xAxis(lower)
	return d
}

// cpu draws the CPU curves of the server and the generator. It also draws the
// limit of the generator, above which a run is INVALID.
func (t timeline) cpu(p *panel, highestPercent float64, server, thread curve) {
	p.y = linear(0, highestPercent, p.bottom, p.top)
	t.shade(p, false)
	p.yAxis(linearTicks(0, highestPercent, 4), nil, plain)
	p.reference("limit", "bad", 85, "generator's limit, 85\u00a0%")
	p.d.text("title", "start", 0, p.top-11, "CPU, percent of one CPU")
	if highest(server) == 0 {
		p.curves(thread)
		return
	}
	p.curves(thread, server)
}

// highest returns the largest value of all curves.
func highest(curves ...curve) float64 {
	most := 0.0
	for _, c := range curves {
		for _, v := range c.ys {
			most = max(most, positive(v))
		}
	}
	return most
}

func memoryUnit(n float64) (unit string, per float64) {
	switch {
	case n >= 1e9:
		return "GB", 1e9
	case n >= 1e6:
		return "MB", 1e6
	}
	return "kB", 1e3
}

// traffic draws the rates of deliveries and of sent messages. Each has its own
// y axis, because with rooms of 1,000 members there are 1,000 times as many
// deliveries as messages.
func traffic(r *result.Result, s size) *drawing {
	t := newTimeline(r, s)
	delivered := t.curve("delivered", "", func(row span) float64 { return row.Delivered })
	sent := t.curve("sent", "", func(row span) float64 { return row.Sent })
	if highest(delivered, sent) == 0 {
		return nil
	}
	d := newDrawing(s, 350, "Deliveries and sends over time",
		"Messages delivered per second and, below, messages sent per second.")
	due, err := scenario.ParseRate(r.Scenario["rate"])
	planned := err == nil && !due.Max && due.PerSecond > 0 && due.PerSecond < 10*highest(sent)
	deliveredTop, sentTop := top(highest(delivered), 3), top(highest(sent), 3)
	if planned {
		sentTop = top(max(highest(sent), due.PerSecond), 3)
	}
	left := 10 + longest(append(formatted(linearTicks(0, deliveredTop, 3), short), formatted(linearTicks(0, sentTop, 3), short)...)...)
	upper, lower := stacked(d, t, left, d.Width-12)
	t.area(upper, "delivered, messages per second", deliveredTop, delivered, short)
	upper.xAxis(t.ticks(upper), nil, "")
	t.area(lower, "sent, messages per second", sentTop, sent, short)
	t.xAxis(lower)
	if planned {
		lower.reference("plan", "", due.PerSecond, "scheduled "+rate(due.PerSecond)+"/s")
	}
	return d
}
