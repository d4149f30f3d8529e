package suite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/folder"
	"dotsconnect/bench/report"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
)

// The exit code of a suite is that of its worst run, in this order:
//
//	5  the server died in a run
//	4  the server broke a promise, such as the delivery of a message
//	2  the suite could not go on, for example because there was no server; the missing runs may be worse
//	1  a valid run missed a threshold
//	3  a run was INVALID: the generator or the machine was too busy
//	0  pass
//
// 3 is less severe than 1, because an INVALID run must not hide a run that
// missed a threshold. Config.InvalidOK forgives only 3, because an INVALID run
// is not evidence against the server. It forgives an INVALID run only if the
// run was made, the server delivered messages in it, and another run passed.
// (If a server accepts no connections, the run is not made.) An INVALID run
// still measures the server's CPU time and memory, so a threshold on CPU time
// or memory counts even in an INVALID run.
var severity = map[int]int{cli.OK: 0, cli.Invalid: 1, cli.Missed: 2, cli.Usage: 3, cli.Violated: 4, cli.ServerDied: 5}

// Config describes how to play a suite.
type Config struct {
	Suite     *Suite
	Spec      runner.Spec // for all runs; each run gets its own Scenario and additional Thresholds
	InvalidOK bool        // an INVALID run does not change the exit code; see severity
	Out       string
	Stdout    io.Writer
	Run       func(spec runner.Spec) (*result.Result, error) // makes a run; nil: Spec.Run
	Fits      func(conns int) error                          // returns an error if this machine cannot have conns connections; nil: a check of the limit of open files
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
	handled bool // the server delivered messages, or the run had none to deliver
}

// Play runs a suite and prints its table. It returns the verdict of the worst
// run as an error with an exit code, or nil.
func Play(cfg Config) error {
	if cfg.Run == nil {
		cfg.Run = runner.Spec.Run
	}
	if cfg.Fits == nil {
		cfg.Fits = cli.NeedDescriptors
	}
	rows, refused := make([]Row, 0, len(cfg.Suite.Runs)), false
	var unsaved error // the first error of writing files; the suite goes on, and its verdict does not change
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

// play makes one run. If the run fails, the row says so. The returned error
// means that a file could not be written.
func (cfg *Config) play(e Entry) (Row, error) {
	if lacks := e.lacks(&cfg.Spec); lacks != "" {
		return Row{Name: e.Name, Verdict: "skipped", Why: "needs " + lacks}, nil
	}
	// Do not skip a run because the machine is too small: a suite that skipped
	// all of its runs would pass.
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
	// Write each run at once, so that it is not lost if a later run fails.
	err = runner.Uninterrupted(func() error { return r.Write(filepath.Join(cfg.Out, e.Name), report.Files(r)...) })
	if err == nil {
		row.Folder = e.Name
	}
	return row, err
}

// share returns the number of connections that one generator process has.
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
		if !o.Met && o.NotJudged == "" && (r.Exit == cli.Missed || r.Exit == cli.Invalid) {
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

// say prints a line when a run is over, because suites take long and CI has no
// progress line.
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

// verdict returns the outcome of the worst run as an error, or nil if the suite
// passes.
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

// write writes table.txt and suite.json. suite.json comes last: a folder that
// has it is complete.
func (cfg *Config) write(rows []Row, exit int) error {
	if _, err := os.Stat(cfg.Out); cfg.Out == "" || err != nil {
		return nil // no run has made the folder, so do not make it now
	}
	for _, f := range []folder.File{
		{Name: "table.txt", Write: func(w io.Writer) error { return table(w, cfg.Suite, rows) }},
		{Name: "suite.json", Write: func(w io.Writer) error {
			return folder.JSON(w, map[string]any{"schema": 1, "program": "dotsbench suite", "suite": cfg.Suite.Name,
				"machine": result.ReadMachine(), "exit": exit, "runs": rows})
		}},
	} {
		var b bytes.Buffer
		err := f.Write(&b)
		if err == nil {
			err = folder.Replace(filepath.Join(cfg.Out, f.Name), b.Bytes())
		}
		if err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	_, _ = fmt.Fprintf(cfg.Stdout, "written to %s\n", cfg.Out)
	return nil
}
