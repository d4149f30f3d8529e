package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"

	"dotsconnect/bench/fleet"
	"dotsconnect/bench/internal/cli"
)

const workerAbout = `worker: a generator that another dotsbench gives its part of a run.

  dotsbench worker --listen 10.0.0.7:7000       on each machine that shall generate
  dotsbench run rooms --url ws://10.0.0.1:8000 --workers 10.0.0.7:7000,10.0.0.8:7000

Without --listen it reads one job from standard input: so dotsbench run --procs starts its own. Who can reach a
worker can let it send to anybody. So it listens beyond the loopback only if both sides have the same word in the
environment variable ` + fleet.Token + `. It does one job at a time. One whose coordinator was lost goes on to its next
step, at most to the end of its schedule, and until then the worker is busy.`

func workerCommand(args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	listen := fs.String("listen", "", "`HOST:PORT` to wait for jobs, one after the other")
	once := fs.Bool("once", false, "end after one job")
	if err := cli.Parse(fs, args, stdout, workerAbout); err != nil {
		return err
	}
	if *listen == "" {
		err := fleet.Work(os.Stdin, stdout, os.Stdin, func() { os.Exit(cli.Invalid) })
		if told := (fleet.Told{}); errors.As(err, &told) {
			return nil // who started us prints it
		}
		return err
	}
	if err := cli.CheckAddress(*listen); err != nil {
		return cli.Failf(cli.Usage, "--listen: %w", err)
	}
	token := os.Getenv(fleet.Token)
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return cli.Failf(cli.Usage, "--listen: %w", err)
	}
	defer func() { _ = ln.Close() }()
	if addr := ln.Addr().(*net.TCPAddr); token == "" && !addr.IP.IsLoopback() {
		return cli.Failf(cli.Usage, "--listen %s: beyond the loopback set %s to a word that only you know, here and where dotsbench run is", *listen, fleet.Token)
	}
	_, _ = fmt.Fprintf(stderr, "waiting for jobs on %s\n", ln.Addr())
	return fleet.Serve(ln, token, *once, stderr)
}
