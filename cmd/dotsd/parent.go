package main

import (
	"context"
	"errors"
	"os"
	"time"
)

// parent is the id of the process that started this one.
var parent = os.Getppid()

// parentLook is how often this process checks that its parent still runs.
const parentLook = 500 * time.Millisecond

// withParent returns a context that is done when ctx is done, or when the process that started this one has ended. The kernel has
// a signal for the end of a parent (PR_SET_PDEATHSIG). withParent does not use that signal, because the signal comes when the
// thread that started us ends, even if the process of that thread lives on.
func withParent(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		ticker := time.NewTicker(parentLook)
		defer ticker.Stop()
		for os.Getppid() == parent {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
		cancel(errors.New("the process that started this one has ended"))
	}()
	return ctx
}
