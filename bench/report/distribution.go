package report

import (
	"cmp"
	"math"
	"slices"

	"dotsconnect/bench/result"
)

// percentiles draws latency against percentile, like HdrHistogram's plots. So
// readers see the whole tail of the latency; p99 is only one point of it.
func percentiles(r *result.Result, s size) *drawing {
	type named struct {
		class, label string
		points       []result.Point
		count        int64
	}
	all := []named{{"p50", "latency", r.Plots.Latency, r.Latency.Count}}
	if len(all[0].points) == 0 {
		all[0].points = quantilePoints(r.Latency)
	}
	if len(all[0].points) == 0 {
		return nil
	}
	for _, q := range []struct {
		class, label string
		q            result.Quantiles
	}{{"first", "first receiver", r.First}, {"p99", "last receiver", r.Last}, {"max", "send lateness", r.Lateness}} {
		if q.q.Count > 0 && !(r.Closed && q.class == "max") {
			all = append(all, named{q.class, q.label, quantilePoints(q.q), q.q.Count})
		}
	}
	lo, hi, right := math.Inf(1), 0.0, 90.0
	var curves []curve
	for _, n := range all {
		c := percentileCurve(n.points, n.count)
		c.class, c.label = n.class, n.label
		for i := range c.xs {
			lo, hi, right = min(lo, c.ys[i]), max(hi, c.ys[i]), max(right, c.xs[i])
		}
		curves = append(curves, c)
	}
	slices.Reverse(curves) // the last curve is drawn on top, which must be the latency
	lo, hi = logBounds(lo, hi)
	d := newDrawing(s, pick(s, 290.0, 350, 350), "Latency by percentile",
		"Latency against percentile. Each further nine of the percentile has the same width; the latency axis is logarithmic.")
	format := func(v float64) string { return duration(v).String() }
	labelled, thin := logTicks(lo, hi, pick(s, 6, 8, 8))
	var names []string
	for _, c := range curves {
		names = append(names, c.label)
	}
	p := &panel{d: d, top: 14, bottom: d.Height - 42, left: longest(formatted(labelled, format)...) + 10}
	p.right = besides(d, names...)
	p.x, p.y = byNines(0, right, p.left, p.right), logarithmic(lo, hi, p.bottom, p.top)
	ticks := ninesTicks(right)
	p.yAxis(labelled, thin, format)
	for _, v := range ticks {
		d.line("grid thin", p.x.at(v), p.top, p.x.at(v), p.bottom)
	}
	p.xAxis(ticks, plain, "percentile")
	p.curves(curves...)
	return d
}

// percentileCurve returns a curve through points, sorted by percentile. n is
// the number of values. The largest value gets the percentile 100*(1-1/n),
// because 100 would be infinitely far away on this axis.
func percentileCurve(points []result.Point, n int64) curve {
	last := 100 * (1 - 1/float64(max(n, 10)))
	var c curve
	for _, pt := range slices.SortedStableFunc(slices.Values(points), func(a, b result.Point) int { return cmp.Compare(a.X, b.X) }) {
		x := min(max(finite(pt.X), 0), last)
		if k := len(c.xs); k > 0 && c.xs[k-1] >= x {
			// This percentile and the one before it have the same position, so
			// keep only one point.
			c.ys[k-1] = max(c.ys[k-1], finite(pt.Y))
			continue
		}
		c.xs, c.ys = append(c.xs, x), append(c.ys, max(finite(pt.Y), 1))
	}
	return c
}

func quantilePoints(q result.Quantiles) []result.Point {
	if q.Count == 0 {
		return nil
	}
	return []result.Point{
		{X: 50, Y: float64(q.P50)}, {X: 90, Y: float64(q.P90)}, {X: 99, Y: float64(q.P99)},
		{X: 99.9, Y: float64(q.P999)}, {X: 100, Y: float64(q.Max)},
	}
}

// bar is a bar of a bar chart: count values are between from and to.
type bar struct{ from, to, count float64 }

// bars returns the bars for points, whose X is the upper bound of a bar and
// whose Y is its count. Each bar begins at the bound before it. byFactor says
// that the bounds grow by a factor. In this case the first bar begins at its
// bound divided by the factor. In other cases it begins at 0 or one width below
// its bound.
func bars(points []result.Point) (all []bar, byFactor bool) {
	sorted := slices.SortedStableFunc(slices.Values(points), func(a, b result.Point) int { return cmp.Compare(a.X, b.X) })
	sorted = slices.DeleteFunc(sorted, func(p result.Point) bool { return finite(p.X) != p.X || finite(p.Y) != p.Y })
	if n := len(sorted); n > 2 && sorted[0].X > 0 {
		byFactor = sorted[n-1].X-sorted[n-2].X > 2.5*(sorted[1].X-sorted[0].X)
	}
	for i, p := range sorted {
		from := min(0, p.X)
		switch {
		case i > 0:
			from = sorted[i-1].X
		case byFactor:
			from = p.X * p.X / sorted[1].X
		case len(sorted) > 1:
			from = p.X - (sorted[1].X - p.X)
		}
		if i == 0 && p.X > 0 {
			from = max(from, 0)
		}
		all = append(all, bar{from, p.X, max(p.Y, 0)})
	}
	// Leave out empty bars at both ends.
	for len(all) > 0 && all[0].count == 0 {
		all = all[1:]
	}
	for len(all) > 0 && all[len(all)-1].count == 0 {
		all = all[:len(all)-1]
	}
	return all, byFactor
}

// kickTimes draws a bar chart of the times at which silent connections were
// closed, relative to the times at which the server was due to close them.
func kickTimes(r *result.Result, s size) *drawing {
	all, byFactor := bars(r.Plots.Kick)
	if len(all) == 0 {
		return nil
	}
	most := 0.0
	for _, b := range all {
		most = max(most, b.count)
	}
	d := newDrawing(s, pick(s, 260.0, 300, 300), "Kick times",
		"Number of silent connections by the time at which the server closed them, relative to the time at which it was due to close them.")
	lo, hi := all[0].from, all[len(all)-1].to
	highestCount := top(most, 4)
	counts := wholeTicks(0, highestCount, 4)
	p := &panel{d: d, top: 44, bottom: d.Height - 42, right: d.Width - 14, left: longest(formatted(counts, short)...) + 10}
	p.y = linear(0, highestCount, p.bottom, p.top)
	var ticks []float64
	if byFactor {
		lo = max(lo, 1)
		p.x = logarithmic(lo, hi, p.left, p.right)
		ticks, _ = logTicks(lo, hi, pick(s, 6, 8, 12))
	} else {
		lo = min(lo, 0)
		p.x = linear(lo, hi, p.left, p.right)
		ticks = linearTicks(lo, hi, pick(s, 4, 6, 10))
	}
	p.yAxis(counts, nil, short)
	gap := 0.0
	if (p.right-p.left)/float64(len(all)) > 4 {
		gap = 1
	}
	for _, b := range all {
		if b.count > 0 {
			p.bar(p.x.at(b.from), max(p.x.at(b.to)-gap, p.x.at(b.from)+1), p.y.at(b.count))
		}
	}
	p.xAxis(ticks, signedDuration, "after the due time")
	p.marks(r.Kick)
	d.text("title", "start", 0, 15, "connections closed")
	return d
}

func signedDuration(us float64) string {
	if us < 0 {
		return "−" + duration(-us).String()
	}
	if us == 0 {
		return "0"
	}
	return duration(us).String()
}

// marks draws lines with labels at the median, p99 and maximum of a bar chart.
func (p *panel) marks(q result.Quantiles) {
	if q.Count == 0 {
		return
	}
	taken := math.Inf(-1)
	for _, m := range []struct {
		name string
		us   int64
	}{{"p50", q.P50}, {"p99", q.P99}, {"max", q.Max}} {
		x, label := p.x.at(float64(m.us)), m.name+" "+duration(float64(m.us)).String()
		if x-taken < 1 {
			continue
		}
		half := lengthOf(label) / 2
		middle := min(max(x, p.left+half), p.right-half)
		if middle-half <= taken {
			continue
		}
		p.d.line("mark", x, p.top-4, x, p.bottom)
		p.d.text("note", "middle", middle, p.top-9, label)
		taken = middle + half + wordGap
	}
}

// recovery draws how fast connections were back after the server was killed. It
// has a row for each share of the connections.
func recovery(r *result.Result, s size) *drawing {
	v := r.Recovery
	if v == nil {
		return nil
	}
	type row struct {
		name string
		us   int64
	}
	rows := []row{
		{"50\u00a0% are back", v.At50}, {"90\u00a0% are back", v.At90},
		{"99\u00a0% are back", v.At99}, {"100\u00a0% are back", v.At100},
	}
	if v.Server > 0 {
		rows = slices.Insert(rows, 0, row{"server accepts", v.Server})
	}
	slowest := int64(0)
	var names, times []string
	for _, row := range rows {
		slowest = max(slowest, row.us)
		names, times = append(names, row.name), append(times, duration(float64(row.us)).String())
	}
	const height, first = 30.0, 22.0
	d := newDrawing(s, first+height*float64(len(rows))+36, "Recovery after a restart",
		"Time from the kill of the server until it accepted connections again, and until 50, 90, 99 and 100 percent of the connections were back.")
	end := top(float64(slowest), 4)
	const beside = 10.0 // space between the end of a line and the text with its time
	p := &panel{d: d, left: longest(names...) + 10, right: d.Width - beside - longest(times...) - 4, top: 6, bottom: first + height*float64(len(rows)) - 8}
	p.x = linear(0, end, p.left, p.right)
	ticks := linearTicks(0, end, pick(s, 3, 5, 5))
	for _, v := range ticks {
		d.line("grid", p.x.at(v), p.top, p.x.at(v), p.bottom)
	}
	for i, row := range rows {
		y := first + height*float64(i)
		d.text("row", "end", p.left-8, y+halfCap, row.name)
		if row.us == 0 {
			d.text("name bad halo", "start", p.left+6, y+halfCap, "never")
			continue
		}
		x := p.x.at(float64(row.us))
		d.line("curve server", p.left, y, x, y)
		d.dot("server", x, y, 4.5)
		d.text("name server halo", "start", x+beside, y+halfCap, duration(float64(row.us)).String())
	}
	p.xAxis(ticks, signedDuration, "after the kill")
	return d
}
