package slices

import (
	"slices"
	"strings"
	"testing"

	"dotsconnect/bench/stats"
)

func TestRowsAreScenariosThatOneProcessCanPlay(t *testing.T) {
	for servers := 2; servers <= 5; servers++ {
		for _, r := range Rows(servers) {
			if err := r.Scenario.Validate(); err != nil && r.Connects == 0 {
				t.Errorf("%s: %v", r.Title, err)
			}
			if n := servers * max(r.Scenario.Conns, r.Connects); n > MostConns || r.Scenario.Conns%max(1, r.Scenario.Rooms) != 0 {
				t.Errorf("%s with %d servers: %d connections in %d rooms each", r.Title, servers, n/servers, r.Scenario.Rooms)
			}
		}
	}
}

func TestRatiosAreTakenWithinATurnWithoutTheDroppedOnes(t *testing.T) {
	var all tally
	for i := range 20 {
		speed := float64(1 + i%7) // the speed of the machine changes from turn to turn
		turn := []sample{{values: []float64{10 * speed}}, {values: []float64{5 * speed}}, {values: []float64{20 * speed}}}
		switch i {
		case 3: // the slice of the base was disturbed, so this turn counts for no server
			turn[0] = sample{[]float64{1}, 0.5}
		case 5: // the slice of server 1 was disturbed, so this turn counts only for server 2
			turn[1] = sample{[]float64{1}, 0.5}
		}
		all.enter(turn)
	}
	for server, want := range map[int]stats.Ratio{1: {Of: 0.5, Low: 0.5, High: 0.5, Rounds: 18}, 2: {Of: 2, Low: 2, High: 2, Rounds: 19}} {
		if _, _, got := all.ratio(0, server); got != want {
			t.Errorf("server %d: got %+v, want %+v", server, got, want)
		}
	}
	if all.dropped != 2 || all.wide(Row{Figures: make([]Figure, 1)}) {
		t.Errorf("%d dropped, wide %v", all.dropped, all.wide(Row{Figures: make([]Figure, 1)}))
	}
	all.turns[1][1].values[0] *= 1000 // a single outlier does not make the interval too wide
	if all.wide(Row{Figures: make([]Figure, 1)}) {
		t.Error("wide by one turn of twenty")
	}
	for i := range 9 {
		all.turns[2*i][1].values[0] *= 2
	}
	if !all.wide(Row{Figures: make([]Figure, 1)}) {
		t.Error("not wide")
	}
}

func TestAMustIsMetByItsRatioAndItsInterval(t *testing.T) {
	for _, c := range []struct {
		of, low, high float64
		met           bool
		verdict       string
	}{
		{1.00, 0.98, 1.02, true, "met"},
		{1.019, 0.99, 1.03, true, "met"},
		{1.03, 0.99, 1.05, false, "missed"},
		{1.015, 1.005, 1.02, false, "missed"}, // the lower end of the interval is above the goal
		{0.90, 0.80, 1.10, false, "interval too wide"},
	} {
		l := Line{Must: 1, Ratio: stats.Ratio{Of: c.of, Low: c.low, High: c.high, Rounds: 36}}
		if l.Met() != c.met || l.verdict() != c.verdict {
			t.Errorf("%+v: met %v, %q", c, l.Met(), l.verdict())
		}
	}
}

func TestTheTableHasALineForEachFigureAndServer(t *testing.T) {
	r := Report{Servers: []string{"uws", "ours"}, Pinned: true, Lines: []Line{
		{Row: "echo", Figure: "CPU per delivery", Unit: "us", Server: "ours", Base: 7.5, Value: 8, Ratio: stats.Ratio{Of: 1.07, Low: 1.05, High: 1.09, Rounds: 36}, Dropped: 3, Must: 1.08, Aim: 1},
		{Row: "one", Figure: "p50", Unit: "us", Server: "ours"},
	}}
	var b strings.Builder
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	for i, want := range []string{"uws", "", "ratio", "1.070 1.050–1.090 36 3 1.08 1.00 met", "not measured"} {
		if got := strings.Join(strings.Fields(lines[i]), " "); !strings.Contains(got, want) {
			t.Errorf("line %d is %q, want %q in it", i, got, want)
		}
	}
	if slices.Contains(lines, "NaN") {
		t.Error(b.String())
	}
}
