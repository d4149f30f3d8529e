package redisbridge

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// long reports whether slow tests run too.
func long() bool { return os.Getenv("DOTS_TEST_ALL") != "" }

// TestMain fails if a goroutine is left at the end. After a failed dial, go-redis checks only once a second whether its pool was
// closed, so TestMain waits for a while.
func TestMain(m *testing.M) {
	beQuiet()
	code := m.Run()
	if code == 0 {
		var left error
		if !waitFor(5*time.Second, func() bool { left = goleak.Find(); return left == nil }) {
			fmt.Fprintln(os.Stderr, left)
			code = 1
		}
	}
	os.Exit(code)
}
