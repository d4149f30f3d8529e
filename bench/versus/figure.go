package versus

import (
	"fmt"
	"slices"

	"dotsconnect/bench/floor"
)

// Figure is the median of the values of several runs, with the smallest and the
// largest value.
type Figure struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Runs   int     `json:"runs"`
	Mark   string  `json:"mark,omitempty"` // AtLeast or Busy, if the median needs a qualification
}

// The values of Figure.Mark.
const (
	AtLeast = ">=" // the generator or the machine was the limit, so the server can do more
	Busy    = "!"  // the server had practically no idle time, so it may have saved work: fewer wake-ups and larger batches
)

func summarize(v []float64) Figure {
	v = slices.Clone(v)
	slices.Sort(v)
	n := len(v)
	return Figure{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1], Runs: n}
}

// busy is the share of its one CPU above which a server has practically no idle
// time.
const busy = 0.9

// metric is a column of the tables of a comparison.
type metric struct {
	key   string
	in    string // key of the experiment that measures the figure
	head  [2]string
	value func(run *Run) float64         // returns the value of a run; 0: none
	show  func(v float64) string         // formats a value
	mark  func(run *Run) string          // returns the Mark for a run; may be nil
	floor func(rows []floor.Row) float64 // returns the cost of the kernel alone; may be nil
}

const (
	perDelivery = 5 // number of metrics in the first table, CPU per delivery; the other metrics are in the second table
	floorName   = "floor"
)

// metrics returns the metrics of the first table, and then those of the second
// table.
func (r *Report) metrics() []metric {
	var all []metric
	add := func(x *Experiment, name, title string, m metric) {
		m.key, m.in, m.head = x.Key+"."+name, x.Key, [2]string{x.Rooms, title}
		all = append(all, m)
	}
	at := map[string]*Experiment{}
	for i := range r.Experiments {
		at[r.Experiments[i].Key] = &r.Experiments[i]
	}
	cpu := metric{value: func(run *Run) float64 { return run.cost(run.CPUPerDelivery) }, show: micros}
	for _, key := range []string{One, Burst, Rooms, Half, Echo} {
		m, x := cpu, at[key]
		m.floor = func(rows []floor.Row) float64 { return floorOf(key, rows) }
		if !x.scenario.Rate.Max {
			m.mark = func(run *Run) string { return markIf(run.CPUs > busy, Busy) }
		}
		add(x, "cpu", x.Title, m)
	}
	add(at[Rooms], "rate", "deliveries/s, most", metric{show: count,
		value: func(run *Run) float64 { return run.DeliveredRate },
		mark:  func(run *Run) string { return markIf(len(run.Invalid) > 0, AtLeast) }})
	half := *at[Half]
	half.Rooms += " " + half.Title
	add(&half, "p50", "p50 ms", metric{show: millis, value: func(run *Run) float64 { return run.millis("p50") }})
	add(&half, "p99", "p99 ms", metric{show: millis, value: func(run *Run) float64 { return run.millis("p99") }})
	add(at[Idle], "bytes", "idle, B RSS each", metric{show: count, value: func(run *Run) float64 { return run.BytesPerConn }})
	add(at[Idle], "connect", "connects, CPU us each", metric{show: micros, value: func(run *Run) float64 { return run.CPUPerConnect }})
	return all
}

// cost returns a figure of CPU time, or 0 if it does not count.
func (r *Run) cost(v float64) float64 {
	if !r.counts(cpuFigure) {
		return 0
	}
	return v
}

// millis returns a quantile of the latency in milliseconds, or 0 if it does not
// count.
func (r *Run) millis(quantile string) float64 {
	if len(r.Invalid) > 0 || !r.counts("latency."+quantile) {
		return 0
	}
	return float64(map[string]int64{"p50": r.P50, "p99": r.P99}[quantile]) / 1000
}

func markIf(is bool, mark string) string {
	if is {
		return mark
	}
	return ""
}

func micros(v float64) string {
	if v >= 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func millis(v float64) string { return fmt.Sprintf("%.2f", v) }

// of returns the figure of a server in this metric, or false if there is none.
func (m *metric) of(s *Server) (Figure, bool) {
	var values []float64
	mark := ""
	for i := range s.Runs {
		run := &s.Runs[i]
		v := m.at(run)
		if v == 0 {
			continue
		}
		values = append(values, v)
		if m.mark != nil && mark == "" {
			mark = m.mark(run)
		}
	}
	if len(values) == 0 {
		return Figure{}, false
	}
	f := summarize(values)
	f.Mark = mark
	return f, true
}

// at returns the value of this metric in a run, or 0 if there is none.
func (m *metric) at(run *Run) float64 {
	if run.Experiment != m.in || run.Error != "" {
		return 0
	}
	return m.value(run)
}

// floorOf returns the CPU time, in microseconds, that the kernel alone needs
// for a delivery in an experiment. It is the delivery's share of a send plus,
// if the message goes to few members, its share of the receive of the message.
func floorOf(key string, rows []floor.Row) float64 {
	of := func(frames int) floor.Row {
		i := slices.IndexFunc(rows, func(row floor.Row) bool { return row.Frames == frames })
		if i < 0 {
			return floor.Row{}
		}
		return rows[i]
	}
	switch key {
	case Burst:
		return of(32).SendNs / 1000
	case Rooms: // all eight members of a room publish, so at best a write has eight frames
		return (of(8).SendNs + of(1).ReceiveNs/8) / 1000
	case Half:
		return (of(1).SendNs + of(1).ReceiveNs/8) / 1000
	case Echo:
		return (of(1).SendNs + of(1).ReceiveNs) / 1000
	}
	return of(1).SendNs / 1000
}

// floorFigure returns the cost of the kernel alone in a metric, or false if
// there is none.
func (r *Report) floorFigure(m *metric) (Figure, bool) {
	var values []float64
	for _, rows := range r.Floor {
		if m.floor != nil && m.floor(rows) > 0 {
			values = append(values, m.floor(rows))
		}
	}
	if len(values) == 0 {
		return Figure{}, false
	}
	return summarize(values), true
}

// ratio returns the ratio of our server to another row in the metric with this
// key. It is computed within each round.
func (r *Report) ratio(key, against string) (Figure, bool) {
	all := r.metrics()
	i := slices.IndexFunc(all, func(m metric) bool { return m.key == key })
	m := &all[i]
	var ratios []float64
	for round := 1; round <= r.Rounds; round++ {
		ours, other := r.valueIn(r.Servers[0].Name, m, round), r.valueIn(against, m, round)
		if ours > 0 && other > 0 {
			ratios = append(ratios, ours/other)
		}
	}
	if len(ratios) == 0 {
		return Figure{}, false
	}
	return summarize(ratios), true
}

// valueIn returns the value of a row (a server or the floor) in a round, or 0
// if there is none.
func (r *Report) valueIn(name string, m *metric, round int) float64 {
	if name == floorName && m.floor != nil && round <= len(r.Floor) {
		return m.floor(r.Floor[round-1])
	}
	for i := range r.Servers {
		for j := range r.Servers[i].Runs {
			run := &r.Servers[i].Runs[j]
			if r.Servers[i].Name == name && run.Round == round && m.at(run) > 0 {
				return m.at(run)
			}
		}
	}
	return 0
}
