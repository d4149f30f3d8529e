package command

import (
	"flag"
	"io"
	"strings"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/suite"
)

const suiteAbout = `suite: run a list of scenarios, one after the other, with a table at the end.

  dotsbench suite smoke --server-cmd "dotsd --listen 127.0.0.1:{port} --admin=" --invalid ok     for CI
  dotsbench suite full --server-cmd "dotsd --listen 127.0.0.1:{port} --admin=" --out results/full
  dotsbench suite full --only giant --only burst --url ws://127.0.0.1:8000 --size 1k
  dotsbench suite --list; dotsbench suite --print smoke > mine.yaml; dotsbench suite mine.yaml

With --server-cmd each run has a fresh server. A scenario field given as a flag applies to all runs. A run is skipped,
with the reason, if something that it needs is missing; a run that is too large for this machine is INVALID.

The exit code is that of the worst run, in this order: 5, 4, 2, 1, 3, 0. A missed threshold (1) is worse than an INVALID
run (3), because an INVALID run proves nothing. CI machines are often too busy to measure times; --invalid ok treats 3
as 0 for runs in which the deliveries were proved, provided that another run passed. A run that could not be made, a
broken promise, a dead server and a missed threshold on CPU or memory still count.`

type suiteOptions struct {
	runFlags
	out     string
	list    bool
	print   string
	only    list
	invalid string
}

func suiteCommand(args []string, stdout, stderr io.Writer) error {
	o := &suiteOptions{}
	fs := flag.NewFlagSet("suite", flag.ContinueOnError)
	fs.BoolVar(&o.list, "list", false, "list the suites and their runs")
	fs.StringVar(&o.print, "print", "", "print the suite `NAME`, as a file to copy and change")
	fs.Var(&o.only, "only", "make only the run `NAME`; can be repeated")
	fs.StringVar(&o.invalid, "invalid", "fail", "`ok or fail`: how an INVALID run counts for the exit code")
	fs.StringVar(&o.out, "out", "", "create `DIR` with suite.json, table.txt and a folder for each run in it")
	o.server(fs)
	o.generator(fs)
	o.threshold(fs)
	o.fields(fs)
	words, err := cli.ParseWords(fs, args, stdout, suiteAbout)
	switch {
	case err != nil:
		return err
	case o.list:
		return listSuites(words, stdout)
	case o.print != "":
		text, err := suite.Text(o.print)
		if err != nil {
			return cli.Failf(cli.Usage, "%w", err)
		}
		_, err = stdout.Write(text)
		return err
	}
	cfg, err := o.config(words)
	if err != nil {
		return err
	}
	cfg.Spec.Progress, cfg.Stdout = cli.NewProgress(stderr), stdout
	return suite.Play(*cfg)
}

func listSuites(names []string, stdout io.Writer) error {
	if len(names) == 0 {
		names = suite.Names()
	}
	for _, name := range names {
		s, err := suite.Load(name)
		if err != nil {
			return cli.Failf(cli.Usage, "%w", err)
		}
		if err := s.List(stdout); err != nil {
			return err
		}
	}
	return nil
}

func (o *suiteOptions) config(words []string) (*suite.Config, error) {
	if len(words) != 1 {
		return nil, cli.Failf(cli.Usage, "name one suite, not %d: write one of %s (see --list)", len(words), strings.Join(suite.Names(), ", "))
	}
	if o.invalid != "ok" && o.invalid != "fail" {
		return nil, cli.Failf(cli.Usage, "--invalid %q: write ok or fail", o.invalid)
	}
	s, err := suite.Load(words[0])
	if err != nil {
		return nil, cli.Failf(cli.Usage, "%w", err)
	}
	if err := s.Only(o.only); err != nil {
		return nil, cli.Failf(cli.Usage, "--only: %w", err)
	}
	for i := range s.Runs {
		if err := o.change(&s.Runs[i].Scenario); err != nil && s.Runs[i].Needs == "" {
			return nil, cli.Failf(cli.Usage, "%s: %w", s.Runs[i].Name, err)
		}
	}
	if err := o.complete(""); err != nil {
		return nil, err
	}
	return &suite.Config{Suite: s, Spec: o.spec, InvalidOK: o.invalid == "ok", Out: o.out}, checkOut(o.out)
}
