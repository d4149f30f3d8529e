// Package browsertest drives a headless Chromium in tests by the steps of a person: open a page, type, click, wait until the page
// shows something.
//
// No function here sleeps. Every wait is a condition that the browser itself checks on a short timer (not on animation frames,
// which a hidden tab does not get). A wait that takes longer than [Patience] fails the test.
//
// If a page throws an exception or violates its own Content-Security-Policy, its test fails at the end, whatever else the test
// checked.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Patience is how long a page may take to fulfil a condition. It is long, because only a test that fails waits for all of it.
const Patience = 15 * time.Second

// programs are the names under which distributions install the browser.
var programs = []string{"chromium", "chromium-browser", "google-chrome"}

// Browser is one browser process with a new profile.
type Browser struct {
	ctx context.Context //nolint:containedctx // chromedp keeps the browser in a context; there is no other handle
}

// Path returns the path of the installed browser. If none is installed it skips the test, or fails it if the environment has
// DOTS_TEST_ALL=1, because then every test must run.
func Path(tb testing.TB) string {
	tb.Helper()
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	const missing = "no chromium, chromium-browser or google-chrome in PATH: install chromium to run the browser tests"
	if all, err := strconv.ParseBool(os.Getenv("DOTS_TEST_ALL")); err == nil && all {
		tb.Fatal(missing)
	}
	tb.Skip(missing)
	return ""
}

// Start starts a browser. It ends together with the test.
func Start(tb testing.TB) *Browser {
	tb.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(Path(tb)),
		chromedp.UserDataDir(tb.TempDir()),
		chromedp.Headless,
		chromedp.NoSandbox, // tests run in containers, where the sandbox does not work
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("hide-scrollbars", true),
	)
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	tb.Cleanup(stopAllocator)
	ctx, stop := chromedp.NewContext(allocator)
	tb.Cleanup(stop)
	// The first call of Do starts the process. Its context must live as long as the browser, so it cannot have a deadline.
	if err := chromedp.Do(ctx); err != nil {
		tb.Fatalf("start %s: %v", Path(tb), err)
	}
	return &Browser{ctx: ctx}
}
