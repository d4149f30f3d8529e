package runner

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Interruptible calls do. If SIGINT or SIGTERM arrives meanwhile, it cancels
// do's context, calls end, ends all processes that this program started, and
// exits with one line and exit code 130 or 143. It does not return then, so a
// run that was cut off cannot be mistaken for a complete one. Further signals
// change nothing: end takes a limited time and also ends the fault.
//
// A signal that the program was started to ignore stays ignored.
func Interruptible(do func(ctx context.Context) error, end func()) error {
	signals := catch()
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case s := <-signals:
			cancel()
			end()
			leave(s)
		case <-done:
			leaveIfTold(signals)
		}
	}()
	err := do(ctx)
	close(done)
	<-watched
	return err
}

// Uninterrupted calls do, which takes a moment, and delays signals until it
// returns, so that a folder is written completely or not at all.
func Uninterrupted(do func() error) error {
	signals := catch()
	defer signal.Stop(signals)
	err := do()
	leaveIfTold(signals)
	return err
}

func catch() chan os.Signal {
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return signals
}

func leaveIfTold(signals <-chan os.Signal) {
	select {
	case s := <-signals:
		leave(s)
	default:
	}
}

// leave exits the program with the exit code that a shell expects after a
// signal.
func leave(s os.Signal) {
	number, name := syscall.SIGTERM, "SIGTERM"
	if s == os.Interrupt {
		number, name = syscall.SIGINT, "SIGINT"
	}
	endAll(descendants(os.Getpid()))
	_, _ = fmt.Fprintf(os.Stderr, "dotsbench: ended by %s\n", name)
	os.Exit(128 + int(number))
}
