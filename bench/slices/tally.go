package slices

import "dotsconnect/bench/stats"

// sample is the result of one slice: a value for each figure of the row, and
// the CPUs that other programs used.
type sample struct {
	values  []float64
	foreign float64
}

// tally has all samples of a row.
type tally struct {
	turns   [][]sample // by turn, then by server
	dropped int
}

// enter adds the samples of a turn, in the order of the servers.
func (t *tally) enter(found []sample) {
	for _, s := range found {
		if s.foreign > mostForeign {
			t.dropped++
		}
	}
	t.turns = append(t.turns, found)
}

// ratio compares a figure of a server with the same figure of the base. r is
// the median of the ratios of all turns that count; base and value are medians
// too. If fewer than two turns count, all results are 0.
func (t *tally) ratio(figure, server int) (base, value float64, r stats.Ratio) {
	var bases, values, ratios, ones []float64
	for _, turn := range t.turns {
		a, b := turn[0], turn[server]
		if a.foreign > mostForeign || b.foreign > mostForeign || !(a.values[figure] > 0) || !(b.values[figure] > 0) {
			continue
		}
		bases, values = append(bases, a.values[figure]), append(values, b.values[figure])
		ratios, ones = append(ratios, b.values[figure]/a.values[figure]), append(ones, 1)
	}
	r, err := stats.MedianRatio(ones, ratios, 1)
	if err != nil {
		return 0, 0, stats.Ratio{}
	}
	return stats.Median(bases), stats.Median(values), r
}

// wide reports whether an interval of the row is too wide or not known, so that
// more turns are needed.
func (t *tally) wide(row Row) bool {
	for f := range row.Figures {
		for server := 1; server < len(t.turns[0]); server++ {
			if _, _, r := t.ratio(f, server); r.Rounds == 0 || tooWide(r) {
				return true
			}
		}
	}
	return false
}
