// Command dotsd serves rooms to WebSocket clients. See "dotsd --help".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// main is signals and the exit code; everything else is run, which a test can call.
//
// The first SIGTERM or SIGINT cancels the context, which takes the node out of service in good order. The second one is a
// person, or a supervisor, who does not want to wait. SIGHUP has the configuration read again.
func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	// Without this a log pipe that goes away would kill the server and all its connections.
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		cancel(fmt.Errorf("signal: %v", <-signals))
		fmt.Fprintf(os.Stderr, "dotsd: second signal (%v): exiting now; connections that are left are cut\n", <-signals)
		os.Exit(exitFailure)
	}()
	hups := make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP)
	os.Exit(run(ctx, program{os.Args[1:], os.Environ(), os.Stdout, os.Stderr, hups}))
}
