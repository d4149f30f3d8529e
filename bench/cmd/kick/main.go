// Kick checks how accurately a server closes connections that show no sign of
// life, over real sockets and from a process of its own.
package main

import (
	"flag"
	"io"
	"os"
	"runtime"
	"time"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
)

const about = `kick: closes for missing heartbeats: none too early, all in the end, and how late.

  kick --url ws://127.0.0.1:8000 --silent 5000 --beating 5000 --max-age 60s

Silent connections send nothing after the handshake. The server's last sign of life from them lies between the
client's write of the request and the arrival of the 101, at a moment that only the server knows. So a close is
called early only if it came within --max-age of the write of the request; lateness is counted from the arrival of
the 101, and the true one is larger by at most the time of the handshake.
Beating connections send a heartbeat every --beat. None of them may end, unless the stamps of this program say that
it wrote two heartbeats, or the last one and the close, more than --max-age apart: those are excused and counted.

Violations (exit 4): a silent one closed early, in another way than with 4100 heartbeat_missed, or not within
--max-age plus --slack; a beating one that ended. Times are printed, never judged. When more than a tenth of the
beating ones had to be excused, the run proves nothing (exit 3).`

type options struct {
	target          client.Target
	silent, beating int
	maxAge, beat    time.Duration
	duration, slack time.Duration
	json            bool
}

func main() {
	os.Exit(cli.Exit(os.Stderr, "kick", run(os.Args[1:], os.Stdout, os.Stderr)))
}

func parse(args []string, stdout io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("kick", flag.ContinueOnError)
	url := fs.String("url", "ws://127.0.0.1:8000", "`ws://HOST:PORT[/PATH]`, {room} in PATH")
	fs.IntVar(&o.silent, "silent", 5000, "`N` connections that send nothing")
	fs.IntVar(&o.beating, "beating", 5000, "`N` connections that send heartbeats")
	fs.DurationVar(&o.maxAge, "max-age", time.Minute, "what the server was started with")
	fs.DurationVar(&o.beat, "beat", 0, "heartbeat period; 0 stands for a sixth of --max-age, 10s of 60s")
	fs.DurationVar(&o.duration, "duration", 0, "how long the beating ones are watched; 0 stands for twice --max-age")
	fs.DurationVar(&o.slack, "slack", 30*time.Second, "how late a kick may come before it counts as missing")
	fs.BoolVar(&o.json, "json", false, "print one JSON object; the table goes to standard error")
	if err := cli.Parse(fs, args, stdout, about); err != nil {
		return o, err
	}
	var err error
	if o.target, err = client.ParseTarget(*url); err != nil {
		return o, cli.Failf(cli.Usage, "%w", err)
	}
	if o.beat == 0 {
		o.beat = o.maxAge / 6
	}
	if o.duration == 0 {
		o.duration = 2 * o.maxAge
	}
	return o, o.validate()
}

func (o *options) validate() error {
	switch {
	case o.silent < 0 || o.beating < 0 || o.silent+o.beating == 0:
		return cli.Failf(cli.Usage, "--silent and --beating must not be negative, nor both 0")
	case o.maxAge <= 0 || o.beat <= 0 || o.slack < 0:
		return cli.Failf(cli.Usage, "--max-age and --beat must be positive, --slack not negative")
	case o.beat >= o.maxAge:
		return cli.Failf(cli.Usage, "--beat %v must be below --max-age %v", o.beat, o.maxAge)
	case o.duration < o.maxAge:
		return cli.Failf(cli.Usage, "--duration %v must be at least --max-age %v, or it proves nothing", o.duration, o.maxAge)
	}
	return cli.NeedDescriptors(o.silent + o.beating)
}

func run(args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // no other goroutine takes the loop's turn
	defer runtime.UnlockOSThread()
	progress := cli.NewProgress(stderr)
	w := newWatch(o)
	err = w.watch(progress)
	progress.Clear()
	if err != nil {
		return err
	}
	return w.report(stdout, stderr)
}
