package cmd_test

import (
	"os"
	"strings"
	"testing"
)

// TestBothModulesHaveOneVersionOfEach: modules that both the main module and the peers (the servers for comparison) use must have
// the same version in both. Otherwise the tests would compile most of them twice.
func TestBothModulesHaveOneVersionOfEach(t *testing.T) {
	ours, peers := requirements(t, "../go.mod"), requirements(t, "../bench/peers/go.mod")
	both := 0
	for name, version := range peers {
		if own, ok := ours[name]; ok {
			both++
			if own != version {
				t.Errorf("%s: the peers have %s, we have %s; in bench/peers: go get %s@%s && go mod tidy", name, version, own, name, own)
			}
		}
	}
	if both < 5 {
		t.Errorf("only %d modules in both: the test does not read the files correctly", both)
	}
}

// requirements returns the versions that a go.mod requires, by module.
func requirements(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(strings.TrimPrefix(line, "require ")); len(fields) > 1 && strings.HasPrefix(fields[1], "v") {
			versions[fields[0]] = fields[1]
		}
	}
	return versions
}
