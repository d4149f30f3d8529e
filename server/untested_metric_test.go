package server

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// notInTests are the metrics that no test of this package reads, with the reason.
var notInTests = map[string]string{
	"dots_loop_load_bytes": "a loop publishes its counters at the end of a turn, when bytes seldom wait, so that a test cannot make a scrape see them",
}

// A metric that no test reads could always be zero. So each metric must occur in a test.
func TestEachMetricOccursInATest(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests found: %v", err)
	}
	var all strings.Builder
	for _, file := range files {
		if file == "untested_metric_test.go" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, m := range Metrics() {
		occurs := regexp.MustCompile(`\b` + m.Name + `\b`).MatchString(all.String())
		switch reason, exempt := notInTests[m.Name]; {
		case !occurs && !exempt:
			t.Errorf("no test reads %s: add a line to TestMetricsTellWhatHappened", m.Name)
		case occurs && exempt:
			t.Errorf("a test reads %s, so it must not be in notInTests (%s)", m.Name, reason)
		}
	}
}
