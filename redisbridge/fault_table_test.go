package redisbridge

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// row is one fault of a whole system: nodes with real WebSocket clients and a real Redis, and a fault that happens while the
// clients send.
type row struct {
	name string
	long bool // runs only with DOTS_FAULTS=long
	run  func(t *testing.T, b *build) tally
}

// build builds the programs for the rows that start nodes as separate programs.
type build struct {
	now, before func(t *testing.T) string // return the paths of this version, and of the version with format 1
}

// longFaults reports whether the faults last as long as they usually do in production.
func longFaults() bool { return os.Getenv("DOTS_FAULTS") == "long" }

// TestFaultTable makes a table in RESULTS.md: make faults
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
	if longFaults() { // not with t.Logf: in the output of -v the table would be hard to find
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
