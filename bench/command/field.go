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

const fieldAbout = `field: any number of servers in turns, in the tables that their file asks for.

  dotsbench field bench/peers/redis.yaml          what Redis carries: batches, a call for each message, other servers
  dotsbench field mine.yaml --rounds 5 --out results/mine

The file is an adapter file (bench/peers/README.md) with a list of tables: a scenario, who takes part, to which of them
the others are compared, and what is to be reached. Each round plays all tables, and in each its servers in another order
than the round before, with a fresh server for each run, and a fresh Redis where the file says so. Servers, what they need
beside them, and the generator share the CPUs.

With rate max a table shows the most that a server does: a closed loop, of whose latency nothing is said. Else it shows
latency from the intended time. Figures are medians of the rounds, comparisons are made within a round.

A run about latency that is INVALID is made again, twice at most: other programs had the CPUs. In a closed loop it says
that the server can do more.

Every delivery of every run is proved. A server that lost, doubled or swapped a message, ended a connection or died has
no figures in that table: it is INVALID there, and the exit code says so (4, 5). A missed goal is shown, and is no failure.`

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
	fs.Var(&o.only, "only", "`N` of a table to play, counted from 1, and no other; can be repeated")
	fs.BoolVar(&o.quick, "quick", false, "one round, short: to see that it works")
	fs.StringVar(&o.out, "out", "", "`DIR` to make, with field.json, field.md, table.txt and the folder of each run")
	words, err := cli.ParseWords(fs, args, stdout, fieldAbout)
	if err != nil {
		return err
	}
	if len(words) != 1 {
		return cli.Failf(cli.Usage, "want one adapter file with tables, got %d words (see --help)", len(words))
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
		return nil, cli.Failf(cli.Usage, "--rounds %d: want 1 to 100", o.rounds)
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
	// Who is in no table need not be built.
	servers = slices.DeleteFunc(servers, func(a adapter.Adapter) bool {
		return !slices.ContainsFunc(tables, func(t versus.Table) bool { return slices.Contains(t.Rows, a.Name) })
	})
	cfg := &versus.FieldConfig{Servers: servers, Tables: tables, Rounds: o.rounds, Quick: o.quick, Skipped: map[string]string{}}
	if o.quick {
		cfg.Rounds = 1
	}
	return cfg, cli.NeedDescriptors(cfg.MostConns())
}

// pick are the tables that --only asks for.
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
		return nil, cli.Failf(cli.Usage, "--only %s: want numbers of tables, 1 to %d, each once", o.only.String(), len(all))
	}
	return picked, nil
}

// prepare builds the servers; what cannot be built is skipped, and the rows
// of others do without.
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
