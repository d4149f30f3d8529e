package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dotsconnect/bench/internal/cli"
)

// goodLines is the output file of a good run with 300 connections.
const goodLines = `{"source":"server","t":1.0,"data":{"level":"info","name":7}}
{"source":"lab","t":2.0,"event":"mark","name":"start","pairs":1,"server_rss_kb":100}
{"source":"lab","t":2.1,"event":"mark","name":"baseline","pairs":6,"server_rss_kb":120}
{"source":"generator","t":2.9,"data":{"phase":"connected","connections":300,"rooms":3,"seconds":1.5}}
{"source":"lab","t":3.0,"event":"mark","name":"connected","pairs":301,"server_bytes_per_conn":1400,"generator_bytes_per_conn":150,"kernel_bytes_per_conn":8000}
{"source":"lab","t":3.5,"event":"sample","name":"-","pairs":301}
{"source":"generator","t":3.9,"data":{"phase":"idle","connections":300,"rooms":3,"seconds":9,"heartbeats":300}}
{"source":"lab","t":4.0,"event":"mark","name":"idle","pairs":301,"server_bytes_per_conn":870,"generator_bytes_per_conn":140,"kernel_bytes_per_conn":8001}
{"source":"lab","t":5.0,"event":"mark","name":"broadcast","pairs":301,"server_bytes_per_conn":880,"generator_bytes_per_conn":141,"kernel_bytes_per_conn":8002}
{"source":"generator","t":5.1,"data":{"phase":"broadcast","connections":300,"rooms":3,"seconds":12,"complete":300,"took_seconds":1.5,"proof":{"lost":0,"doubled":0,"messages_sent":12,"deliveries_expected":1200,"deliveries_received":1200,"notes":[]}}}
{"source":"lab","event":"end","reason":"done","server_exit":0,"generator_exit":0,"t":6}
`

// runLab runs "scale lab" with another script in place of bench/scale-lab.sh.
// That script writes lines as its results and exits with status.
func runLab(t *testing.T, lines string, status int) (code int, out, errs string) {
	t.Helper()
	folder := t.TempDir()
	script, collected, result := filepath.Join(folder, "lab.sh"), filepath.Join(folder, "collected"), filepath.Join(folder, "deep", "out.jsonl")
	text := fmt.Sprintf("#!/bin/sh\n[ ! -s %s ] || cp %s %s\nexit %d\n", collected, collected, result, status)
	for name, content := range map[string]string{script: text, collected: lines} {
		if err := os.WriteFile(name, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	code = cli.Exit(&stderr, "scale", run([]string{"lab", "--script", script, "--out", result, "--conns", "300", "--room", "100"},
		&stdout, &stderr))
	return code, stdout.String(), stderr.String()
}

func TestTheTableOfAGoodRun(t *testing.T) {
	code, out, errs := runLab(t, goodLines, 0)
	if code != cli.OK || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	want := `
scale: 300 connections in rooms of 100, in a virtual machine with 1029M of memory
                             connected        idle   after broadcast
  connections held                 300         300               300
  server, user (RSS)             1,400         870               880  B a connection
  kernel, both ends              8,000       8,001             8,002  B a connection
  generator, user (RSS)            150         140               141  B a connection
  300 of 300 connections got every broadcast of their room: 1,200 of 1,200 deliveries, 0 lost, 0 doubled, 0 reordered, 0 foreign, 0 damaged
  300 connections sent a heartbeat during the idle phase; all results are in `
	if !strings.HasPrefix(out, want) {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestEachEndOfTheLabHasItsExitCodeAndSaysWhy(t *testing.T) {
	edit := func(old, with string) string {
		if !strings.Contains(goodLines, old) {
			t.Fatalf("no %q in the good lines", old)
		}
		return strings.ReplaceAll(goodLines, old, with)
	}
	for _, row := range []struct {
		name   string
		lines  string
		status int
		code   int
		want   string
	}{
		{"nothing written", "", 0, cli.Invalid, "no results"},
		{"not JSON", "{\n", 0, cli.Invalid, "line 1"},
		{"no broadcast", edit(`"phase":"broadcast"`, `"phase":"x"`), 0, cli.Invalid, "no line about the broadcast"},
		{"no mark", edit(`"name":"idle"`, `"name":"x"`), 0, cli.Invalid, `have no mark "idle"`},
		{"the kernel held fewer", edit(`"name":"broadcast","pairs":301`, `"name":"broadcast","pairs":300`), 0, cli.Violated, "had 299 of 300"},
		{"the generator held fewer", edit(`"broadcast","connections":300`, `"broadcast","connections":298`), 0, cli.Violated, "2 of 300 connections did not stay open"},
		{"lost", edit(`{"lost":0`, `{"lost":2`), 0, cli.Violated, "2 lost"},
		{"not all", edit(`"complete":300`, `"complete":299`), 0, cli.Violated, "1 of 300 connections did not get"},
		{"the generator says lost", goodLines, 4, cli.Violated, "promise"},
		{"the generator was too slow", goodLines, 3, cli.Invalid, "the run is invalid"},
		{"wrong flags", "", 100, cli.Usage, "wrong usage"},
		{"no kernel", "", 101, cli.Invalid, "a program or file is missing"},
		{"no boot", "", 102, cli.Invalid, "did not boot"},
		{"the server died", goodLines, 103, cli.ServerDied, "server ended early"},
		{"time limit", goodLines, 104, cli.Invalid, "--limit"},
		{"interrupted", "", 130, cli.Invalid, "status 130"},
	} {
		code, _, errs := runLab(t, row.lines, row.status)
		if code != row.code || !strings.Contains(errs, row.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit %d, want %d and %q in %q", row.name, code, row.code, row.want, errs)
		}
	}
}

func TestResultsOfAnEarlierRunDoNotCount(t *testing.T) {
	folder := t.TempDir()
	result := filepath.Join(folder, "out.jsonl")
	if err := os.WriteFile(result, []byte(goodLines), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := cli.Exit(&errs, "scale", run([]string{"lab", "--script", "/bin/true", "--out", result, "--conns", "300"}, &out, &errs))
	if code != cli.Invalid || out.Len() > 0 {
		t.Errorf("exit %d, %s%s", code, errs.String(), out.String())
	}
}

func TestSettingsGrowWithTheConnections(t *testing.T) {
	for _, row := range []struct {
		conns, memory string
		beat, limit   time.Duration
		age           string
	}{
		{"20000", "1317M", 10 * time.Second, 460 * time.Second, "--max-age=100s"},
		{"250000", "4687M", 125 * time.Second, 2300 * time.Second, "--max-age=625s"},
	} {
		o, err := parseLab([]string{"--conns", row.conns, "--generator", "gen"}, os.Stdout)
		if err != nil {
			t.Fatal(err)
		}
		line := " " + strings.Join(o.command(true), " ") + " "
		if o.memory != row.memory || o.beat() != row.beat || o.limit != row.limit || !strings.Contains(line, row.age) {
			t.Errorf("%s: memory %s, beat %v, limit %v, %s", row.conns, o.memory, o.beat(), o.limit, line)
		}
		if !strings.Contains(line, " --install ") || !strings.Contains(line, " -- gen generate ") {
			t.Errorf("got %s", line)
		}
	}
}

func TestWrongFlagsAreOneLine(t *testing.T) {
	for args, want := range map[string]string{
		"":                                    "write lab or generate",
		"boot":                                `unknown command "boot"`,
		"lab --conns 0":                       "between 1 and 2,000,000",
		"lab --conns many":                    "many",
		"lab --room 0":                        "--room",
		"lab --script ./none.sh --out x/y":    "none.sh",
		"lab more":                            `"more"`,
		"generate --messages 0":               "more than 0",
		"generate --conns 5 --url http://x:1": "ws://",
	} {
		args = strings.ReplaceAll(args, "x/y", filepath.Join(t.TempDir(), "y"))
		var out, errs bytes.Buffer
		code := cli.Exit(&errs, "scale", run(strings.Fields(args), &out, &errs))
		if code != cli.Usage || !strings.Contains(errs.String(), want) || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%q: exit %d, want %q in %q", args, code, want, errs.String())
		}
	}
	for _, args := range []string{"--help", "lab --help", "generate --help"} {
		var out, errs bytes.Buffer
		if code := cli.Exit(&errs, "scale", run(strings.Fields(args), &out, &errs)); code != cli.OK || !strings.Contains(out.String(), "Exit: 0 pass") {
			t.Errorf("%s: exit %d: %s", args, code, out.String())
		}
	}
}

// bench/scale-lab.sh reports wrong flags itself, before it boots a virtual
// machine.
func TestTheScriptRefusesWrongFlagsInOneLine(t *testing.T) {
	for args, want := range map[string]string{
		"--memory 4":               "wants a unit",
		"--memory x":               "wants a size",
		"--time-limit 5 -- a -- b": "at least 60",
		"--time-limit soon":        "not a number",
		"--frobnicate":             "unknown option",
		"-- server":                "give a server and a generator",
	} {
		cmd := exec.Command("../scale-lab.sh", strings.Fields(args)...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != labUsage || !strings.Contains(string(out), want) || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: exit %d, want %d and %q in %q", args, code, labUsage, want, out)
		}
	}
}

func TestARunThatNeverConnectedHasNoTable(t *testing.T) {
	before, _, _ := strings.Cut(goodLines, `{"source":"generator"`)
	code, out, _ := runLab(t, before, 104)
	if code != cli.Invalid || out != "" {
		t.Errorf("exit %d, %q", code, out)
	}
}
