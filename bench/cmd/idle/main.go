// Idle measures what a connection costs a server in memory while it does
// nothing, and after it has sent and received. Server and generator are
// processes of their own.
package main

import (
	"flag"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/probe"
)

const about = `idle: bytes of server memory per connection, idle and after each has sent and received a message.

It starts the server itself ({port} and {admin} are replaced by free ports):
  idle --server-cmd "dotsd serve --listen 127.0.0.1:{port} --admin 127.0.0.1:{admin}" --max-idle 900 --max-active 1150
or looks at one that runs:
  idle --url ws://127.0.0.1:8000 --server-pid 4711 --admin http://127.0.0.1:8001

What it measures is "RSS after GC, settled": GET {admin}/debug/pprof/heap?gc=1 three times (a sync.Pool survives
one), then VmRSS once nine samples over two seconds lie within 64 KiB of each other. The Go runtime gives memory
back in the background and keeps some spare, so RSS is never below what is in use; that is shown beside it.
Without an admin address no collection is forced. Memory of the kernel (socket buffers) is not in RSS.
With --json the object goes to standard output and the table to standard error.`

type options struct {
	serverCmd, url, admin string
	pid                   int
	conns, rooms, warmup  int
	beat, settle, limit   time.Duration
	json                  bool
	maxIdle, maxActive    float64
	maxGoroutines         int64
}

func main() {
	os.Exit(cli.Exit(os.Stderr, "idle", run(os.Args[1:], os.Stdout, os.Stderr)))
}

func parse(args []string, stdout io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("idle", flag.ContinueOnError)
	fs.StringVar(&o.serverCmd, "server-cmd", "", "`COMMAND` that starts the server, with {port} and perhaps {admin}")
	fs.StringVar(&o.url, "url", "", "`ws://HOST:PORT[/PATH]` of a running server, {room} in PATH; with --server-cmd only PATH counts")
	fs.IntVar(&o.pid, "server-pid", 0, "process `ID` of the running server")
	fs.StringVar(&o.admin, "admin", "", "`http://HOST:PORT` with /debug/pprof/ of the running server")
	fs.IntVar(&o.conns, "conns", 10_000, "`N` connections")
	fs.IntVar(&o.rooms, "rooms", 1250, "in `N` rooms")
	fs.IntVar(&o.warmup, "warmup", 0, "open and reset `N` connections before the first figure, to leave one-time costs out")
	fs.DurationVar(&o.beat, "beat", 20*time.Second, "heartbeat period, 0 for none")
	fs.DurationVar(&o.settle, "settle", 30*time.Second, "longest wait for a stable RSS")
	fs.DurationVar(&o.limit, "limit", 5*time.Minute, "longest time for the whole run")
	fs.BoolVar(&o.json, "json", false, "print one JSON object")
	fs.Float64Var(&o.maxIdle, "max-idle", 0, "fail over `BYTES` of RSS per idle connection")
	fs.Float64Var(&o.maxActive, "max-active", 0, "fail over `BYTES` of RSS per connection after messages")
	fs.Int64Var(&o.maxGoroutines, "max-goroutines", 0, "fail over `N` goroutines in the server")
	if err := cli.Parse(fs, args, stdout, about); err != nil {
		return o, err
	}
	return o, o.validate()
}

func (o *options) validate() error {
	switch {
	case o.serverCmd == "" && (o.url == "" || o.pid == 0):
		return cli.Failf(cli.Usage, "want --server-cmd, or --url with --server-pid (see --help)")
	case o.serverCmd != "" && o.pid != 0:
		return cli.Failf(cli.Usage, "--server-cmd and --server-pid exclude each other")
	case o.conns < 1 || o.rooms < 1 || o.rooms > o.conns:
		return cli.Failf(cli.Usage, "--rooms must be 1 to --conns, and is %d of %d", o.rooms, o.conns)
	case o.warmup < 0 || o.beat < 0 || o.settle <= 0 || o.limit <= 0:
		return cli.Failf(cli.Usage, "--warmup and --beat must not be negative, --settle and --limit must be positive")
	case o.maxGoroutines > 0 && o.admin == "" && !strings.Contains(o.serverCmd, "{admin}"):
		return cli.Failf(cli.Usage, "--max-goroutines needs --admin, or {admin} in --server-cmd")
	}
	return cli.NeedDescriptors(max(o.conns, o.warmup))
}

func run(args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	// The child ends with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var server *probe.Server
	url := o.url
	if o.serverCmd != "" {
		if server, err = probe.Start(o.serverCmd, min(o.limit, 20*time.Second)); err != nil {
			return cli.Failf(cli.Usage, "%w", err)
		}
		defer server.Stop()
		o.pid = server.Pid
		if o.admin == "" {
			o.admin = server.Admin
		}
		url = "ws://" + server.Addr
	}
	target, err := client.ParseTarget(url)
	if err != nil {
		return cli.Failf(cli.Usage, "%w", err)
	}
	if server != nil && o.url != "" {
		pattern, err := client.ParseTarget(o.url)
		if err != nil {
			return cli.Failf(cli.Usage, "%w", err)
		}
		target.Path = pattern.Path
	}
	m := newMeter(o, target, cli.NewProgress(stderr))
	err = m.measure()
	m.progress.Clear()
	if server != nil && server.Died() {
		return cli.Failf(cli.ServerDied, "the server ended during the run; its last words: %s", server.LastWords())
	}
	if err != nil {
		return err
	}
	return m.report(stdout, stderr)
}
