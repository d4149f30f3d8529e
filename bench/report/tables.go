package report

import (
	"cmp"
	"fmt"
	"math"

	"dotsconnect/bench/result"
)

// table is a table of the page. The first cell of a row is a text; the other
// cells are numbers, which are aligned right.
type table struct {
	Caption string
	Note    string
	Head    []string
	Rows    [][]cell
}

type cell struct {
	Text  string
	Class string // class in the style sheet: "word", "good", "warn", "bad" or "void"
	Link  string
	Range *latencyRange
}

func words(s string) cell { return cell{Text: s, Class: "word"} }

func numbers(all ...string) []cell {
	cells := make([]cell, len(all))
	for i, s := range all {
		cells[i] = cell{Text: s}
	}
	return cells
}

func tables(r *result.Result) []table {
	var all []table
	if t := times(r); len(t.Rows) > 0 {
		all = append(all, t)
	}
	if len(r.Thresholds) > 0 {
		t := table{Caption: "Thresholds", Head: []string{"threshold", "measured", "verdict"}}
		for _, o := range r.Thresholds {
			outcome := cell{"met", "good", "", nil}
			switch {
			case o.NotJudged != "":
				outcome = cell{"not judged", "warn", "", nil}
			case !o.Met:
				outcome = cell{"missed", "bad", "", nil}
			}
			t.Rows = append(t.Rows, []cell{words(o.Threshold), {Text: got(o)}, outcome})
		}
		all = append(all, t)
	}
	return all
}

// times returns the table of quantiles, with a row for each kind of time. Cells
// that do not describe the server are grey.
func times(r *result.Result) table {
	t := table{Caption: "Times", Head: []string{""}}
	all := result.EachQuantile()
	for _, q := range all {
		t.Head = append(t.Head, q.Label)
	}
	t.Head = append(t.Head, "count")
	for _, time := range r.Times() {
		if time.Of.Count == 0 || r.Closed && time.Key == "lateness" {
			continue
		}
		row := []cell{words(time.Label)}
		for _, q := range all {
			c := cell{Text: duration(float64(q.Of(time.Of))).String()}
			if !q.Enough(time.Of) {
				c.Text = "–"
			} else if r.Doubt(time, q) != "" {
				c.Class = "void"
				t.Note = "The generator was late by more than a tenth of the grey figures, so they do not describe the server."
			}
			row = append(row, c)
		}
		t.Rows = append(t.Rows, append(row, cell{Text: count(time.Of.Count)}))
	}
	return t
}

// secondsTable returns the numbers of the plots over time as a table, for
// readers who cannot see the plots.
func secondsTable(r *result.Result) *table {
	const most = 300
	if len(r.Seconds) == 0 {
		return nil
	}
	rows, each := spans(r.Seconds, most)
	t := &table{Caption: "The seconds in numbers", Head: []string{"second", "sent/s", "delivered/s", "p50", "p99", "max", "server CPU", "server RSS", "generator CPU"}}
	if each > 1 {
		t.Note = fmt.Sprintf("Each row is %d seconds: times are from the worst second; other values are means.", each)
	}
	us := func(v float64) string {
		if math.IsNaN(v) {
			return "–"
		}
		return duration(v).String()
	}
	for _, s := range rows {
		name := cell{Text: count(int64(s.T))}
		if s.Warmup {
			name.Text += " warm-up"
		}
		t.Rows = append(t.Rows, append([]cell{name}, numbers(rate(s.Sent), rate(s.Delivered), us(s.P50), us(s.P99), us(s.Max),
			digits(s.ServerCPU, 3)+"\u00a0%", octets(s.RSS).String(), digits(s.ThreadCPU, 3)+"\u00a0%")...))
	}
	return t
}

// latencyRange draws the latency of a run in a cell: a line from p50 to the
// maximum, thick up to p99. The fields are positions on an axis that all rows
// share.
type latencyRange struct{ P50, P99, Max string }

const rangeWidth = 120.0

// index returns the table at the top of a page with several runs. It has a row
// for each run.
func index(results []*result.Result) *table {
	t := &table{
		Caption: "Runs",
		Head:    []string{"run", "verdict", "p50", "p99", "max", "p50 to max", "deliveries/s", "sent/s", "connections", "CPU/delivery", "RSS/connection", "violations"},
	}
	lo, hi := math.Inf(1), 0.0
	for _, r := range results {
		if r.Latency.Count > 0 {
			lo, hi = min(lo, float64(r.Latency.P50)), max(hi, float64(r.Latency.Max))
		}
	}
	lo, hi = logBounds(lo, hi)
	at := logarithmic(lo, hi, 4, rangeWidth-4)
	if hi > 1 {
		t.Note = fmt.Sprintf("The lines run from p50 to max, thick up to p99, on a logarithmic scale from %s to %s.", duration(lo), duration(hi))
	}
	for i, r := range results {
		t.Rows = append(t.Rows, indexRow(r, i+1, at))
	}
	return t
}

func indexRow(r *result.Result, number int, at scale) []cell {
	v := judge(r)
	colour := map[string]string{"pass": "good", "missed": "warn", "invalid": "warn"}[v.Class]
	timed := ""
	if !valid(r) {
		timed = "void"
	}
	row := []cell{
		{Text: r.Name, Class: "word", Link: "#" + runID(number)}, {Text: v.Word, Class: cmp.Or(colour, "bad")},
	}
	if q := r.Latency; q.Count > 0 {
		for _, us := range []int64{q.P50, q.P99, q.Max} {
			row = append(row, cell{Text: duration(float64(us)).String(), Class: timed})
		}
		row = append(row, cell{Class: timed, Range: &latencyRange{
			num(at.at(float64(q.P50))), num(at.at(float64(q.P99))), num(at.at(float64(q.Max)))}})
	} else {
		row = append(row, numbers("–", "–", "–", "–")...)
	}
	row = append(row, cell{Text: rate(r.Traffic.DeliveredRate), Class: timed}, cell{Text: rate(r.Traffic.SentRate)}, cell{Text: count(r.Traffic.Conns)})
	cpu, memory := "–", "–"
	if s := r.Server; s != nil {
		if s.CPUPerDelivery > 0 {
			cpu = duration(s.CPUPerDelivery).String()
		}
		if s.BytesPerConn > 0 {
			memory = octets(s.BytesPerConn).String()
		}
	}
	broken := cell{Text: count(r.Proof.Sum())}
	if r.Proof.Sum() > 0 {
		broken.Class = "bad"
	}
	return append(row, cell{Text: cpu}, cell{Text: memory}, broken)
}
