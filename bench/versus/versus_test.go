package versus

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/floor"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
)

var update = flag.Bool("update", false, "rewrite testdata")

func TestEveryRoundHasEachServerOnceInAnotherOrder(t *testing.T) {
	for _, n := range []int{1, 3, 9} {
		var seen [][]int
		for round := range 2 * n {
			o := order(round, n)
			if n > 1 && slices.ContainsFunc(seen, func(e []int) bool { return slices.Equal(e, o) }) {
				t.Errorf("%d servers: round %d has the order of an earlier one: %v", n, round, o)
			}
			seen = append(seen, o)
			if o = slices.Sorted(slices.Values(o)); len(o) != n || o[0] != 0 || o[n-1] != n-1 || len(slices.Compact(o)) != n {
				t.Errorf("%d servers: round %d is %v", n, round, seen[round])
			}
			if back := slices.Clone(seen[round]); round%2 == 1 {
				if slices.Reverse(back); !slices.Equal(back, seen[round-1]) {
					t.Errorf("%d servers: round %d is %v, want %v backwards", n, round, seen[round], seen[round-1])
				}
			}
		}
	}
}

func TestTheRateForAllIsHalfOfTheSlowest(t *testing.T) {
	for _, c := range []struct {
		most []float64
		want float64
	}{
		{[]float64{90_000, 37_900, 600_000}, 2300}, {[]float64{1_000_000}, 62_000}, {[]float64{16 * 99.9}, 99}, {[]float64{3}, 10}, {nil, 0},
	} {
		if got := halfOf(c.most, 8); got != c.want {
			t.Errorf("%v: got %v, want %v", c.most, got, c.want)
		}
	}
}

func TestAFigureIsTheMedianOfItsRuns(t *testing.T) {
	if d := cmp.Diff(Figure{Median: 3, Min: 1, Max: 100, Runs: 3}, summarize([]float64{100, 1, 3})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(Figure{Median: 4, Min: 1, Max: 100, Runs: 4}, summarize([]float64{5, 100, 1, 3})); d != "" {
		t.Error(d)
	}
}

// fake makes results of servers with known costs in place of real runs, and
// records the order of the runs.
type fake struct {
	order []string
	rates map[string]bool // the rates at which Half was run
}

func (f *fake) run(s runner.Spec) (*result.Result, error) {
	x, name := s.Scenario.Name, s.Adapter.Name
	f.order = append(f.order, x+" "+name)
	round := float64(strings.Count(strings.Join(f.order, "\n")+"\n", x+" "+name+"\n"))
	if x == Half {
		f.rates[s.Scenario.Rate.String()] = true
	}
	if name == "absent" {
		return nil, errors.New("absent: the server ended at once; its last output: no\nlibrary")
	}
	cost := map[string]float64{"ours": 1, "gws": 5, "loser": 9}[name] * (1 + round/10)
	r := &result.Result{Server: &result.Server{CPUPerDelivery: cost, CPUs: cost / 10, CPUPerConnect: 10 * cost, BytesPerConn: 1000 * cost}}
	r.Traffic.DeliveredRate = 1e6 / cost
	r.Latency.Count, r.Latency.P50, r.Latency.P99 = 100_000, int64(cost*100), int64(cost*1000)
	switch {
	case name == "ours" && x == Rooms, name == "gws" && x == Half:
		r.Invalid, r.Exit = []string{"the generator's thread was busy for 97 % of the time"}, cli.Invalid
	case name == "loser" && x == Burst && round == 2:
		r.Proof.Lost, r.Exit = 7, cli.Violated
	case name == "loser" && x == Idle:
		return nil, errors.New("only 4,000 of 5,000 connections could be opened")
	}
	return r, nil
}

func (f *fake) config(names ...string) *Config {
	f.rates = map[string]bool{}
	c := &Config{Rounds: 3, Seed: 1, Progress: cli.NewProgress(nil), Run: f.run, Floor: func() ([]floor.Row, error) {
		return []floor.Row{{Frames: 1, SendNs: 900, ReceiveNs: 400}, {Frames: 8, SendNs: 100}, {Frames: 32, SendNs: 20}}, nil
	}}
	for _, name := range names {
		c.Servers = append(c.Servers, adapter.Adapter{Name: name, Library: "lib/" + name, Less: "no " + name + " check"})
	}
	return c
}

func TestTheTableShowsWhatWasMeasuredAndWhatWasNot(t *testing.T) {
	f := &fake{}
	c := f.config("ours", "gws", "absent", "loser")
	c.Skip(adapter.Adapter{Name: "ws", Library: "npm ws"}, &adapter.Absent{Why: "npm is not installed"})
	r, err := c.Compare()
	if err != nil {
		t.Fatal(err)
	}
	r.Machine = result.Machine{CPU: "A CPU", CPUs: 2, Kernel: "6.1", Go: "go1.26", Commit: "0123456789abcdef"}
	if r.Pinned = true; r.Notes != nil {
		r.Notes = slices.DeleteFunc(r.Notes, func(n string) bool { return strings.HasPrefix(n, "not pinned") })
	}
	for name, write := range map[string]func(b *bytes.Buffer) error{
		"table.txt": func(b *bytes.Buffer) error { return r.Table(b) }, "peers.md": func(b *bytes.Buffer) error { return r.Markdown(b) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	dir := filepath.Join(t.TempDir(), "out")
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "peers.json")); err != nil || !strings.Contains(string(b), `"cpu_us_per_delivery": 1.1`) {
		t.Errorf("got %v, %.200s", err, b)
	}
}

func TestRunsInterleave(t *testing.T) {
	f := &fake{}
	if _, err := f.config("ours", "gws", "loser").Compare(); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, servers := range []string{"ours gws loser", "loser gws ours", "gws loser ours"} {
		for _, x := range []string{One, Burst, Rooms, Half, Echo, Idle} {
			for s := range strings.FieldsSeq(servers) {
				want = append(want, x+" "+s)
			}
		}
	}
	if d := cmp.Diff(want, f.order); d != "" {
		t.Error(d)
	}
	if len(f.rates) != 1 || !f.rates["6300/s"] {
		t.Errorf("latency was measured at %v, want one rate for all rounds: half of 101,010 deliveries/s to rooms of 8", f.rates)
	}
}

func TestWhatOursDidWrongIsTheVerdict(t *testing.T) {
	for i, c := range []struct {
		run  Run
		want int
	}{
		{Run{}, cli.OK}, {Run{Invalid: []string{"late"}, Exit: cli.Invalid}, cli.OK}, {Run{Violation: "1 lost", Exit: cli.Violated}, cli.Violated},
		{Run{Died: "signal", Exit: cli.ServerDied}, cli.ServerDied}, {Run{Error: "refused"}, cli.Invalid},
	} {
		r := Report{Servers: []Server{{Name: "ours", Runs: []Run{{}, c.run}}, {Name: "gws", Runs: []Run{{Violation: "2 lost", Exit: cli.Violated}}}}}
		if code := cli.Exit(&bytes.Buffer{}, "", r.Verdict()); code != c.want {
			t.Errorf("row %d: got exit %d, want %d", i, code, c.want)
		}
	}
	f := &fake{}
	_, err := f.config("absent", "gws").Compare()
	if code := cli.Exit(&bytes.Buffer{}, "", err); code != cli.Usage || !strings.Contains(fmt.Sprint(err), "its last output: no") {
		t.Errorf("our server cannot start: got exit %d, %v", code, err)
	}
}

func TestFiguresOfABusyMachineDoNotCount(t *testing.T) {
	found := &result.Result{Server: &result.Server{CPUPerDelivery: 2, BytesPerConn: 900}, Latency: result.Quantiles{Count: 2000, P50: 5000, P99: 9000}}
	run := figuresOf(found)
	if run.cost(run.CPUPerDelivery) != 2 || run.millis("p50") != 5 || run.millis("p99") != 9 {
		t.Errorf("got %+v", run)
	}
	found.Lateness = result.Quantiles{Count: 2000, P50: 1, P99: 1000}
	if run = figuresOf(found); run.millis("p50") != 5 || run.millis("p99") != 0 {
		t.Errorf("the generator was late at p99: got %+v", run)
	}
	found.Busy, found.Invalid = "the machine was busy", []string{"the machine was busy"}
	if run = figuresOf(found); run.cost(run.CPUPerDelivery) != 0 || run.millis("p50") != 0 || run.BytesPerConn != 900 {
		t.Errorf("the machine was busy: got %+v", run)
	}
}
