package versus

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
)

const goodTables = `tables:
  - title: most
    scenario: rooms
    set: {conns: 16, rooms: 8, rate: max, burst: 4}
    servers: [slow, fast, absent, loser]
    base: slow
    goals: [fast rate >= 5 x slow, loser rate >= 2 x slow]
  - title: idle
    set: {conns: 2, rooms: 1, rate: 40/s}
    servers: [slow, fast]
    base: slow
    goals: [fast p50 <= slow + 500us]
`

func fieldServers() []adapter.Adapter {
	return []adapter.Adapter{{Name: "slow", Library: "lib/slow"}, {Name: "fast", Library: "lib/fast", More: "order"},
		{Name: "absent", Library: "lib/absent"}, {Name: "loser", Library: "lib/loser"}}
}

func TestAMistakeInATableIsNamedWithItsLine(t *testing.T) {
	for _, row := range []struct{ old, new, want string }{
		{"title: most", "tilte: most", `f.yaml:2: tilte: unknown field; did you mean title? a table has title, scenario, set, nodes, servers, base, goals`},
		{"    servers: [slow, fast]\n", "", "a table needs a title and servers"},
		{"scenario: rooms", "scenario: nowhere", `f.yaml:3: scenario: unknown scenario "nowhere"`},
		{"conns: 16", "conns: many", "f.yaml:4: set: conns"},
		{"conns: 16", "conns: [16]", "f.yaml:4: conns: must be one plain value"},
		{"rooms: 8", "rooms: 17", "rooms"},
		{"scenario: rooms", "nodes: 0", "f.yaml:3: nodes: 0 is out of range; write at least 1"},
		{"scenario: rooms", "nodes: two", "f.yaml:3: "},
		{"conns: 16", "across: members, conns: 16", "across: members needs nodes: 2 or more"},
		{"scenario: rooms\n    set: {", "nodes: 2\n    set: {across: members, ", "f.yaml:2: slow has no beside command, which 2 servers need to be one system"},
		{"[slow, fast]", "[slow, nobody]", `there is no server "nobody"`},
		{"[slow, fast]", "[slow]", `"fast" is not one of the table's servers: slow`},
		{"base: slow", "base: nobody", `"nobody" is not one of the table's servers`},
		{">= 5 x", "> 5 x", "f.yaml:7: \"fast rate > 5 x slow\" is not a goal"},
		{"500us", "half", "invalid duration"},
		{goodTables, "tables: 5", "tables: must be a list"},
		{goodTables, "peers: []", "it has no tables"},
	} {
		_, err := parseTables("f.yaml", []byte(strings.Replace(goodTables, row.old, row.new, 1)), fieldServers())
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q in place of %q: got error %v, want %s", row.new, row.old, err, row.want)
		}
	}
}

func TestTheTablesOfThePeersAreWhole(t *testing.T) {
	const file = "../peers/redis.yaml"
	servers, err := adapter.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := LoadTables(file, servers)
	if err != nil || len(tables) != 7 {
		t.Fatalf("got %d tables, %v", len(tables), err)
	}
	for _, s := range servers {
		if !slices.ContainsFunc(tables, func(t Table) bool { return slices.Contains(t.Rows, s.Name) }) {
			t.Errorf("%s is in no table", s.Name)
		}
	}
}

// fieldRun returns a function in place of Spec.Run. It makes results with known
// figures, and records in order the names of the servers that were run.
func fieldRun(order *[]string) func(s runner.Spec) (*result.Result, error) {
	return func(s runner.Spec) (*result.Result, error) {
		name, closed := s.Adapter.Name, s.Scenario.Rate.Max
		*order = append(*order, name)
		nth := strings.Count(" "+strings.Join(*order, " ")+" ", " "+name+" ")
		r := &result.Result{Closed: closed, Server: &result.Server{CPUPerMessage: 40, BesidePerMessage: 20, PerCall: 1}}
		r.Proof.Received = 1000
		r.Latency.Count = 100_000
		r.Traffic.DeliveredRate, r.Latency.P50, r.Latency.P99 = 40_000, 150, 900
		if name == "fast" {
			r.Traffic.DeliveredRate, r.Latency.P50 = 400_000, 350+int64(nth)
			r.Server.PerCall = 31.9
		}
		switch {
		case name == "loser" && nth == 2:
			r.Proof.Lost, r.Exit = 7, cli.Violated
		case name == "slow" && !closed && nth%5 == 0: // a run about latency that is INVALID, so it is repeated
			r.Invalid, r.Exit, r.Latency.P50 = []string{"sends were late"}, cli.Invalid, 99_000
		case name == "fast" && closed && nth == 1:
			r.Invalid, r.Exit = []string{"the generator's thread was busy"}, cli.Invalid
		}
		return r, nil
	}
}

func fieldReport(t *testing.T, order *[]string) *FieldReport {
	t.Helper()
	tables, err := parseTables("f.yaml", []byte(goodTables), fieldServers())
	if err != nil {
		t.Fatal(err)
	}
	c := FieldConfig{Servers: fieldServers(), Tables: tables, Rounds: 3, Progress: cli.NewProgress(nil),
		Skipped: map[string]string{"absent": "redis-server is not installed"}, Run: fieldRun(order)}
	r, err := c.Compare()
	if err != nil {
		t.Fatal(err)
	}
	r.Machine = result.Machine{CPU: "A CPU", CPUs: 2, Kernel: "6.1", Go: "go1.26", Commit: "0123456789abcdef"}
	return r
}

func TestAFieldIsShownAsItWasMeasured(t *testing.T) {
	var order []string
	r := fieldReport(t, &order)
	for name, write := range map[string]func(b *bytes.Buffer) error{
		"field.txt": func(b *bytes.Buffer) error { return r.Table(b) }, "field.md": func(b *bytes.Buffer) error { return r.Markdown(b) },
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
	if code := cli.Exit(&bytes.Buffer{}, "", r.Verdict()); code != cli.Violated {
		t.Errorf("a row lost messages: got exit %d, want %d", code, cli.Violated)
	}
	if got, want := order[:3], []string{"slow", "fast", "loser"}; !slices.Equal(got, want) {
		t.Errorf("round 1 has %v, want %v", got, want)
	}
	if got, want := order[5:8], []string{"loser", "fast", "slow"}; !slices.Equal(got, want) {
		t.Errorf("round 2 has %v, want round 1 backwards: %v", got, want)
	}
}

func TestARunOfAFieldThatDidNotComeAboutIsNoFigure(t *testing.T) {
	tables, err := parseTables("f.yaml", []byte(goodTables), fieldServers())
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	run := fieldRun(&order)
	c := FieldConfig{Servers: fieldServers(), Tables: tables[1:], Rounds: 1, Quick: true, Progress: cli.NewProgress(nil),
		Run: func(s runner.Spec) (*result.Result, error) {
			if s.Adapter.Name == "slow" {
				return nil, errors.New("slow: the server ended at once")
			}
			return run(s)
		}}
	r, err := c.Compare()
	if err != nil {
		t.Fatal(err)
	}
	if code := cli.Exit(&bytes.Buffer{}, "", r.Verdict()); code != cli.Invalid || r.Tables[0].Goals[0].Found != nil {
		t.Errorf("got exit %d and the goal %v, want %d and none", code, r.Tables[0].Goals[0], cli.Invalid)
	}
}
