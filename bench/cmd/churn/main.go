// Churn resets connections at every possible point beside rooms of honest
// members, and proves that the members notice nothing.
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

const about = `churn: connects and resets beside hot rooms; no honest connection may notice.

  churn --url ws://127.0.0.1:8000 --resets 200000 --parallel 64 --rooms 8 --members 8 --rate 2000/s

The honest members send at --rate (all together) for as long as the resets last. Each message carries run, sender,
number and checksum; each member checks that it gets every message of its room exactly once, in each sender's
order, none of another room or run, none damaged, and that all members of a room saw the same order.
The others connect and reset (RST) at random: right after connect, within the request, after the 101, within a
frame, or after a whole message to a hot room; that message is seen by all members of that room or by none.

Violations (exit 4) are named with room, sender and number. Exit 3: less than nine of ten handshakes of the
resetters were answered, or the time limit came first.`

type options struct {
	target         client.Target
	resets         int
	parallel       int
	rooms, members int
	rate           cli.Rate
	roomOrder      bool
	beat           time.Duration
	limit, settle  time.Duration
	seed           uint64
	json           bool
}

func main() {
	os.Exit(cli.Exit(os.Stderr, "churn", run(os.Args[1:], os.Stdout, os.Stderr)))
}

func parse(args []string, stdout io.Writer) (options, error) {
	o := options{rate: 2000}
	fs := flag.NewFlagSet("churn", flag.ContinueOnError)
	url := fs.String("url", "ws://127.0.0.1:8000", "`ws://HOST:PORT[/PATH]`, {room} in PATH")
	fs.IntVar(&o.resets, "resets", 200_000, "`N` connections to reset")
	fs.IntVar(&o.parallel, "parallel", 64, "`N` of them at a time")
	fs.IntVar(&o.rooms, "rooms", 8, "`N` hot rooms")
	fs.IntVar(&o.members, "members", 8, "`N` honest members in each")
	fs.Var(&o.rate, "rate", "messages of all honest members together, as `N/s`")
	fs.BoolVar(&o.roomOrder, "room-order", true, "demand one order for all members of a room; =false for servers that promise none")
	fs.DurationVar(&o.beat, "beat", 10*time.Second, "heartbeat period of the honest members, 0 for none")
	fs.DurationVar(&o.limit, "limit", 10*time.Minute, "longest time for the whole run")
	fs.DurationVar(&o.settle, "settle", 5*time.Second, "longest wait at the end without a message, before what is missing counts as lost")
	fs.Uint64Var(&o.seed, "seed", 0, "`SEED` of the random choices; 0 takes one from the clock")
	fs.BoolVar(&o.json, "json", false, "print one JSON object; the table goes to standard error")
	if err := cli.Parse(fs, args, stdout, about); err != nil {
		return o, err
	}
	var err error
	if o.target, err = client.ParseTarget(*url); err != nil {
		return o, cli.Failf(cli.Usage, "%w", err)
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	return o, o.validate()
}

func (o *options) validate() error {
	switch {
	case o.resets < 0 || o.resets > 100_000_000 || o.parallel < 1:
		return cli.Failf(cli.Usage, "--resets must be 0 to 100,000,000, --parallel at least 1")
	case o.rooms < 1 || o.members < 1 || o.rooms > 30_000 || o.members > 10_000:
		return cli.Failf(cli.Usage, "--rooms must be 1 to 30,000, --members 1 to 10,000")
	case o.beat < 0 || o.limit <= 0 || o.settle <= 0:
		return cli.Failf(cli.Usage, "--beat must not be negative, --limit and --settle must be positive")
	}
	return cli.NeedDescriptors(o.conns())
}

// conns is the number of slots: members, resetters, and as many again for
// those that the server closed first and that wait for its FIN.
func (o *options) conns() int { return o.rooms*o.members + 2*o.parallel + 16 }

func run(args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // no other goroutine takes the loop's turn
	defer runtime.UnlockOSThread()
	progress := cli.NewProgress(stderr)
	t := newTrial(o)
	err = t.run(progress)
	progress.Clear()
	if err != nil {
		return err
	}
	return t.report(stdout, stderr)
}
