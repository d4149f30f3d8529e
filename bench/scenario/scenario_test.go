package scenario

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata")

// Each paragraph of the golden file has a scenario file with one mistake, and
// the error message for it.
func TestMistakesAreNamedWithFileAndLine(t *testing.T) {
	const golden = "testdata/mistakes.txt"
	mistakes := []string{
		"conns: 10\nrom: 5", "conns: many", "conns: -3", "conns: 0", "conns: 10\nrooms: 11", "rate: 500", "rate: 5k/m", "rate: -1/s",
		"rate: 99999999999/s", "size: 10", "size: 64,1x", "size: 1M", "duration: 30", "duration: soon", "duration: 10ms", "warmup: -1s",
		"spread: wide", "order: none", "zipf-s: 9", "seed: x", "burst: 0", "conns: [1, 2]", "conns:\n  a: 1", "- conns", "conns: 1\nconns: 2",
		"conns: 'x", "open: 0/s", "slow: 1", "slow: 101%", "silent: 50%\nbeat: 70s", "silent: 10%\nmax-age: 20s\nbeat: 5s",
		"slow: 60%\nsilent: 60%\nmax-age: 2s\nbeat: 1s", "churn: max", "restart: 20s", "restart: 2s", "restart: 2s\nrate: 0/s\nslow: 1%", "restart: 2s\nrate: max\npublish: others", "restart: 2s\nrate: 0/s\naway: 8s",
		"away: 1s", "grace: 1s", "hurt: 2s\nheal: 4s\ngrace: 3s", "heal: 2s\nhurt: 3s", "across: nodes",
	}
	var b strings.Builder
	for _, text := range mistakes {
		_, err := Parse("x.yaml", []byte(text))
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got error %v, want one line", text, err)
		}
		fmt.Fprintf(&b, "%s\n=> %v\n\n", text, err)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Error(d)
	}
}

func TestEveryScenarioOfTheBinaryLoadsAndHasOneLineAboutIt(t *testing.T) {
	want := []string{"burst", "churn", "connect-storm", "echo", "giant", "idle", "missing-heartbeat", "node-death", "payloads", "redis-outage-local",
		"redis-outage", "restart-storm", "resume", "rooms", "slow-readers", "two-nodes", "zipf"}
	if d := cmp.Diff(want, Names()); d != "" {
		t.Error(d)
	}
	for _, name := range Names() {
		s, err := Load(name)
		if err != nil {
			t.Error(err)
		}
		if s.Name != name || s.About == "" || len(s.About) > 90 {
			t.Errorf("%s: name %q, about %q", name, s.Name, s.About)
		}
	}
}

func TestWhatAFieldShowsItTakes(t *testing.T) {
	for _, name := range Names() {
		s, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		again := Default()
		again.Name, again.About, again.Needs = s.Name, s.About, s.Needs
		for _, f := range Fields() {
			if err := again.Set(f.Name, f.Get(&s)); err != nil {
				t.Error(err)
			}
		}
		if d := cmp.Diff(s, again); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestUnits(t *testing.T) {
	s := Default()
	for name, text := range map[string]string{"conns": "10k", "size": "64,4k,64k", "rate": "1.5k/s", "duration": "1m30s"} {
		if err := s.Set(name, text); err != nil {
			t.Error(err)
		}
	}
	if s.Conns != 10_000 || !cmp.Equal(s.Sizes, []int{64, 4096, 65536}) || s.Rate.PerSecond != 1500 || s.Duration.Seconds() != 90 {
		t.Errorf("got %+v", s)
	}
	if err := s.Set("rate", "max"); err != nil || !s.Rate.Max {
		t.Errorf("rate max: got %+v, %v", s.Rate, err)
	}
}
