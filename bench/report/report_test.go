package report

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
)

var update = flag.Bool("update", false, "write the golden files")

func html(t *testing.T, results ...*result.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, results...); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i, line := range gotLines {
		if i >= len(wantLines) || line != wantLines[i] {
			t.Fatalf("%s: line %d is %q; look at the page and run the test with -update if it should be", path, i+1, line)
		}
	}
	t.Fatalf("%s: has %d lines more than the page; run the test with -update if it should not", path, len(wantLines)-len(gotLines))
}

// outline returns the parts of a run's page as lines of text.
func outline(r *result.Result) string {
	v := newRun(r, 1, true)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", v.Verdict.Class, v.Verdict.Word)
	for _, f := range v.Figures {
		fmt.Fprintf(&b, "figure %s: %s %s (%s) %s\n", f.Name, f.Value, f.Unit, f.Note, f.Class)
	}
	for _, p := range v.Plots {
		fmt.Fprintf(&b, "plot %s\n", p.Title)
	}
	for _, t := range v.Tables {
		fmt.Fprintf(&b, "table %s | %s\n", t.Caption, strings.Join(t.Head, " | "))
		for _, row := range t.Rows {
			for _, c := range row {
				fmt.Fprintf(&b, "%s%s; ", c.Text, map[bool]string{true: " [" + c.Class + "]"}[c.Class == "void" || c.Class == "bad" || c.Class == "good" || c.Class == "warn"])
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func TestThePagesOfFixedResults(t *testing.T) {
	var b strings.Builder
	for _, r := range []*result.Result{lobby(), missed(), invalid(), violated(), silent(), restarted()} {
		fmt.Fprintf(&b, "# %s\n%s\n", r.Name, outline(r))
	}
	golden(t, "pages.txt", b.String())
}

func TestTheSameResultMakesTheSamePage(t *testing.T) {
	// The result has maps, such as the codes of kicks. Their order in Go is
	// random, but it must be fixed in the page.
	first, second := html(t, silent()), html(t, silent())
	if first != second {
		t.Error("two pages of one result differ")
	}
}

func prometheus(t *testing.T, r *result.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := Prometheus(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheMetricsOfAFixedResult(t *testing.T) { golden(t, "metrics.prom", prometheus(t, lobby())) }

func TestPrometheusCanReadTheMetrics(t *testing.T) {
	all := map[string]*result.Result{"bare": bare(), "extreme": extreme(), "hostile": hostile(), "silent": silent(), "violated": violated()}
	for name, r := range all {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(prometheus(t, r)))
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, prometheus(t, r))
			continue
		}
		seen := map[string]bool{}
		for _, family := range families {
			if family.GetHelp() == "" || family.GetType().String() == "UNTYPED" {
				t.Errorf("%s: %s has no help or no type", name, family.GetName())
			}
			for _, m := range family.GetMetric() {
				key := family.GetName() + m.String()
				if seen[key] || m.TimestampMs != nil {
					t.Errorf("%s: %s is there twice or has a time, which the textfile collector refuses", name, key)
				}
				seen[key] = true
				if got := m.GetLabel()[0].GetValue(); name == "hostile" && family.GetName() == "dotsbench_connections" && got != attack {
					t.Errorf("the scenario reads back as %q", got)
				}
			}
		}
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(prometheus(t, lobby())))
	if err != nil {
		t.Fatal(err)
	}
	q := families["dotsbench_latency_seconds"].GetMetric()[0].GetSummary().GetQuantile()[2]
	if q.GetQuantile() != 0.99 || q.GetValue() != 0.000612 {
		t.Errorf("p99 is %v", q)
	}
}

func TestTheVerdictNamesAllThatWentWrong(t *testing.T) {
	died := lobby()
	died.Exit, died.Died = cli.ServerDied, "its last output: out of memory"
	ended := lobby()
	ended.Exit, ended.Ended = cli.Violated, "3 connections were ended by the server"
	for _, c := range []struct {
		r    *result.Result
		want []string
	}{
		{lobby(), []string{"Pass", "120,000 of 120,000 deliveries arrived exactly once and in order; 2 thresholds met"}},
		{missed(), []string{"Threshold missed", "latency.max&lt;20ms: 48.32 ms", "rate.sent&gt;1000: 500"}},
		{invalid(), []string{"Invalid", "do not describe the server", "74.7 %", "still count", "invalid run"}},
		{violated(), []string{"Delivery violation", "4 lost, 1 doubled", "room 17: member 3 lost numbers 41 to 44"}},
		{ended, []string{"Delivery violation", "ended connections that should have stayed", "3 connections were ended"}},
		{died, []string{"Server died", "out of memory"}},
		{bare(), []string{"Pass", "nothing to deliver"}},
	} {
		page := html(t, c.r)
		for _, want := range c.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s with exit %d: no %q", c.r.Name, c.r.Exit, want)
			}
		}
	}
}

func TestAPageShowsWhatThereIsAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		r         *result.Result
		has, lack string
	}{
		{bare(), "", "<figure"},
		{silent(), "Kick times", "Latency over time"},
		{restarted(), "Recovery after a restart", "Kick times"},
		{lobby(), "Latency by percentile", "Recovery"},
	} {
		page := html(t, c.r)
		if !strings.Contains(page, c.has) || strings.Contains(page, c.lack) {
			t.Errorf("%s: wants %q and not %q", c.r.Name, c.has, c.lack)
		}
	}
	if page := html(t); !strings.Contains(page, "No runs") {
		t.Error("a page without runs does not say so")
	}
}

func TestTextOfAResultIsNeverMarkup(t *testing.T) {
	page := html(t, hostile(), hostile())
	for _, bad := range []string{"<script", "alert(1)</", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if got := strings.Count(page, "</style>"); got != 1 {
		t.Errorf("%d ends of the style sheet", got)
	}
	if !strings.Contains(page, "&lt;script&gt;alert(1)") {
		t.Error("the name is not shown as it is")
	}
}

var notANumber = regexp.MustCompile(`NaN|[+-]Inf|e\+\d|<no value>`)

func TestNoFigureIsNoNumber(t *testing.T) {
	for _, r := range []*result.Result{bare(), oneSecond(), extreme(), lobby(), silent(), restarted()} {
		if found := notANumber.FindString(html(t, r)); found != "" {
			t.Errorf("%s: the page has %s", r.Name, found)
		}
		if found := regexp.MustCompile(`NaN|Inf`).FindString(prometheus(t, r)); found != "" {
			t.Errorf("%s: the metrics have %s", r.Name, found)
		}
	}
}

func TestAPageOfALongRunStaysSmall(t *testing.T) {
	if got := len(html(t, extreme())); got > 600_000 {
		t.Errorf("two hours take %d bytes", got)
	}
}

func TestTheCommandCanBePastedIntoAShell(t *testing.T) {
	r := lobby()
	r.Name = "it's mine"
	r.Thresholds = r.Thresholds[:1]
	got := command(r)
	if !strings.HasPrefix(got, `dotsbench run 'it'\''s mine' --conns 8000 --rooms 1000 --rate 500/s`) || !strings.HasSuffix(got, ` --threshold 'latency.p99<20ms'`) {
		t.Errorf("got %s", got)
	}
}

// The command that repeats a run has the flags of the run, which start the
// server. It must not have the URL, because the port was only for that run.
func TestTheCommandStartsTheServerAsItWasAskedTo(t *testing.T) {
	r := lobby()
	r.Thresholds, r.URL = nil, "ws://127.0.0.1:41234/ws/chat/{room}/"
	r.Flags = []string{"--server-cmd", "bin/dotsd --listen 127.0.0.1:{port} --admin=", "--pin", "--hurt-cmd", ""}
	if got := command(r); !strings.HasSuffix(got, ` --seed 1 --server-cmd 'bin/dotsd --listen 127.0.0.1:{port} --admin=' --pin --hurt-cmd ''`) {
		t.Errorf("got %s", got)
	}
}

func TestTheFilesAreWrittenWithTheFolder(t *testing.T) {
	var names []string
	for _, f := range Files(lobby()) {
		if err := f.Write(io.Discard); err != nil {
			t.Error(err)
		}
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "report.html metrics.prom" {
		t.Errorf("got %s", got)
	}
}
