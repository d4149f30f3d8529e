package redisbridge

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// long reports whether the faults that take long run too.
func long() bool { return os.Getenv("DOTS_TEST_ALL") != "" }

// TestMain fails if a goroutine is left. go-redis looks only once a second whether its pool was closed while it tried to
// dial, so the check is patient.
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
