package redisbridge

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// row is a fault of the whole system: nodes with real WebSocket clients and a real Redis, and a fault while the clients send.
type row struct {
	name string
	long bool // only with DOTS_FAULTS=long
	run  func(t *testing.T, b *build) tally
}

// build is what the rows need to start nodes as separate programs.
type build struct {
	now, before func(t *testing.T) string // the path of this version, and of the one with format 1
}

// longFaults reports that the faults shall take as long as they usually do.
func longFaults() bool { return os.Getenv("DOTS_FAULTS") == "long" }

// TestFaultTable prints a table of RESULTS.md: make faults
func TestFaultTable(t *testing.T) {
	t.Parallel()
	if !long() && !longFaults() {
		t.Skip("takes long: DOTS_TEST_ALL=1 runs it")
	}
	var mu sync.Mutex
	lines := map[string]string{}
	var order []string
	b := newBuild(t)
	t.Run("all", func(t *testing.T) {
		for _, r := range tableOfFaults() {
			if r.long && !longFaults() {
				continue
			}
			order = append(order, r.name)
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				v := r.run(t, b)
				v.check(t)
				t.Logf("%.1f s\n%s\n%s", time.Since(began).Seconds(), tallyHead, v.row(r.name))
				mu.Lock()
				defer mu.Unlock()
				lines[r.name] = "\n" + v.row(r.name)
			})
		}
	})
	var text strings.Builder
	text.WriteString(tallyHead)
	for _, name := range order {
		if lines[name] == "" {
			lines[name] = "\n| " + name + " | failed | | | | | | | | | |"
		}
		text.WriteString(lines[name])
	}
	if longFaults() { // with -v it would be hard to find among other output
		fmt.Println(text.String())
	} else {
		t.Logf("\n%s", text.String())
	}
}

func newBuild(t *testing.T) *build {
	var now, before sync.Once
	var nowPath, beforePath string
	return &build{
		now: func(*testing.T) string {
			now.Do(func() { nowPath = buildServer(t, "..") })
			return nowPath
		},
		before: func(u *testing.T) string {
			before.Do(func() { beforePath = buildBefore(t, u) })
			if beforePath == "" {
				u.Skipf("the clone has no commit %s to build: git fetch --unshallow", commitBefore)
			}
			return beforePath
		},
	}
}

func tableOfFaults() (rows []row) {
	rows = append(rows, emptyRows()...)
	rows = append(rows, standstillRows()...)
	rows = append(rows, awayRows()...)
	rows = append(rows, wireRows()...)
	rows = append(rows, leaseRows()...)
	rows = append(rows, failoverRows()...)
	return append(rows, mixedRows()...)
}
