package command

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/runner"
	paired "dotsconnect/bench/slices"
)

const slicesAbout = `slices: run servers in turns while all of them are up, to detect differences of 2 to 3 %.

  dotsbench slices                                                   compare our server with gws
  dotsbench slices --peer uws='./uws-room {port}'                    compare it with a server that you built
  dotsbench slices --peer before='/tmp/dotsd --listen=127.0.0.1:{port} --admin= --loops=1' --only rooms,echo

All servers are compared with the first peer. In each turn every server works for one slice, in rotating order, and its
CPU time per delivery is divided by that of the first peer in the same turn. A row is measured in sittings, each with
fresh servers, until the 95 % interval of each ratio is within 5 % of the ratio, or no sittings are left. A slice in which
other programs took more than a tenth of a CPU is dropped and counted.

A server that a COMMAND starts must have the same protocol as ours:
  GET /ws/chat/ROOM/ upgrades and joins the room; ROOM consists of ASCII letters, digits and hyphens
  a text message {"message":X} goes to all members of the room, its sender included, byte for byte and in one order
  a text message "heartbeat", with the quotes, goes to nobody
  it listens on 127.0.0.1:{port} and ends on SIGTERM; {cpu} is the number of the CPU that it runs on

Goals are printed if the first peer is named uws (uWebSockets); a missed goal is not a failure. Every delivery is proved:
if a server lost, doubled or swapped a message, the comparison ends with exit code 4.`

type slicesOptions struct {
	peers                 list
	ours, only, file, out string
	sittings, turns, most int
	quick                 bool
}

func slicesCommand(args []string, stdout, stderr io.Writer) error {
	var o slicesOptions
	fs := flag.NewFlagSet("slices", flag.ContinueOnError)
	fs.Var(&o.peers, "peer", "`NAME=COMMAND`, with {port}, or the NAME of a peer in --file; can be repeated (default gws)")
	fs.StringVar(&o.ours, "ours", ourCommand, "`COMMAND` that starts our server, with {port}")
	fs.StringVar(&o.file, "file", "bench/peers/peers.yaml", "adapter `FILE` with the peers that --peer names without a COMMAND")
	fs.StringVar(&o.only, "only", "", "`ROW,…` to measure, of "+strings.Join(rowKeys(), ", ")+"; empty: all")
	fs.IntVar(&o.sittings, "sittings", 3, "`N` sittings of each row; each one starts all servers again")
	fs.IntVar(&o.turns, "turns", 12, "`N` turns of a sitting; in each turn every server works for one slice")
	fs.IntVar(&o.most, "most", 8, "at most `N` sittings of each row; after --sittings, a row is repeated only while its interval is too wide")
	fs.BoolVar(&o.quick, "quick", false, "one short sitting, to check that everything works")
	fs.StringVar(&o.out, "out", "", "JSON `FILE` to write")
	if err := cli.Parse(fs, args, stdout, slicesAbout); err != nil {
		return err
	}
	var cfg *paired.Config
	err := runner.Interruptible(func(ctx context.Context) (err error) {
		cfg, err = o.config(ctx, stderr)
		return err
	}, func() {})
	if err != nil {
		return err
	}
	r, err := cfg.Compare()
	if r == nil {
		return err
	}
	return errors.Join(err, r.Table(stdout), o.write(r))
}

func rowKeys() (keys []string) {
	for _, row := range paired.Rows(2) {
		keys = append(keys, row.Key)
	}
	return keys
}

func (o *slicesOptions) write(r *paired.Report) error {
	if o.out == "" {
		return nil
	}
	f, err := os.Create(o.out)
	if err != nil {
		return cli.Failf(cli.Usage, "--out: %w", err)
	}
	return errors.Join(r.JSON(f), f.Close())
}

func (o *slicesOptions) config(ctx context.Context, stderr io.Writer) (*paired.Config, error) {
	for name, n := range map[string]int{"sittings": o.sittings, "turns": o.turns, "most": o.most} {
		if n < 1 || n > 1000 {
			return nil, cli.Failf(cli.Usage, "--%s %d: write a value from 1 to 1000", name, n)
		}
	}
	servers, err := o.servers()
	if err != nil {
		return nil, err
	}
	rows, err := o.rows(len(servers))
	if err != nil {
		return nil, err
	}
	cfg := &paired.Config{Servers: servers, Rows: rows, Sittings: o.sittings, Turns: o.turns, Most: max(o.most, o.sittings), Length: paired.DefaultLength, Progress: cli.NewProgress(stderr)}
	if o.quick {
		cfg.Sittings, cfg.Most, cfg.Turns, cfg.Length = 1, 1, 2, cfg.Length/3
	}
	for i := range servers {
		cfg.Progress.Show("building %s", servers[i].Name)
		if err := servers[i].Prepare(ctx); err != nil {
			return nil, cli.Failf(cli.Usage, "%s: %w", servers[i].Name, err)
		}
	}
	return cfg, nil
}

// servers returns the servers to compare: the peers in the order of their
// flags, and then our server.
func (o *slicesOptions) servers() ([]adapter.Adapter, error) {
	if len(o.peers) == 0 {
		o.peers = list{"gws"}
	}
	cpu, err := runner.ServerCPU()
	if err != nil {
		return nil, cli.Failf(cli.Usage, "%w", err)
	}
	var all []adapter.Adapter
	for _, peer := range append(slices.Clone(o.peers), paired.Ours+"="+o.ours) {
		name, command, some := strings.Cut(peer, "=")
		switch {
		case some && !strings.Contains(command, "{port}"):
			return nil, cli.Failf(cli.Usage, "%s: the command %q must contain {port}", name, command)
		case some:
			all = append(all, paired.Server(name, command, cpu))
			continue
		}
		known, err := adapter.Load(o.file)
		if err != nil {
			return nil, cli.Failf(cli.Usage, "--file: %w", err)
		}
		picked, err := adapter.Select(known, []string{name})
		if err != nil {
			return nil, cli.Failf(cli.Usage, "--peer: %w", err)
		}
		all = append(all, picked...)
	}
	for i := range all {
		if slices.ContainsFunc(all[:i], func(a adapter.Adapter) bool { return a.Name == all[i].Name }) {
			return nil, cli.Failf(cli.Usage, "two servers are named %q", all[i].Name)
		}
	}
	return all, nil
}

func (o *slicesOptions) rows(servers int) ([]paired.Row, error) {
	all := paired.Rows(servers)
	if o.only == "" {
		return all, nil
	}
	var picked []paired.Row
	for key := range strings.SplitSeq(o.only, ",") {
		i := slices.IndexFunc(all, func(r paired.Row) bool { return r.Key == strings.TrimSpace(key) })
		if i < 0 {
			return nil, cli.Failf(cli.Usage, "--only %q: there is no row %q; write one of %s", o.only, key, strings.Join(rowKeys(), ", "))
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}
