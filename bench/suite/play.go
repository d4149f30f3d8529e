package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/report"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
)

// The exit code of a suite is that of its worst run, in this order:
//
//	5  the server died: it served nobody
//	4  a promise was broken: the server runs, but delivers wrongly
//	2  the suite could not go on (no server): the runs that were not made may be worse
//	1  a valid run missed a threshold
//	3  a run proves nothing, because of the generator or the machine
//	0  pass
//
// 3 comes after 1 although its number is larger, because a run that proves
// nothing must not hide a run that proves a miss. Config.InvalidOK forgives only
// 3, since it is no evidence against the server, and only if the run happened,
// the server did its work in it, and another run passed. A server that accepts
// no connection makes no run. A threshold on the server's own CPU or memory,
// which an INVALID run still measures, counts there too.
var severity = map[int]int{cli.OK: 0, cli.Invalid: 1, cli.Missed: 2, cli.Usage: 3, cli.Violated: 4, cli.ServerDied: 5}

// Config describes how to play a suite.
type Config struct {
	Suite     *Suite
	Spec      runner.Spec // for all runs; the suite sets Scenario, and adds its own Thresholds
	InvalidOK bool        // INVALID is printed, but does not count
	Out       string
	Stdout    io.Writer
	Run       func(spec runner.Spec) (*result.Result, error) // nil: a real run
	Fits      func(conns int) error                          // nil: the limit of open files
}

// Row is the outcome of one run.
type Row struct {
	Name     string  `json:"name"`
	Verdict  string  `json:"verdict"` // pass, MISSED, INVALID, VIOLATION, DIED, ERROR, skipped, not run
	Exit     int     `json:"exit"`
	Why      string  `json:"why,omitempty"`
	P50      int64   `json:"p50_us"`
	P99      int64   `json:"p99_us"`
	CPU      float64 `json:"cpu_us_per_delivery"`
	Proved   int64   `json:"deliveries_proved"`
	Expected int64   `json:"deliveries_expected"`
	Wrong    int64   `json:"violations"`
	Folder   string  `json:"folder,omitempty"`
	Took     float64 `json:"seconds"`

	ran     bool
	handled bool // the server did its work, whatever the times were
}

// Play runs a suite, prints its table and returns its verdict with its exit
// code.
func Play(cfg Config) error {
	if cfg.Run == nil {
		cfg.Run = runner.Spec.Run
	}
	if cfg.Fits == nil {
		cfg.Fits = cli.NeedDescriptors
	}
	rows, refused := make([]Row, 0, len(cfg.Suite.Runs)), false
	var unsaved error // the first write error; the runs go on, and the verdict stands
	for i, e := range cfg.Suite.Runs {
		row, err := cfg.play(e)
		if unsaved == nil {
			unsaved = err
		}
		refused = refused || row.Verdict == "INVALID" && !row.ran
		rows = append(rows, row)
		cfg.say(row)
		if row.Exit == cli.Usage {
			for _, e := range cfg.Suite.Runs[i+1:] {
				rows = append(rows, Row{Name: e.Name, Verdict: "not run"})
			}
			break
		}
	}
	if err := table(cfg.Stdout, cfg.Suite, rows); err != nil {
		return err
	}
	if refused && cfg.Suite.Needs != "" {
		_, _ = fmt.Fprintf(cfg.Stdout, "suite %s needs %s\n", cfg.Suite.Name, cfg.Suite.Needs)
	}
	verdict := cfg.verdict(rows)
	if unsaved == nil {
		unsaved = cfg.write(rows, cli.Exit(io.Discard, "", verdict))
	}
	return errors.Join(verdict, unsaved)
}

// play makes one run. It returns only errors of writing files.
func (cfg *Config) play(e Entry) (Row, error) {
	if lacks := e.lacks(&cfg.Spec); lacks != "" {
		return Row{Name: e.Name, Verdict: "skipped", Why: "needs " + lacks}, nil
	}
	// A machine that is too small is not a reason to skip: a suite that ran nothing would pass.
	if err := cfg.Fits(share(e.Scenario.Conns, &cfg.Spec)); err != nil {
		return Row{Name: e.Name, Verdict: "INVALID", Exit: cli.Invalid, Why: err.Error()}, nil
	}
	spec := cfg.Spec
	spec.Scenario = e.Scenario
	spec.Thresholds = append(append([]result.Threshold{}, e.Thresholds...), cfg.Spec.Thresholds...)
	begin := time.Now()
	r, err := cfg.Run(spec)
	if err != nil {
		exit := cli.Exit(io.Discard, "", err)
		return Row{Name: e.Name, Verdict: word(exit), Exit: exit, Why: err.Error(), Took: time.Since(begin).Seconds(), ran: true}, nil
	}
	row := rowOf(e.Name, r)
	row.Took = time.Since(begin).Seconds()
	if cfg.Out == "" {
		return row, nil
	}
	// A long suite writes each run at once, so that the runs so far are not lost.
	err = runner.Uninterrupted(func() error { return r.Write(filepath.Join(cfg.Out, e.Name), report.Files(r)...) })
	if err == nil {
		row.Folder = e.Name
	}
	return row, err
}

// share is how many of the connections one generator process holds.
func share(conns int, spec *runner.Spec) int {
	processes := max(spec.Procs, 1)
	if len(spec.Workers) > 0 {
		processes = len(spec.Workers)
	}
	return (conns + processes - 1) / processes
}

func rowOf(name string, r *result.Result) Row {
	row := Row{Name: name, Exit: r.Exit, P50: r.Latency.P50, P99: r.Latency.P99,
		Proved: r.Proof.Received, Expected: r.Proof.Expected, Wrong: r.Proof.Sum(), ran: true,
		handled: r.Proof.Received > 0 || r.Traffic.Due == 0}
	if r.Server != nil {
		row.CPU = r.Server.CPUPerDelivery
	}
	if err := runner.Verdict(r); err != nil {
		row.Why = err.Error()
	}
	var missed []string
	for _, o := range r.Thresholds {
		if !o.Met && (r.Exit == cli.Missed || r.Exit == cli.Invalid && strings.HasPrefix(o.Threshold, "server.")) {
			missed = append(missed, o.Threshold)
		}
	}
	if len(missed) > 0 {
		row.Exit, row.Why = cli.Missed, "missed "+strings.Join(missed, ", ")
		if len(r.Invalid) > 0 {
			row.Why += " (this counts although the run is INVALID)"
		}
	}
	row.Verdict = word(row.Exit)
	return row
}

func word(exit int) string {
	return map[int]string{cli.OK: "pass", cli.Missed: "MISSED", cli.Usage: "ERROR", cli.Invalid: "INVALID",
		cli.Violated: "VIOLATION", cli.ServerDied: "DIED"}[exit]
}

// say reports that a run is over: suites take long, and CI shows no progress
// line.
func (cfg *Config) say(row Row) {
	if cfg.Spec.Progress != nil {
		cfg.Spec.Progress.Clear()
	}
	text := row.Name + ": " + row.Verdict
	if row.ran {
		text += fmt.Sprintf(" in %.1f s", row.Took)
	}
	_, _ = fmt.Fprintln(cfg.Stdout, text)
}

// verdict returns the worst of all runs as an error.
func (cfg *Config) verdict(rows []Row) error {
	worst, ran, passed := Row{}, false, false
	for _, row := range rows {
		ran = ran || row.ran
		passed = passed || row.ran && row.Exit == cli.OK
		if row.Exit == cli.Invalid && cfg.InvalidOK && row.handled {
			continue
		}
		if severity[row.Exit] > severity[worst.Exit] {
			worst = row
		}
	}
	switch {
	case !ran && len(rows) > 0:
		return cli.Failf(cli.Invalid, "suite %s: no run was made; %s: %s", cfg.Suite.Name, rows[0].Name, rows[0].Why)
	case worst.Exit == cli.OK && !passed:
		return cli.Failf(cli.Invalid, "suite %s: no run passed", cfg.Suite.Name)
	case worst.Exit == cli.OK:
		return nil
	}
	return cli.Failf(worst.Exit, "suite %s: %s: %s", cfg.Suite.Name, worst.Name, worst.Why)
}

// write completes the folder. suite.json is written last, so the folder is
// complete if it has one.
func (cfg *Config) write(rows []Row, exit int) error {
	if _, err := os.Stat(cfg.Out); cfg.Out == "" || err != nil {
		return nil // no run was made, so no folder is left behind
	}
	text, err := json.MarshalIndent(map[string]any{"schema": 1, "program": "dotsbench suite", "suite": cfg.Suite.Name,
		"machine": result.ReadMachine(), "exit": exit, "runs": rows}, "", "  ")
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	var b strings.Builder
	if err := table(&b, cfg.Suite, rows); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	for _, f := range []struct{ name, text string }{{"table.txt", b.String()}, {"suite.json", string(text) + "\n"}} {
		temp := filepath.Join(cfg.Out, "."+f.name)
		if err := os.WriteFile(temp, []byte(f.text), 0o644); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		if err := os.Rename(temp, filepath.Join(cfg.Out, f.name)); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	_, _ = fmt.Fprintf(cfg.Stdout, "written to %s\n", cfg.Out)
	return nil
}
