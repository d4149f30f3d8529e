package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/folder"
	"dotsconnect/bench/report"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/scenario"
)

const runAbout = `run: one run of a scenario.

  dotsbench run rooms --url ws://127.0.0.1:8000 --server-pid 4711
  dotsbench run rooms --server-cmd "dotsd --listen 127.0.0.1:{port} --admin=" --threshold 'latency.p99<20ms' --out results/rooms
  dotsbench run rooms --adapter bench/peers/peers.yaml:gws --pin
  dotsbench run --print rooms > talk.yaml; dotsbench run talk.yaml --conns 2k

dotsbench sends on a schedule that never waits for the server. The latency is the time from the moment at which a message was
due until it arrived at a receiver. A proof at each receiver checks that every message arrived once, in order, and from its
room. If the generator or the machine was the bottleneck, the run is INVALID: its rates and latencies do not describe the server.`

// list is the value of a flag that can be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ", ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// runFlags has the flags for the scenario, the server and the generator. All
// commands that make runs use it, so a flag has the same meaning in all of
// them.
type runFlags struct {
	spec       runner.Spec
	given      map[string]string // by name of a scenario field: the text that its flag was given
	adapter    string
	source     string
	pids       string
	workers    string
	thresholds list
	servers    bool // server was called, so the command has the flags for servers
}

// server adds the flags that say which server to use.
func (f *runFlags) server(fs *flag.FlagSet) {
	f.servers = true
	fs.StringVar(&f.spec.URL, "url", "", "`ws://HOST:PORT[/PATH]`, {room} in PATH stands for the room (default ws://127.0.0.1:8000/ws/chat/{room}/)")
	fs.StringVar(&f.spec.ServerCmd, "server-cmd", "", "`COMMAND` that starts the server, with {port} and optionally {admin}; then only PATH of --url is used")
	fs.StringVar(&f.spec.Frames.Receive, "receive", "", "`TEMPLATE` of the message that members get, with {payload}, {room} and {number} (digits); every byte is compared with it (default {\"message\":\"{payload}\"})")
	fs.StringVar(&f.adapter, "adapter", "", "`FILE[:NAME]` of another server to build, start and measure, such as bench/peers/peers.yaml:gws")
	fs.IntVar(&f.spec.Servers, "servers", 1, "`N` servers, each started by --server-cmd or --adapter")
	fs.StringVar(&f.pids, "server-pid", "", "process `ID` of the server, to measure its CPU, memory and descriptors; for several servers in --url, one ID each, with commas")
	fs.StringVar(&f.spec.Admin, "admin", "", "`URL` of a Go server's /debug/pprof/, to read its collections and goroutines; not needed if --server-cmd has {admin}")
	fs.StringVar(&f.spec.HurtCmd, "hurt-cmd", "", "`COMMAND` that makes a fault, for scenarios with hurt and heal")
	fs.StringVar(&f.spec.HealCmd, "heal-cmd", "", "`COMMAND` that ends the fault")
}

// generator adds the flags that configure the generator.
func (f *runFlags) generator(fs *flag.FlagSet) {
	fs.BoolVar(&f.spec.Pin, "pin", false, "keep the server on the first CPU and the generator on the others; a single generator then polls for events and never sleeps; with --procs or --workers, generators sleep")
	fs.StringVar(&f.spec.Spin, "spin", runner.SpinAuto, "`auto|yes|no`: the generator polls for events without sleeping, which takes a CPU but makes it much less late; auto: if a CPU is free")
	fs.IntVar(&f.spec.Procs, "procs", 1, "`N` generators on this machine, whose histograms are merged; with --workers they run in addition to the workers, and 1 means no generator on this machine")
	fs.StringVar(&f.workers, "workers", "", "`HOST:PORT,…` of generators on other machines, each started there with: dotsbench worker --listen :PORT")
	fs.StringVar(&f.source, "source", "", "`NETWORK` such as 127.0.0.0/24: the connections use its addresses as their source")
}

// fields adds a flag for each field of a scenario.
func (f *runFlags) fields(fs *flag.FlagSet) {
	f.given = map[string]string{}
	for _, field := range scenario.Fields() {
		fs.Func(field.Name, fmt.Sprintf("%s; `VALUE` is %s", field.About, field.Takes),
			func(text string) error { f.given[field.Name] = text; return nil })
	}
}

// threshold adds the flag --threshold.
func (f *runFlags) threshold(fs *flag.FlagSet) {
	fs.Var(&f.thresholds, "threshold", "`FIGURE<VALUE` that must hold, such as latency.p99<20ms or server.cpu_us_per_delivery<1.5; can be repeated")
}

// complete loads the scenario with this name, changes it as the flags say, and
// fills in spec from all other flags. An empty name means that the caller sets
// the scenario.
func (f *runFlags) complete(name string) error {
	var err error
	if name != "" {
		if f.spec.Scenario, err = scenario.Load(name); err != nil {
			return cli.Failf(cli.Usage, "%w", err)
		}
		if err := f.change(&f.spec.Scenario); err != nil {
			return err
		}
	}
	for _, text := range f.thresholds {
		if err := checkNumber(text); err != nil {
			return err
		}
		t, err := result.ParseThreshold(text)
		if err != nil {
			return cli.Failf(cli.Usage, "--%w", err)
		}
		f.spec.Thresholds = append(f.spec.Thresholds, t)
	}
	if f.source != "" {
		if f.spec.Source, err = netip.ParsePrefix(f.source); err != nil {
			return cli.Failf(cli.Usage, "--source %q: write a network such as 127.0.0.0/24", f.source)
		}
	}
	if err := f.findAdapter(); err != nil {
		return err
	}
	if f.workers != "" {
		f.spec.Workers = strings.Split(f.workers, ",")
		for _, address := range f.spec.Workers {
			if err := cli.CheckAddress(address); err != nil {
				return cli.Failf(cli.Usage, "--workers: %w", err)
			}
		}
	}
	if f.pids != "" {
		if f.spec.Pids, err = runner.ParsePids(f.pids); err != nil {
			return cli.Failf(cli.Usage, "--server-pid %q: %w", f.pids, err)
		}
	}
	return f.check(name != "")
}

func (f *runFlags) findAdapter() error {
	if f.adapter == "" {
		return nil
	}
	if f.spec.ServerCmd != "" || f.pids != "" || f.spec.URL != "" || f.spec.Frames.Receive != "" {
		return cli.Failf(cli.Usage, "--adapter excludes --url, --server-cmd, --server-pid and --receive: the adapter replaces them")
	}
	a, err := adapter.Find(f.adapter)
	if err != nil {
		return cli.Failf(cli.Usage, "--adapter: %w", err)
	}
	f.spec.Adapter = &a
	return nil
}

// change sets the fields of a scenario for which flags were given, and
// validates the scenario.
func (f *runFlags) change(s *scenario.Scenario) error {
	for _, field := range scenario.Fields() {
		if text, ok := f.given[field.Name]; ok {
			if err := s.Set(field.Name, text); err != nil {
				return cli.Failf(cli.Usage, "--%w", err)
			}
		}
	}
	if err := s.Validate(); err != nil {
		return cli.Failf(cli.Usage, "%w", err)
	}
	return nil
}

// oneScenario returns the single argument of a command, which names a scenario.
func oneScenario(words []string) (string, error) {
	if len(words) != 1 {
		return "", cli.Failf(cli.Usage, "name one scenario, not %d: write one of %s (see dotsbench run --list)",
			len(words), strings.Join(scenario.Names(), ", "))
	}
	return words[0], nil
}

type options struct {
	runFlags
	out, print string
	invalid    string
	list       bool
}

func runCommand(args []string, stdout, stderr io.Writer) error {
	o, err := parseRun(args, stdout)
	switch {
	case err != nil:
		return err
	case o.list:
		return printList(stdout)
	case o.print != "":
		text, err := scenario.Text(o.print)
		if err != nil {
			return cli.Failf(cli.Usage, "%w", err)
		}
		_, err = stdout.Write(text)
		return err
	}
	return o.run(stdout, stderr)
}

func parseRun(args []string, stdout io.Writer) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	o.server(fs)
	o.generator(fs)
	o.threshold(fs)
	fs.StringVar(&o.out, "out", "", "create `DIR` with report.html, result.json, metrics.prom, latency.hlog, seconds.csv, bench.txt and table.txt")
	fs.StringVar(&o.invalid, "invalid", "", "`ok`: exit 0 if the only fault is that the run is INVALID or that a threshold cannot be judged")
	fs.BoolVar(&o.list, "list", false, "list the scenarios")
	fs.StringVar(&o.print, "print", "", "print the scenario `NAME`, as a file to copy and change")
	o.fields(fs)
	words, err := cli.ParseWords(fs, args, stdout, runAbout)
	if err != nil || o.list || o.print != "" {
		return o, err
	}
	name, err := oneScenario(words)
	if err != nil {
		return nil, err
	}
	if o.invalid != "" && o.invalid != "ok" {
		return nil, cli.Failf(cli.Usage, "--invalid %q: write ok", o.invalid)
	}
	o.spec.InvalidOK = o.invalid == "ok"
	if err := o.complete(name); err != nil {
		return nil, err
	}
	return o, checkOut(o.out)
}

// checkOut checks before a run that the folder of --out can be created.
func checkOut(dir string) error {
	if dir == "" {
		return nil
	}
	return folder.Check(dir)
}

func printList(w io.Writer) error {
	for _, name := range scenario.Names() {
		s, err := scenario.Load(name)
		if err != nil {
			return err
		}
		about := s.About
		if s.Needs != "" {
			about += "; needs " + s.Needs
		}
		_, _ = fmt.Fprintf(w, "%-18s %s\n", name, about)
	}
	return nil
}

func (o *options) run(stdout, stderr io.Writer) error {
	o.spec.Progress = cli.NewProgress(stderr)
	r, err := o.spec.Run()
	if err != nil {
		return err
	}
	return o.report(r, stdout)
}

// report prints the table of a run and writes the files of --out. It returns
// the verdict as an error. If the files cannot be written, that error is joined
// to the verdict, whose exit code still counts.
func (o *options) report(r *result.Result, stdout io.Writer) error {
	if err := r.Table(stdout); err != nil {
		return err
	}
	return errors.Join(runner.Verdict(r), save(o.out, "", stdout, func() error { return r.Write(o.out, report.Files(r)...) }))
}

// save calls write to write the folder of --out, and prints the name of the
// folder. It does nothing without --out.
func save(out, before string, stdout io.Writer, write func() error) error {
	if out == "" {
		return nil
	}
	err := runner.Uninterrupted(func() error {
		if err := folder.MakePlace(out); err != nil {
			return err
		}
		return write()
	})
	if err == nil {
		_, _ = fmt.Fprintf(stdout, "%swritten to %s\n", before, out)
	}
	return err
}
