package redisbridge

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// long reports whether the faults that take long run too.
func long() bool { return os.Getenv("DOTS_TEST_ALL") != "" }

// TestMain fails if a goroutine is left. go-redis looks only once a second whether its pool was closed while it tried to
// dial, so the check is patient. A toxic of toxiproxy, or what writes to it, can be left behind when both ends of its connection are gone at once.
func TestMain(m *testing.M) {
	toxics := []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxics talk to the global one
	beQuiet()
	code := m.Run()
	if code == 0 {
		var left error
		if !waitFor(5*time.Second, func() bool { left = goleak.Find(toxics...); return left == nil }) {
			fmt.Fprintln(os.Stderr, left)
			code = 1
		}
	}
	os.Exit(code)
}
