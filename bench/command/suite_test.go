package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
)

func TestMistakesOfTheCommandsThatCompareAreOneLineWithExit2(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct{ args, want string }{
		{"compare", "name two results, A and B, not 0"},
		{"compare a b c", "not 3"},
		{"compare none.json other.json", "none.json"},
		{"compare a b --threshold latency.p99<20ms", "not a ratio of B to A such as 1.05x"},
		{"duel a{port} rooms", "name two server commands and a scenario, not 2 arguments"},
		{"duel true false{port} rooms --out DIR", `A "true": write a server's command with {port}`},
		{"duel a{port} none.yaml:x rooms --out DIR", "B: "},
		{"duel a{port} b{port} rom --out DIR", `unknown scenario "rom"`},
		{"duel a{port} b{port} rooms --rounds 3 --out DIR", "add --quick"},
		{"duel a{port} b{port} rooms --rounds 1 --quick", "--rounds 1: write a value from 7 to 1000"},
		{"duel a{port} b{port} rooms --repeats -2", "--repeats -2"},
		{"duel a{port} b{port} rooms --server-cmd x{port}", "not defined"},
		{"duel a{port} b{port} rooms --conns many", `--conns: "many" is not a number`},
		{"duel false#{port} b{port} rooms --out DIR", "round 1, A: --server-cmd: the server ended at once"},
		{"max rooms", "add --until"},
		{"max --until p99<5ms", "name one scenario, not 0"},
		{"max rooms --until p98<5ms", "unknown figure"},
		{"max rooms --until p99<5", `"5" is not a time such as 20ms`},
		{"max rooms --until p99<5ms --rate 5/s", "--rate: max searches for the rate"},
		{"max rooms --until p99<5ms --from max", `--from "max": write a rate such as`},
		{"max rooms --until p99<5ms --from 5k/s --to 5k/s", "must be less than --to"},
		{"max rooms --until p99<5ms --duration 3h", "lower --to or --duration"},
		{"max rooms --until p99<5ms --url ws://127.0.0.1:1", "at 100/s: no server at 127.0.0.1:1"},
		{"suite", "name one suite, not 0: write one of smoke, full, million"},
		{"suite smok", `unknown suite "smok"`},
		{"suite none.yaml", "no such file"},
		{"suite smoke --only ech", `--only: "ech" is not in suite smoke: write one of echo, rooms`},
		{"suite smoke --invalid maybe", "write ok or fail"},
		{"suite smoke --conns many", `--conns: "many"`},
		{"suite smoke --threshold x<1", "unknown figure"},
		{"suite --list smok", `unknown suite "smok"`},
		{"suite --print smok", `unknown suite "smok"`},
	} {
		args := strings.Fields(c.args)
		for i := range args {
			args[i] = strings.NewReplacer("#", " ", "DIR", dir).Replace(args[i])
		}
		code, stdout, stderr := dotsbench(args...)
		if code != cli.Usage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q, want %q", c.args, code, stdout, stderr, c.want)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a folder was made")
	}
}

func TestEachCommandHasExamplesAndTheFieldsOfScenarios(t *testing.T) {
	for _, name := range []string{"suite", "duel", "max"} {
		code, out, _ := dotsbench(name, "--help")
		if code != cli.OK || strings.Count(out, "dotsbench "+name) < 2 || !strings.Contains(out, "--zipf-s") || !strings.Contains(out, "Exit: 0 pass") {
			t.Errorf("%s: exit %d, %s", name, code, out)
		}
	}
	if code, out, _ := dotsbench("compare", "--help"); code != cli.OK || strings.Count(out, "dotsbench compare") < 2 {
		t.Errorf("exit %d, %s", code, out)
	}
}

func TestAPrintedSuiteCanBeRun(t *testing.T) {
	_, text, _ := dotsbench("suite", "--print", "full")
	file := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := dotsbench("suite", file, "--url", "ws://127.0.0.1:1", "--only", "rooms", "--only", "echo", "--conns", "1k")
	if code != cli.Usage || !strings.Contains(stderr, "suite mine: rooms: no server at") || !strings.Contains(out, "not run") {
		t.Errorf("exit %d, %s%s", code, out, stderr)
	}
}

// A suite makes two real runs with the server of this test. Then compare
// compares their results.
func TestASuiteAndAComparisonOfRealRuns(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	url, dir := stub.Start(t, hub.Serve), filepath.Join(t.TempDir(), "out")
	code, out, stderr := dotsbench("suite", "smoke", "--only", "echo", "--only", "rooms", "--url", url, "--conns", "16", "--rooms", "4",
		"--duration", "1s", "--warmup", "100ms", "--settle", "5s", "--rate", "100/s", "--invalid", "ok", "--out", dir)
	// If the machine is busy with other tests, perhaps no run passes.
	if code != cli.OK && !strings.Contains(stderr, "no run passed") || !strings.Contains(out, "written to ") {
		t.Fatalf("exit %d, %s%s", code, out, stderr)
	}
	for _, name := range []string{"suite.json", "table.txt", "echo/result.json", "rooms/result.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	code, out, _ = dotsbench("compare", filepath.Join(dir, "echo"), filepath.Join(dir, "rooms", "result.json"))
	if code != cli.OK || !strings.Contains(out, "latency p99") || !strings.Contains(out, "WARNING the scenarios differ (echo, rooms)") {
		t.Errorf("exit %d, %s", code, out)
	}
}
