package command

import (
	"context"
	"errors"
	"flag"
	"io"
	"slices"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/versus"
)

const fieldAbout = `field: run any number of servers in turns and print the tables that a file defines.

  dotsbench field bench/peers/redis.yaml          servers that use Redis: batches, one call for each message, other servers
  dotsbench field mine.yaml --rounds 5 --out results/mine

The file is an adapter file (bench/peers/README.md) with a list of tables. A table has a scenario, its servers, the
server with which the others are compared, and goals. Each round runs all tables. In each table the order of the servers
changes from round to round. Each run has a fresh server, and a fresh Redis if the file asks for one. Servers, the
commands that run beside them, and the generator share the CPUs.

With rate max a table shows the highest throughput of a server. Such a run is a closed loop, so the table shows no
latency. With any other rate it shows the latency from the time at which a message was due. Figures are medians of the
rounds; a comparison uses runs of one round.

An INVALID run with a fixed rate is repeated at most twice; the usual cause is that other programs used the CPUs. In a
closed loop INVALID means that the server can do more.

Every delivery of every run is proved. If a server lost, doubled or reordered a message, ended a connection or died, the
table shows INVALID for the server in place of figures, and the exit code says why (4, 5). A missed goal is shown, but
it is not a failure.`

type fieldOptions struct {
	out    string
	only   list
	rounds int
	quick  bool
}

func fieldCommand(args []string, stdout, stderr io.Writer) error {
	var o fieldOptions
	fs := flag.NewFlagSet("field", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", 3, "`N` runs of each server in each table")
	fs.Var(&o.only, "only", "run only table `N`, counted from 1; can be repeated")
	fs.BoolVar(&o.quick, "quick", false, "one short round, to check that everything works")
	fs.StringVar(&o.out, "out", "", "create `DIR` with field.json, field.md, table.txt and a folder for each run in it")
	words, err := cli.ParseWords(fs, args, stdout, fieldAbout)
	if err != nil {
		return err
	}
	if len(words) != 1 {
		return cli.Failf(cli.Usage, "name one adapter file with tables, not %d arguments (see --help)", len(words))
	}
	cfg, err := o.config(words[0])
	if err != nil {
		return err
	}
	cfg.Progress = cli.NewProgress(stderr)
	if err := runner.Interruptible(func(ctx context.Context) error { return prepare(ctx, cfg) }, func() {}); err != nil {
		return err
	}
	r, err := cfg.Compare()
	if err != nil {
		return err
	}
	if err := r.Table(stdout); err != nil {
		return err
	}
	return errors.Join(r.Verdict(), save(o.out, "\n", stdout, func() error { return r.Write(o.out) }))
}

func (o *fieldOptions) config(file string) (*versus.FieldConfig, error) {
	if o.rounds < 1 || o.rounds > 100 {
		return nil, cli.Failf(cli.Usage, "--rounds %d: write a value from 1 to 100", o.rounds)
	}
	servers, err := adapter.Load(file)
	if err != nil {
		return nil, cli.Failf(cli.Usage, "%w", err)
	}
	tables, err := versus.LoadTables(file, servers)
	if err != nil {
		return nil, cli.Failf(cli.Usage, "%w", err)
	}
	if tables, err = o.pick(tables); err != nil {
		return nil, err
	}
	if err := checkOut(o.out); err != nil {
		return nil, err
	}
	// Leave out servers that are not in any of these tables, so that they are
	// not built.
	servers = slices.DeleteFunc(servers, func(a adapter.Adapter) bool {
		return !slices.ContainsFunc(tables, func(t versus.Table) bool { return slices.Contains(t.Rows, a.Name) })
	})
	cfg := &versus.FieldConfig{Servers: servers, Tables: tables, Rounds: o.rounds, Quick: o.quick, Skipped: map[string]string{}}
	if o.quick {
		cfg.Rounds = 1
	}
	return cfg, cli.NeedDescriptors(cfg.MostConns())
}

// pick returns the tables that --only names. Without --only it returns all
// tables.
func (o *fieldOptions) pick(all []versus.Table) ([]versus.Table, error) {
	if len(o.only) == 0 {
		return all, nil
	}
	var picked []versus.Table
	for _, t := range all {
		if slices.Contains(o.only, t.Key) {
			picked = append(picked, t)
		}
	}
	if len(picked) != len(o.only) {
		return nil, cli.Failf(cli.Usage, "--only %s: write numbers of tables from 1 to %d, each once", o.only.String(), len(all))
	}
	return picked, nil
}

// prepare builds the servers. A server that cannot be built is skipped; the
// others are still measured.
func prepare(ctx context.Context, cfg *versus.FieldConfig) error {
	for i := range cfg.Servers {
		a := &cfg.Servers[i]
		cfg.Progress.Show("building %s", a.Name)
		if err := a.Prepare(ctx); err != nil {
			if ctx.Err() != nil {
				return err
			}
			cfg.Skipped[a.Name] = err.Error()
		}
	}
	return nil
}
