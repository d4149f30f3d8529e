package command

import (
	"context"
	"errors"
	"flag"
	"io"
	"strings"

	"dotsconnect/bench/adapter"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/versus"
)

const peersAbout = `peers: our server against others, in one table.

  dotsbench peers
  dotsbench peers --only gws,gorilla --rounds 5 --out results/peers
  dotsbench peers --file mine.yaml --ours "./mine --port={port}"

It builds and starts each server of an adapter file (bench/peers/README.md says how to add one) and measures them in
turns: each round goes over all servers, in another order than the one before, with a fresh server for each run. Where
there are two CPUs, the server has the first for itself. Messages have 128 bytes:

  one at a time    1 room of 1,000, 50 messages/s
  bursts of 32     1 room of 1,000, 64 messages/s
  all publishing   1,000 rooms of 8; each connection sends when its own message is back: the most that a server does
  at N/s           the same rooms at half of what the slowest peer delivered in the first round, the same for all
  echo             1,000 rooms of 1, 20,000 messages/s; each goes back to its sender
  idle, connects   10,000 connections

A peer that cannot be built or started is skipped with the reason. Latencies of an invalid run do not count; its CPU per
delivery does. A missed goal is shown, and is no failure; a message that ours lost is one.`

// ourCommand is our server with one loop. It gives Go one processor more than it
// has loops.
const ourCommand = "bin/dotsd --listen=127.0.0.1:{port} --admin= --loops=1 --log-level=warn --drain-time=0s"

type peersOptions struct {
	file, only, ours, out string
	rounds                int
	quick                 bool
}

func peersCommand(args []string, stdout, stderr io.Writer) error {
	var o peersOptions
	fs := flag.NewFlagSet("peers", flag.ContinueOnError)
	fs.StringVar(&o.file, "file", "bench/peers/peers.yaml", "adapter `FILE` with the others")
	fs.StringVar(&o.only, "only", "", "`NAME,…` of the others to measure; empty: all")
	fs.StringVar(&o.ours, "ours", ourCommand, "`COMMAND` that starts ours, with {port}")
	fs.IntVar(&o.rounds, "rounds", 3, "`N` runs of each server in each scenario")
	fs.BoolVar(&o.quick, "quick", false, "two peers, one round, small and short: to see that it works")
	fs.StringVar(&o.out, "out", "", "`DIR` to make, with peers.json and peers.md")
	if err := cli.Parse(fs, args, stdout, peersAbout); err != nil {
		return err
	}
	var cfg *versus.Config
	err := runner.Interruptible(func(ctx context.Context) (err error) {
		cfg, err = o.config(ctx, stderr)
		return err
	}, func() {})
	if err != nil {
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

// config reads the adapter file and builds the servers.
func (o *peersOptions) config(ctx context.Context, stderr io.Writer) (*versus.Config, error) {
	if o.rounds < 1 || o.rounds > 100 {
		return nil, cli.Failf(cli.Usage, "--rounds %d: want 1 to 100", o.rounds)
	}
	if !strings.Contains(o.ours, "{port}") {
		return nil, cli.Failf(cli.Usage, "--ours %q: must contain {port}", o.ours)
	}
	peers, err := adapter.Load(o.file)
	if err != nil {
		return nil, cli.Failf(cli.Usage, "--file: %w", err)
	}
	if o.only != "" {
		if peers, err = adapter.Select(peers, strings.Split(o.only, ",")); err != nil {
			return nil, cli.Failf(cli.Usage, "--only: %w", err)
		}
	}
	if err := checkOut(o.out); err != nil {
		return nil, err
	}
	if err := cli.NeedDescriptors(versus.MostConns(o.quick)); err != nil {
		return nil, err
	}
	cfg := &versus.Config{Servers: []adapter.Adapter{ours(o.ours)}, Rounds: o.rounds, Quick: o.quick, Seed: 1, Progress: cli.NewProgress(stderr)}
	if o.quick {
		cfg.Rounds = 1
	}
	for _, p := range peers {
		const quickPeers = 2
		if o.quick && len(cfg.Servers) > quickPeers {
			break
		}
		cfg.Progress.Show("building %s", p.Name)
		if err := p.Prepare(ctx); err != nil {
			cfg.Skip(p, err)
			continue
		}
		cfg.Servers = append(cfg.Servers, p)
	}
	return cfg, nil
}

// ours is our server as one of the others.
func ours(command string) adapter.Adapter {
	return adapter.Adapter{
		Name: "ours", Library: "this project", Start: command, Ready: adapter.TCP, URL: "ws://127.0.0.1:{port}/ws/chat/{room}/",
		Frames: adapter.Frames{Send: `{"message":"{payload}"}`, Receive: `{"message":"{payload}"}`, Heartbeat: `"heartbeat"`},
	}
}
