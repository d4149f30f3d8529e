// Command dotsd serves rooms to WebSocket clients. See "dotsd --help".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// main handles signals and the exit code; everything else is in run, which a test can call.
//
// The first SIGTERM or SIGINT cancels the context: the node is drained. A second signal ends the process at once, because the
// person or supervisor that sent it does not want to wait. SIGHUP makes the server read its configuration again.
func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	// By default SIGPIPE would kill the server, with all its connections, when a pipe for its log is closed.
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		cancel(fmt.Errorf("signal: %v", <-signals))
		fmt.Fprintf(os.Stderr, "dotsd: second signal (%v): exiting now; remaining connections are closed without a code\n", <-signals)
		os.Exit(exitFailure)
	}()
	hups := make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP)
	os.Exit(run(ctx, program{os.Args[1:], os.Environ(), os.Stdout, os.Stderr, hups}))
}
