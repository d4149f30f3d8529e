package runner

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Interruptible calls do. On the first SIGINT or SIGTERM meanwhile it ends do's
// context, calls end, ends all that this program has started, and then the
// program, with one line and exit code 130 or 143. It does not return then, so
// nobody takes a run that was cut off for a run. Further signals change nothing:
// end takes a limited time, and leaves nothing hurt behind.
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

// Uninterrupted calls do, which takes a moment, and lets signals to end wait so
// long: so that a folder is written whole or not at all.
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

// leave ends the program as a shell would have it.
func leave(s os.Signal) {
	number, name := syscall.SIGTERM, "SIGTERM"
	if s == os.Interrupt {
		number, name = syscall.SIGINT, "SIGINT"
	}
	endAll(descendants(os.Getpid()))
	_, _ = fmt.Fprintf(os.Stderr, "dotsbench: ended by %s\n", name)
	os.Exit(128 + int(number))
}
