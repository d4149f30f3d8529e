package runner

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Interruptible calls run. If SIGINT or SIGTERM arrives during this call,
// Interruptible cancels the context of run, calls cleanup, and ends all
// processes that this program started. Then it prints one line and exits the
// program with code 130 or 143. So a run that was interrupted cannot be mistaken
// for a complete one. Further signals are ignored, because cleanup must be able
// to end the fault. The time that cleanup takes is limited.
//
// If the program was started with one of these signals ignored, Interruptible
// ignores it too.
func Interruptible(run func(ctx context.Context) error, cleanup func()) error {
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
			cleanup()
			leave(s)
		case <-done:
			leaveIfTold(signals)
		}
	}()
	err := run(ctx)
	close(done)
	<-watched
	return err
}

// Uninterrupted calls write. If SIGINT or SIGTERM arrives during this call, the
// program exits only after write has returned. So a folder that write makes is
// complete. write must take only a moment.
func Uninterrupted(write func() error) error {
	signals := catch()
	defer signal.Stop(signals)
	err := write()
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

// leave ends all processes that this program started, and exits with the exit
// code that a shell shows after this signal.
func leave(s os.Signal) {
	number, name := syscall.SIGTERM, "SIGTERM"
	if s == os.Interrupt {
		number, name = syscall.SIGINT, "SIGINT"
	}
	endAll(descendants(os.Getpid()))
	_, _ = fmt.Fprintf(os.Stderr, "dotsbench: ended by %s\n", name)
	os.Exit(128 + int(number))
}
