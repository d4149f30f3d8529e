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

const workerAbout = `worker: generate the part of a run that another dotsbench (the coordinator) assigns.

  dotsbench worker --listen 10.0.0.7:7000       on each machine that generates load
  dotsbench run rooms --url ws://10.0.0.1:8000 --workers 10.0.0.7:7000,10.0.0.8:7000

Without --listen a worker reads one job from standard input; dotsbench run --procs starts its own workers this way.
Anybody who can reach a worker can make it send to any server. So a worker listens on other addresses than the loopback
only if worker and coordinator have the same secret in the environment variable ` + fleet.Token + `. A worker does one job
at a time. A worker that has lost its coordinator continues until its next step, at most until the end of its schedule,
and refuses other jobs until then.`

func workerCommand(args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	listen := fs.String("listen", "", "`HOST:PORT` on which to wait for jobs")
	once := fs.Bool("once", false, "exit after one job")
	if err := cli.Parse(fs, args, stdout, workerAbout); err != nil {
		return err
	}
	if *listen == "" {
		err := fleet.Work(os.Stdin, stdout, os.Stdin, func() { os.Exit(cli.Invalid) })
		if told := (fleet.Told{}); errors.As(err, &told) {
			return nil // the coordinator has got the error and prints it
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
		return cli.Failf(cli.Usage, "--listen %s: to listen on another address than the loopback, set %s to a secret, here and for dotsbench run", *listen, fleet.Token)
	}
	_, _ = fmt.Fprintf(stderr, "waiting for jobs on %s\n", ln.Addr())
	return fleet.Serve(ln, token, *once, stderr)
}
