package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"dotsconnect/bench/internal/cli"
)

const labAbout = `scale lab: run the server and "scale generate" in a small virtual machine and print the results.

  make scale CONNS=250000
  bin/scale lab --conns 20000 --server bin/dotsd

Both programs must be for x86-64 Linux. The machine needs QEMU, a static busybox and a Debian kernel. If you are root,
the lab installs what is missing; otherwise it prints what to install.`

type labOptions struct {
	conns, room, messages       int
	server, generator           string
	script, out, memory, kernel string
	limit                       time.Duration
}

func parseLab(args []string, stdout io.Writer) (labOptions, error) {
	var o labOptions
	fs := flag.NewFlagSet("lab", flag.ContinueOnError)
	fs.IntVar(&o.conns, "conns", 20_000, "`N` connections")
	fs.IntVar(&o.room, "room", 1000, "`N` members in a room")
	fs.IntVar(&o.messages, "messages", 4, "`N` broadcasts to each room")
	fs.StringVar(&o.server, "server", "bin/dotsd", "server `PROGRAM` to test")
	fs.StringVar(&o.generator, "generator", "", "`PROGRAM` that takes the flags of scale generate (default: this program)")
	fs.StringVar(&o.script, "script", "bench/scale-lab.sh", "script `FILE` that boots the virtual machine")
	fs.StringVar(&o.out, "out", "", "`FILE` for all results as JSON lines (default out/scale-N.jsonl)")
	fs.StringVar(&o.memory, "memory", "", "`SIZE` of the machine's memory, such as 6G (default 1 GiB plus 15 KiB per connection)")
	fs.StringVar(&o.kernel, "kernel", "", "kernel `FILE` to boot (default Debian's, which is downloaded once)")
	fs.DurationVar(&o.limit, "limit", 0, "longest time for the whole run (default 5 min plus 8 ms per connection)")
	if err := cli.Parse(fs, args, stdout, labAbout); err != nil {
		return o, err
	}
	if o.conns < 1 || o.conns > 2_000_000 {
		return o, cli.Failf(cli.Usage, "--conns %d: must be between 1 and 2,000,000", o.conns)
	}
	if o.room < 1 || o.messages < 1 || o.messages > 1000 {
		return o, cli.Failf(cli.Usage, "--room must be 1 or more, --messages between 1 and 1,000")
	}
	if o.out == "" {
		o.out = fmt.Sprintf("out/scale-%d.jsonl", o.conns)
	}
	if o.memory == "" {
		o.memory = fmt.Sprintf("%dM", 1024+(o.conns*15+1023)/1024)
	}
	if o.limit <= 0 {
		o.limit = 5*time.Minute + time.Duration(o.conns)*8*time.Millisecond
	}
	if o.generator != "" {
		return o, nil
	}
	var err error
	o.generator, err = os.Executable()
	return o, err
}

// beat returns the heartbeat period. It allows 2,000 heartbeats per second,
// which even an emulated CPU handles easily.
func (o labOptions) beat() time.Duration {
	return max(10*time.Second, (time.Duration(o.conns) * time.Second / 2000).Round(time.Second))
}

// command returns the arguments for bench/scale-lab.sh. The timeouts of the
// server are 10 to 30 times as long as on a real CPU, because the CPU is
// emulated.
func (o labOptions) command(root bool) []string {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + "s" }
	args := []string{"--memory", o.memory, "--time-limit", strconv.Itoa(int(o.limit.Seconds())), "--port", "8080", "--output", o.out}
	if root {
		args = append(args, "--install")
	}
	if o.kernel != "" {
		args = append(args, "--kernel", o.kernel)
	}
	args = append(args, "--", o.server, "--listen=127.0.0.1:8080", "--admin=127.0.0.1:8001",
		"--max-age="+seconds(max(100*time.Second, 5*o.beat())), "--handshake-timeout=120s", "--frame-timeout=120s", "--backlog-time=120s")
	return append(args, "--", o.generator, "generate", "--url", "ws://127.0.0.1:8080", "--admin", "http://127.0.0.1:8001",
		"--marked", "/run/mark", "--conns", strconv.Itoa(o.conns), "--room", strconv.Itoa(o.room),
		"--messages", strconv.Itoa(o.messages), "--beat", seconds(o.beat()))
}

func lab(args []string, stdout, stderr io.Writer) error {
	o, err := parseLab(args, stdout)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return cli.Failf(cli.Usage, "--out: %w", err)
	}
	// Remove the results of an earlier run, because bench/scale-lab.sh writes
	// this file only at its end.
	if err := os.Remove(o.out); err != nil && !errors.Is(err, os.ErrNotExist) {
		return cli.Failf(cli.Usage, "--out: %w", err)
	}
	status, err := boot(o, stdout, stderr)
	if err != nil {
		return err
	}
	f, err := os.Open(o.out)
	if err != nil {
		return verdict(status, nil, o)
	}
	defer f.Close()
	r, err := readReport(f)
	if err != nil {
		return cli.Failf(cli.Invalid, "%s: %w", o.out, err)
	}
	r.print(stdout, o)
	return verdict(status, r, o)
}

// boot runs bench/scale-lab.sh and returns its exit code. If this program is
// interrupted, boot sends SIGTERM to bench/scale-lab.sh and waits for it,
// because only bench/scale-lab.sh can end the virtual machine.
func boot(o labOptions, stdout, stderr io.Writer) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := exec.CommandContext(ctx, o.script, o.command(os.Geteuid() == 0)...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	err := cmd.Run()
	if exit := (&exec.ExitError{}); err == nil || errors.As(err, &exit) || ctx.Err() != nil {
		return cmd.ProcessState.ExitCode(), nil
	}
	return 0, cli.Failf(cli.Usage, "cannot run the lab: %w; name it with --script", err)
}

// Exit codes of bench/scale-lab.sh. Codes below 100 come from the generator.
const (
	labUsage      = 100
	labMissing    = 101
	labNoEnd      = 102
	labServerDied = 103
	labCrash      = 104
)

// verdict returns the outcome of a run as an error with its exit code, or nil.
// status is the exit code of bench/scale-lab.sh, and r has the results.
func verdict(status int, r *report, o labOptions) error {
	switch status {
	case cli.OK:
		return r.judge(o.conns)
	case cli.Violated:
		return cli.Failf(cli.Violated, "the server did not keep its promise: see the generator's last line above, and %s", o.out)
	case cli.Usage, labUsage:
		return cli.Failf(cli.Usage, "wrong usage of the generator or of %s: the lines above name the mistake", o.script)
	case labMissing:
		return cli.Failf(cli.Invalid, "a program or file is missing on this machine: the lines above say how to install it")
	case labNoEnd:
		return cli.Failf(cli.Invalid, "the virtual machine did not boot, or did not end within %v: try a longer --limit, or look for the reason in the lines above", o.limit)
	case labServerDied:
		return cli.Failf(cli.ServerDied, "the server ended early or never listened: the lines above are its output")
	case labCrash:
		return cli.Failf(cli.Invalid, "the generator did not end within %v, or crashed: the lines above have its output; a slower machine needs a longer --limit", o.limit)
	case cli.Invalid:
		return cli.Failf(cli.Invalid, "the run is invalid: the generator's last line above has the reason")
	}
	return cli.Failf(cli.Invalid, "the lab ended with status %d: the lines above have its output", status)
}
