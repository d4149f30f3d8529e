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

const peersAbout = `peers: compare dotsd with other servers, in one table.

  dotsbench peers
  dotsbench peers --only gws,gorilla --rounds 5 --out results/peers
  dotsbench peers --file mine.yaml --ours "./mine --port={port}"

peers builds and starts each server of an adapter file (bench/peers/README.md explains how to add one) and measures them in
turns: each round runs all servers, in another order than the round before, with a fresh server for each run. On a machine
with two CPUs or more, the server has the first CPU for itself. Messages have 128 bytes:

  one at a time    1 room of 1,000, 50 messages/s
  bursts of 32     1 room of 1,000, 64 messages/s
  all publishing   1,000 rooms of 8; each connection sends when its own message came back: the highest throughput
  at N/s           the same rooms, all servers at half the rate of the slowest peer in the first round
  echo             1,000 rooms of 1, 20,000 messages/s; each goes back to its sender
  idle, connects   10,000 connections

A peer that cannot be built or started is skipped with the reason. Latencies of an INVALID run do not count; its CPU per
delivery does. A missed goal is shown, but it is not a failure. A message that dotsd lost is a failure.`

// ourCommand starts dotsd with one loop. dotsd sets GOMAXPROCS to one more than
// the number of its loops.
const ourCommand = "bin/dotsd --listen=127.0.0.1:{port} --admin= --loops=1 --log-level=warn --drain-time=0s"

type peersOptions struct {
	file, only, ours, out string
	rounds                int
	quick                 bool
}

func peersCommand(args []string, stdout, stderr io.Writer) error {
	var o peersOptions
	fs := flag.NewFlagSet("peers", flag.ContinueOnError)
	fs.StringVar(&o.file, "file", "bench/peers/peers.yaml", "adapter `FILE` with the other servers")
	fs.StringVar(&o.only, "only", "", "`NAME,…` of the other servers to measure; empty: all")
	fs.StringVar(&o.ours, "ours", ourCommand, "`COMMAND` that starts our server, with {port}")
	fs.IntVar(&o.rounds, "rounds", 3, "`N` runs of each server in each scenario")
	fs.BoolVar(&o.quick, "quick", false, "two peers and one small, short round, to check that everything works")
	fs.StringVar(&o.out, "out", "", "create `DIR` with peers.json and peers.md")
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

// config checks the flags, reads the adapter file, builds the servers, and
// returns the configuration.
func (o *peersOptions) config(ctx context.Context, stderr io.Writer) (*versus.Config, error) {
	if o.rounds < 1 || o.rounds > 100 {
		return nil, cli.Failf(cli.Usage, "--rounds %d: write a value from 1 to 100", o.rounds)
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

// ours returns an adapter for our server, which the command starts.
func ours(command string) adapter.Adapter {
	return adapter.Adapter{
		Name: "ours", Library: "this project", Start: command, Ready: adapter.TCP, URL: "ws://127.0.0.1:{port}/ws/chat/{room}/",
		Frames: adapter.Frames{Send: `{"message":"{payload}"}`, Receive: `{"message":"{payload}"}`, Heartbeat: `"heartbeat"`},
	}
}
