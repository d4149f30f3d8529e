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
// The first SIGTERM or SIGINT cancels the context, which takes the node out of service in good order. A second signal
// means that a person or a supervisor does not want to wait. SIGHUP reads the configuration again.
func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	// Without this, a closed log pipe would kill the server and all its connections.
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		cancel(fmt.Errorf("signal: %v", <-signals))
		fmt.Fprintf(os.Stderr, "dotsd: second signal (%v): exiting now; remaining connections are cut\n", <-signals)
		os.Exit(exitFailure)
	}()
	hups := make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP)
	os.Exit(run(ctx, program{os.Args[1:], os.Environ(), os.Stdout, os.Stderr, hups}))
}
