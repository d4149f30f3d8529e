package result

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/folder"
	"dotsconnect/bench/proof"
)

// good is the result of a run without violations.
func good() *Result {
	r := &Result{
		Schema: Schema, Name: "rooms", Seed: 1,
		Scenario: map[string]string{"conns": "80", "rooms": "10", "rate": "100/s", "size": "128"},
		Latency:  Quantiles{Count: 8000, P50: 200, P90: 300, P99: 400, P999: 500, Max: 600},
		Lateness: Quantiles{Count: 1000, P50: 5, P90: 7, P99: 9, Max: 100},
		Traffic:  Traffic{Conns: 80, Due: 100, Sent: 100, Delivered: 800, MeasuredS: 1, SentRate: 100, DeliveredRate: 800},
		Server:   &Server{CPUPerDelivery: 1.5, RSSEnd: 20 << 20, BytesPerConn: 1000},
		Proof:    proof.Verdict{Notes: []string{}},
		Seconds:  []Second{{T: 0, Sent: 100, Delivered: 800, P50: 200, P99: 400, Max: 600}},
	}
	h := NewHistogram()
	for range 800 {
		Record(h, 200_000)
	}
	r.Histograms = Histograms{Latency: h, Interval: []Interval{{time.UnixMilli(1_700_000_000_000), h}}}
	return r
}

func thresholds(t *testing.T, texts ...string) []Threshold {
	t.Helper()
	var all []Threshold
	for _, text := range texts {
		th, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, th)
	}
	return all
}

func TestTheWorstDecidesTheExitCode(t *testing.T) {
	missed := func(*Result) {}
	for _, c := range []struct {
		name string
		with func(r *Result)
		want int
	}{
		{"a missed threshold", missed, cli.Missed},
		{"late sends", func(r *Result) { r.Lateness.P99 = 1001 }, cli.Invalid},
		{"a schedule not sent", func(r *Result) { r.Traffic.Sent = 98 }, cli.Invalid},
		{"a busy generator", func(r *Result) { r.Generator.ThreadCPU = 0.86 }, cli.Invalid},
		{"steal", func(r *Result) { r.Generator.Steal = 0.011 }, cli.Invalid},
		{"a connection that was ended", func(r *Result) { r.Ended = "room 1: member 2: RST" }, cli.Violated},
		{"a loss on a busy machine", func(r *Result) { r.Proof.Lost, r.Generator.Steal = 1, 0.5 }, cli.Violated},
		{"a dead server that lost all", func(r *Result) { r.Proof.Lost, r.Died = 100, "panic" }, cli.ServerDied},
	} {
		r := good()
		c.with(r)
		r.Judge(thresholds(t, "latency.p99<300us"))
		if r.Exit != c.want {
			t.Errorf("%s: exit %d, want %d (%v)", c.name, r.Exit, c.want, r.Invalid)
		}
	}
	r := good()
	// Sends may be late by a tenth of the median latency, which is more than 1
	// ms here.
	r.Latency.P50, r.Latency.P99, r.Lateness.P99 = 30_000, 40_000, 2900
	r.Judge(thresholds(t, "latency.p99<=40ms", "server.cpu_us_per_delivery<2", "rate.delivered>700", "server.rss<64M"))
	if r.Exit != cli.OK {
		t.Errorf("exit %d, %v %v", r.Exit, r.Invalid, r.Thresholds)
	}
}

func TestAThresholdOnAFigureThatIsNotThereIsMissed(t *testing.T) {
	r := good()
	r.Server = nil
	r.Judge(thresholds(t, "server.cpu_us_per_delivery<2"))
	if r.Exit != cli.Missed || r.Thresholds[0].Why == "" {
		t.Errorf("got exit %d, %+v", r.Exit, r.Thresholds)
	}
}

func TestMistakesInThresholdsSayWhatIsWanted(t *testing.T) {
	for text, want := range map[string]string{
		"latency.p99":         "must be FIGURE<VALUE",
		"latency.p98<20ms":    "write one of connect.failed",
		"latency.p99<20":      `"20" is not a time such as 20ms`,
		"server.rss<20 moons": "is not bytes such as",
		"rate.sent>fast":      "is not a plain number",
	} {
		if _, err := ParseThreshold(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestTheFolderHasAllFilesOrIsNotThere(t *testing.T) {
	r := good()
	r.Judge(nil)
	top := t.TempDir()
	dir := filepath.Join(top, "new")
	if err := folder.Check(dir); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"result.json": `"schema": 1`, "latency.hlog": "#[Histogram log format version", "table.txt": "0 lost",
		"seconds.csv": "\n0,false,100,800,200,400,600,", "bench.txt": "Benchmark/rooms/conns=80 800 200 p50-us 400 p99-us",
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s: %v, want %q in\n%s", name, err, want, b)
		}
	}
	b, _ := os.ReadFile(filepath.Join(dir, "result.json"))
	var again Result
	if err := json.Unmarshal(b, &again); err != nil || again.Latency != r.Latency {
		t.Errorf("result.json reads back as %+v, %v", again.Latency, err)
	}
	if err := folder.Check(dir); err == nil {
		t.Error("a folder that exists would be written to")
	}
	// The folder exists, so Write fails when it renames its temporary folder.
	// It must remove that folder.
	if err := r.Write(dir); err == nil {
		t.Error("a folder that exists was replaced")
	}
	if entries, _ := os.ReadDir(top); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
