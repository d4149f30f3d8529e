package duel

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
)

var update = flag.Bool("update", false, "rewrite testdata")

func aResult(change func(r *result.Result)) *result.Result {
	r := &result.Result{
		Schema: result.Schema, Program: "dotsbench", Started: "2026-01-02T03:04:05Z", Name: "rooms", Seed: 1,
		Scenario: map[string]string{"conns": "8000", "rate": "500/s", "size": "128"},
		Machine:  result.Machine{CPU: "Some CPU", CPUs: 2, Memory: 25_277_000_000, Kernel: "6.1.0", Arch: "amd64"},
		Latency:  result.Quantiles{Count: 8000, P50: 200, P90: 400, P99: 900, P999: 1500, Max: 4000},
		Connect:  result.Quantiles{Count: 8000, P50: 300, P90: 500, P99: 800, P999: 900, Max: 1000},
		Traffic:  result.Traffic{SentRate: 500, DeliveredRate: 4000},
		Server:   &result.Server{CPUPerDelivery: 1.25, BytesPerConn: 900, RSSEnd: 20 << 20},
		Proof:    proof.Verdict{Notes: []string{}},
	}
	change(r)
	return r
}

func TestComparisonIsAsInItsGoldenFile(t *testing.T) {
	const golden = "testdata/compare.txt"
	var b bytes.Buffer
	same := aResult(func(*result.Result) {})
	for _, c := range []struct {
		name string
		b    *result.Result
	}{
		{"# the same", aResult(func(r *result.Result) { r.Latency.P99 = 450 })},
		{"# INVALID, and on another machine", aResult(func(r *result.Result) {
			r.Invalid = []string{"the generator's thread was busy for 97 % of the time, and more than 85 % measures the generator"}
			r.Server.CPUPerDelivery, r.Latency.P50, r.Traffic.DeliveredRate = 1.5, 2_500_000, 2000
			r.Proof.Lost, r.Proof.Notes = 3, []string{"room 1: member 2 lost 3"}
			r.Scenario = map[string]string{"conns": "4000", "rate": "500/s", "size": "128", "slow": "1%"}
			r.Machine.Kernel, r.Machine.Memory = "6.2.0", 25_277_001_000
		})},
		{"# a server that is not known, of another scenario", aResult(func(r *result.Result) {
			r.Server, r.Name, r.Machine.CPUs, r.Machine.CPU = nil, "zipf", 64, ""
		})},
	} {
		b.WriteString(c.name + "\n")
		comparison := &Comparison{A: same, B: c.b, NameA: "old", NameB: "new"}
		if err := comparison.Table(&b); err != nil {
			t.Fatal(err)
		}
		var limits []Limit
		for _, text := range []string{"server.cpu_us_per_delivery<1.05x", "latency.p99 < 1x", "rate.delivered>0.9x"} {
			l, err := ParseLimit(text)
			if err != nil {
				t.Fatal(err)
			}
			limits = append(limits, l)
		}
		b.WriteString("=> " + cliText(comparison.Check(limits, &b)) + "\n\n")
	}
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
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

func cliText(err error) string {
	var b bytes.Buffer
	n := cli.Exit(&b, "dotsbench", err)
	return "exit " + string(rune('0'+n)) + " " + strings.TrimSpace(b.String())
}

func TestWhatIsNoResultIsRefusedWithItsName(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"text.json":   "hello",
		"list.json":   "[]",
		"other.json":  `{"program": "k6", "schema": 1}`,
		"duel.json":   `{"program": "dotsbench duel", "schema": 1}`,
		"future.json": `{"program": "dotsbench", "schema": 99, "latency": 7}`,
		"torn.json":   `{"program": "dotsbench", "schema": 1, "latency": 7}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if code(err) != cli.Usage || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", text, err)
		}
		if name == "future.json" && !strings.Contains(err.Error(), "unknown schema 99; this dotsbench reads 1 to ") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := Load(dir); code(err) != cli.Usage || !strings.Contains(err.Error(), "result.json") {
		t.Errorf("got %v", err)
	}
	text, err := json.Marshal(aResult(func(*result.Result) {}))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "result.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := Load(dir); err != nil || r.Latency.P99 != 900 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestMistakesInLimitsSayWhatIsWanted(t *testing.T) {
	for text, want := range map[string]string{
		"latency.p99":       "must be FIGURE<NUMBERx",
		"latency.p98<1x":    "unknown figure; write one of server.cpu_us_per_delivery",
		"latency.p99<1.05":  `"1.05" is not a ratio of B to A such as 1.05x`,
		"latency.p99<-1x":   "is not a ratio",
		"latency.p99<=1.1x": "is not a ratio",
	} {
		if _, err := ParseLimit(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
