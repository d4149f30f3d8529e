package command

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/scenario"
)

const runAbout = `run: one run of a scenario.

  dotsbench run rooms --url ws://127.0.0.1:8000 --server-pid 4711
  dotsbench run rooms --server-cmd "dotsd --listen 127.0.0.1:{port}" --threshold 'latency.p99<20ms' --out results/rooms
  dotsbench run --print rooms > mine.yaml; dotsbench run mine.yaml --conns 2k

Messages are sent by a schedule that never waits for the server, and latency counts from the time at which a message
should have been sent to its arrival at each receiver. Each receiver proves exactly once, in order, nothing foreign.
A run whose generator or machine was the bottleneck is INVALID: its rates and latencies prove nothing.`

// list is a flag that can be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ", ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

type options struct {
	spec       runner.Spec
	out, print string
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
	fs.StringVar(&o.spec.URL, "url", "", "`ws://HOST:PORT[/PATH]`, {room} in PATH stands for the room (ws://127.0.0.1:8000/ws/chat/{room}/)")
	fs.BoolVar(&o.spec.Pin, "pin", false, "keep the server on the first CPU and the generator on the others")
	fs.StringVar(&o.spec.ServerCmd, "server-cmd", "", "`COMMAND` that starts the server, with {port} and perhaps {admin}; of --url only PATH counts then")
	fs.IntVar(&o.spec.Pid, "server-pid", 0, "process `ID` of the server, whose CPU, memory and descriptors are then measured")
	fs.StringVar(&o.out, "out", "", "`DIR` to make, with result.json, latency.hlog, seconds.csv, bench.txt and table.txt")
	fs.BoolVar(&o.list, "list", false, "show the scenarios")
	fs.StringVar(&o.print, "print", "", "print the scenario `NAME`, to copy and change")
	source := fs.String("source", "", "`NETWORK` such as 127.0.0.0/24 whose addresses connections come from")
	var thresholds list
	fs.Var(&thresholds, "threshold", "`FIGURE<VALUE` that must hold, as latency.p99<20ms or server.cpu_us_per_delivery<1.5; can be repeated")
	given := map[string]string{}
	for _, f := range scenario.Fields() {
		fs.Func(f.Name, fmt.Sprintf("%s; `VALUE` is %s", f.About, f.Takes), func(text string) error { given[f.Name] = text; return nil })
	}
	words, err := cli.ParseWords(fs, args, stdout, runAbout)
	if err != nil || o.list || o.print != "" {
		return o, err
	}
	if len(words) != 1 {
		return nil, cli.Failf(cli.Usage, "want one scenario, got %d: there are %s (see --list)", len(words), strings.Join(scenario.Names(), ", "))
	}
	return o, o.complete(words[0], given, *source, thresholds)
}

// complete reads what the flags named.
func (o *options) complete(name string, given map[string]string, source string, thresholds []string) error {
	var err error
	if o.spec.Scenario, err = scenario.Load(name); err != nil {
		return cli.Failf(cli.Usage, "%w", err)
	}
	for _, f := range scenario.Fields() {
		if text, ok := given[f.Name]; ok {
			if err := o.spec.Scenario.Set(f.Name, text); err != nil {
				return cli.Failf(cli.Usage, "--%w", err)
			}
		}
	}
	if err := o.spec.Scenario.Validate(); err != nil {
		return cli.Failf(cli.Usage, "%w", err)
	}
	for _, text := range thresholds {
		t, err := result.ParseThreshold(text)
		if err != nil {
			return cli.Failf(cli.Usage, "--%w", err)
		}
		o.spec.Thresholds = append(o.spec.Thresholds, t)
	}
	if source != "" {
		if o.spec.Source, err = netip.ParsePrefix(source); err != nil {
			return cli.Failf(cli.Usage, "--source %q: want a network such as 127.0.0.0/24", source)
		}
	}
	if o.spec.ServerCmd != "" && o.spec.Pid != 0 {
		return cli.Failf(cli.Usage, "--server-cmd and --server-pid exclude each other: the command's process is known")
	}
	if o.spec.Pid < 0 {
		return cli.Failf(cli.Usage, "--server-pid %d: is no process", o.spec.Pid)
	}
	if o.out != "" {
		return result.CheckOut(o.out)
	}
	return nil
}

func printList(w io.Writer) error {
	for _, name := range scenario.Names() {
		s, err := scenario.Load(name)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(w, "%-10s %s (%s at %s)\n", name, s.About, cli.Count(s.Conns), s.Rate)
	}
	return nil
}

func (o *options) run(stdout, stderr io.Writer) error {
	if err := cli.NeedDescriptors(o.spec.Scenario.Conns); err != nil {
		return err
	}
	o.spec.Progress = cli.NewProgress(stderr)
	r, err := o.spec.Run()
	if err != nil {
		return err
	}
	return o.report(r, stdout)
}

// report shows the run and returns its verdict as an error.
func (o *options) report(r *result.Result, stdout io.Writer) error {
	if err := r.Table(stdout); err != nil {
		return err
	}
	if o.out != "" {
		if err := r.Write(o.out); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(stdout, "written to %s\n", o.out)
	}
	return runner.Verdict(r)
}
