package suite

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/scenario"
)

var update = flag.Bool("update", false, "rewrite testdata")

func TestEveryScenarioIsInFullAndInSmoke(t *testing.T) {
	if got, want := Names(), []string{"smoke", "full", "million"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, name := range Names() {
		s, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.About == "" || s.Name != name {
			t.Errorf("got %+v", s)
		}
		for _, scenario := range scenario.Names() {
			if name != "million" && !slices.ContainsFunc(s.Runs, func(e Entry) bool { return e.Scenario.Name == scenario }) {
				t.Errorf("scenario %s is not in suite %s: add it to files/%s.yaml", scenario, name, name)
			}
		}
	}
}

func TestSmokeTakesLessThan90Seconds(t *testing.T) {
	s, err := Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	var all time.Duration
	for _, e := range s.Runs {
		if e.lacks(&runner.Spec{ServerCmd: "x"}) == "" {
			all += e.Scenario.Warmup + e.Scenario.Duration + 2*time.Second // estimate for the start, the connections and the end
		}
	}
	if all > 90*time.Second {
		t.Errorf("got %v", all)
	}
}

func TestFullLeavesScenariosAsTheyAre(t *testing.T) {
	s, err := Load("full")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Runs {
		want, err := scenario.Load(e.Scenario.Name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, e.Scenario); d != "" {
			t.Errorf("%s: %s", e.Name, d)
		}
	}
}

func TestWhatIsSetForARunWinsOverWhatIsSetForAll(t *testing.T) {
	s, err := Parse("x.yaml", []byte(`
runs:
  - scenario: echo
    set: {conns: 30, rooms: 3}
    thresholds: [latency.p99<20ms, "server.rss<64M"]
  - {scenario: rooms, name: more, needs: a moon}
set: {duration: 3s, conns: 2k}
about: mine
`))
	if err != nil {
		t.Fatal(err)
	}
	echo, more := s.Runs[0], s.Runs[1]
	if echo.Name != "echo" || echo.Scenario.Conns != 30 || echo.Scenario.Duration != 3*time.Second || len(echo.Thresholds) != 2 {
		t.Errorf("got %+v", echo)
	}
	if more.Name != "more" || more.Scenario.Conns != 2000 || more.Needs != "a moon" || s.About != "mine" || s.Name != "x" {
		t.Errorf("got %+v", more)
	}
}

// The golden file has suite files with one mistake each, and the error message
// for each file.
func TestMistakesAreNamedWithLineAndField(t *testing.T) {
	const golden = "testdata/mistakes.txt"
	var b strings.Builder
	for _, text := range []string{
		"", "about: x", "runs: echo", "runs: []", "- scenario: echo", "rnus: []", "about: [a]", "set: 5\nruns: [{scenario: echo}]",
		"runs:\n  - echo", "runs:\n  - name: x", "runs:\n  - scenario: ecko", "runs:\n  - scenario: echo\n  - scenario: echo",
		"runs:\n  - scenario: echo\n    name: ../x", "runs:\n  - scenario: echo\n    rate: 5/s", "runs:\n  - scenario: none.yaml",
		"runs:\n  - scenario: echo\n    set:\n      conns: 5\n      rom: 5", "runs:\n  - scenario: echo\n    set: {rate: 5}",
		"runs:\n  - scenario: echo\n    set: {conns: 5}", "set:\n  conns: many\nruns:\n  - scenario: echo",
		"runs:\n  - scenario: echo\n    set: {conns: [1]}", "runs:\n  - scenario: echo\n    thresholds: latency.p99<5ms",
		"runs:\n  - scenario: echo\n    thresholds: [latency.p99<5]", "runs:\n  - scenario: echo\n    requires: [moon]",
		"runs:\n  - scenario:", "runs:\n  - scenario: 'x",
	} {
		_, err := Parse("x.yaml", []byte(text))
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "x.yaml:") {
			t.Errorf("%q: got error %v, want one line", text, err)
		}
		// Leave out the lists of scenarios and fields, because they change when
		// somebody adds a scenario or a field.
		told := regexp.MustCompile(`write one of (burst|about), .*`).ReplaceAllString(fmt.Sprint(err), "write one of …")
		fmt.Fprintf(&b, "%s\n=> %s\n\n", text, told)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Error(d)
	}
}

// play runs a suite with the runs a, b, c and so on. The functions in ends make
// the results of the runs.
func play(t *testing.T, cfg Config, ends ...func(r *result.Result) error) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cfg.Suite, cfg.Stdout, cfg.Fits = &Suite{Name: "test", Needs: "a larger machine"}, &out, func(n int) error {
		if n > 1000 {
			return errors.New("9000 connections need 9064 open files")
		}
		return nil
	}
	for i := range ends {
		e := Entry{Name: string(rune('a' + i)), Scenario: scenario.Default()}
		switch i {
		case 7:
			e.Needs = "a moon"
		case 8:
			e.Requires = []string{"server-cmd", "servers"}
		case 9:
			e.Scenario.Conns = 9000
		}
		cfg.Suite.Runs = append(cfg.Suite.Runs, e)
	}
	n := 0
	cfg.Run = func(spec runner.Spec) (*result.Result, error) {
		r := &result.Result{Schema: 1, Program: "dotsbench", Latency: result.Quantiles{Count: 9000, P50: 1000, P99: 2000},
			Traffic: result.Traffic{Sent: 10, Due: 10}, Server: &result.Server{CPUPerDelivery: 1.25},
			Proof: proof.Verdict{Notes: []string{}, Received: 80, Expected: 80}, Histograms: result.Histograms{Latency: result.NewHistogram()}}
		n++
		if err := ends[n-1](r); err != nil {
			return nil, err
		}
		r.Judge(spec.Thresholds)
		return r, nil
	}
	err := Play(cfg)
	return out.String(), err
}

func pass(*result.Result) error { return nil }
func busy(r *result.Result) error {
	r.Generator.Steal = 0.5
	return nil
}
func slow(r *result.Result) error {
	r.Latency.P99 = 900_000
	return nil
}
func loss(r *result.Result) error {
	r.Proof.Lost, r.Proof.Notes = 3, []string{"room 1: member 2 lost 3"}
	return nil
}
func death(r *result.Result) error {
	r.Died = "panic"
	return nil
}
func nobody(*result.Result) error { return cli.Failf(cli.Usage, "no server at 127.0.0.1:1") }

func threshold(t *testing.T, text string) []result.Threshold {
	t.Helper()
	th, err := result.ParseThreshold(text)
	if err != nil {
		t.Fatal(err)
	}
	return []result.Threshold{th}
}

func TestTheWorstRunDecides(t *testing.T) {
	type ends = []func(r *result.Result) error
	for _, c := range []struct {
		name  string
		ends  ends
		want  int
		where string
	}{
		{"all pass", ends{pass, pass}, cli.OK, ""},
		{"INVALID", ends{pass, busy}, cli.Invalid, "b: run invalid"},
		{"a miss counts more than INVALID", ends{busy, slow, busy}, cli.Missed, "b: missed latency.p99<500ms"},
		{"no server counts more than a miss", ends{slow, nobody, pass}, cli.Usage, "b: no server"},
		{"a loss counts more than that", ends{loss, nobody}, cli.Violated, "a: delivery violation: room 1: member 2 lost 3"},
		{"a death counts most", ends{loss, slow, death, busy}, cli.ServerDied, "c: the server died: panic"},
	} {
		out, err := play(t, Config{Spec: runner.Spec{Thresholds: threshold(t, "latency.p99<500ms")}}, c.ends...)
		if exit := cli.Exit(&bytes.Buffer{}, "", err); exit != c.want || err != nil && !strings.Contains(err.Error(), "suite test: "+c.where) {
			t.Errorf("%s: exit %d, %v\n%s", c.name, exit, err, out)
		}
		// The suite stops after a run that found no server, because the next
		// run would not find one either.
		if c.name == "no server counts more than a miss" && !strings.Contains(out, "not run") {
			t.Errorf("got %s", out)
		}
	}
}

func TestInvalidMayBeForgivenAndNothingElse(t *testing.T) {
	ok := Config{InvalidOK: true}
	if out, err := play(t, ok, busy, pass); err != nil || !strings.Contains(out, "a: INVALID: run invalid: other machines") || !strings.Contains(out, "(2.00 ms)") {
		t.Errorf("got %v\n%s", err, out)
	}
	both := func(r *result.Result) error { return errors.Join(busy(r), loss(r)) }
	if _, err := play(t, ok, both); cli.Exit(&bytes.Buffer{}, "", err) != cli.Violated {
		t.Errorf("got %v", err)
	}
	// An INVALID run still measures the CPU time of the server, so this
	// threshold counts.
	ok.Spec.Thresholds = threshold(t, "server.cpu_us_per_delivery<1")
	if out, err := play(t, ok, busy); cli.Exit(&bytes.Buffer{}, "", err) != cli.Missed || !strings.Contains(out, "counts although the run is INVALID") {
		t.Errorf("got %v\n%s", err, out)
	}
	// A threshold on a latency does not count in an INVALID run. The suite
	// fails because no run passed.
	ok.Spec.Thresholds = threshold(t, "latency.p99<1us")
	if _, err := play(t, ok, busy); cli.Exit(&bytes.Buffer{}, "", err) != cli.Invalid || !strings.Contains(err.Error(), "no run passed") {
		t.Errorf("got %v", err)
	}
}

// InvalidOK forgives neither a run that could not be made nor a run without a
// single delivery.
func TestWhatIsNoRunIsNotForgiven(t *testing.T) {
	refused := func(*result.Result) error { return cli.Failf(cli.Invalid, "only 0 of 100 connections could be opened") }
	silent := func(r *result.Result) error {
		r.Proof.Received, r.Proof.Expected, r.Traffic.Sent = 0, 0, 0
		return busy(r)
	}
	for name, end := range map[string]func(*result.Result) error{"an error": refused, "no delivery": silent} {
		if out, err := play(t, Config{InvalidOK: true}, pass, end); cli.Exit(&bytes.Buffer{}, "", err) != cli.Invalid {
			t.Errorf("%s: got %v\n%s", name, err, out)
		}
	}
	unasked := func(r *result.Result) error {
		r.Traffic.Due = 0
		return silent(r)
	}
	if out, err := play(t, Config{InvalidOK: true}, pass, unasked); err != nil {
		t.Errorf("a run without messages: got %v\n%s", err, out)
	}
}

func TestARestartNeedsOneServerAndOneGenerator(t *testing.T) {
	e := Entry{Requires: []string{"server-cmd"}}
	for _, c := range []struct {
		spec runner.Spec
		met  bool
	}{
		{runner.Spec{ServerCmd: "x{port}", Servers: 1, Procs: 1}, true},
		{runner.Spec{Adapter: &adapter.Adapter{}}, false},
		{runner.Spec{ServerCmd: "x{port}", Servers: 2}, false},
		{runner.Spec{ServerCmd: "x{port}", Procs: 2}, false},
		{runner.Spec{ServerCmd: "x{port}", Workers: []string{"a:1"}}, false},
	} {
		if lacks := e.lacks(&c.spec); (lacks == "") != c.met {
			t.Errorf("%+v: lacks %q", c.spec, lacks)
		}
	}
}

func TestWhatCannotBeWrittenDoesNotHideTheVerdict(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	block := func(r *result.Result) error {
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return loss(r)
	}
	out, err := play(t, Config{Out: dir}, block, pass)
	if cli.Exit(&bytes.Buffer{}, "", err) != cli.Violated || !strings.Contains(err.Error(), "--out: ") || !strings.Contains(out, "b: pass") {
		t.Errorf("got %v\n%s", err, out)
	}
}

func TestWhatCannotBeRunIsSaidWithItsReason(t *testing.T) {
	out, err := play(t, Config{}, pass, pass, pass, pass, pass, pass, pass, pass, pass, pass)
	if cli.Exit(&bytes.Buffer{}, "", err) != cli.Invalid {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"h: skipped: needs a moon\n", "i: skipped: needs --server-cmd (the run restarts the server), without --servers, --procs and --workers; two servers",
		"j: INVALID: 9000 connections need 9064 open files\n", "suite test needs a larger machine\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	if _, err := play(t, Config{InvalidOK: true}, pass, pass, pass, pass, pass, pass, pass, pass, pass, pass); cli.Exit(&bytes.Buffer{}, "", err) != cli.Invalid {
		t.Errorf("got %v", err)
	}
	for _, e := range []Entry{{Name: "a", Needs: "a moon"}, {Name: "a", Scenario: scenario.Default()}} {
		var quiet bytes.Buffer
		nothing := Config{Suite: &Suite{Name: "none", Runs: []Entry{e}}, Stdout: &quiet, InvalidOK: true,
			Fits: func(int) error { return errors.New("too many") }}
		if err := Play(nothing); err == nil || !strings.Contains(err.Error(), "suite none: no run was made; a: ") {
			t.Errorf("a suite that ran nothing passed: %v", err)
		}
	}
}

func TestGeneratorsShareTheConnections(t *testing.T) {
	for _, c := range []struct {
		spec runner.Spec
		want int
	}{{runner.Spec{}, 1000}, {runner.Spec{Procs: 3}, 334}, {runner.Spec{Workers: []string{"a:1", "b:1"}}, 500}} {
		if got := share(1000, &c.spec); got != c.want {
			t.Errorf("%+v: got %d, want %d", c.spec, got, c.want)
		}
	}
}

func TestTheFolderHasEachRunAndTheSummary(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := play(t, Config{Out: dir}, pass, loss); cli.Exit(&bytes.Buffer{}, "", err) != cli.Violated {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "suite.json"))
	var s struct {
		Exit int
		Runs []Row
	}
	if err != nil || json.Unmarshal(text, &s) != nil || s.Exit != cli.Violated || len(s.Runs) != 2 || s.Runs[1].Wrong != 3 || s.Runs[1].Folder != "b" {
		t.Errorf("got %v, %s", err, text)
	}
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"a", "b", "suite.json", "table.txt"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	other := filepath.Join(t.TempDir(), "out")
	if _, err := play(t, Config{Out: other}, nobody); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("a folder was made although no run was")
	}
}
