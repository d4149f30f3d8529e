package result

import (
	"strings"
	"testing"

	"dotsconnect/bench/internal/cli"
)

func TestABusyMachineMakesEvenTheCostInvalid(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(r *Result)
		busy string // part of the reason; empty: the machine was not busy
		open bool   // whether it cannot be judged
	}{
		{"quiet", func(r *Result) { r.Generator.Wait, r.Server.Wait = 0.001, 0.005 }, "", false},
		{"the server waits", func(r *Result) { r.Server.Wait, r.Generator.Foreign = 0.04, 0.5 }, "the server waited", false},
		{"the generator waits", func(r *Result) { r.Generator.Wait, r.Generator.Foreign = 0.04, -1 }, "the generator waited", false},
		{"server and generator wait for each other", func(r *Result) { r.Server.Wait, r.Generator.Wait = 0.09, 0.09 }, "", false},
		{"they wait for each other too long", func(r *Result) { r.Server.Wait = 0.11 }, "the limit is 10 %", false},
		{"threads of a pinned server wait for each other", func(r *Result) {
			r.Server.Wait, r.Generator.Pinned, r.Generator.Foreign = 0.3, true, 0.01
		}, "", false},
		{"another program on the CPU of a pinned server", func(r *Result) {
			r.Server.Wait, r.Generator.Pinned, r.Generator.Foreign = 0.3, true, 0.5
		}, "other programs used 0.50 CPUs", false},
		{"nothing can be read", func(r *Result) { r.Generator.Wait, r.Server.Wait, r.Generator.PSI = -1, -1, -1 }, "", true},
		{"only the pressure can be read", func(r *Result) { r.Generator.Wait, r.Server.Wait, r.Generator.PSI = -1, -1, 0.3 }, "CPU pressure", false},
	} {
		r := good()
		c.with(r)
		r.Judge(thresholds(t, "server.cpu_us_per_delivery<2"))
		if (r.Busy != "") != (c.busy != "") || !strings.Contains(r.Busy, c.busy) || (len(r.NotJudged) > 0) != c.open {
			t.Errorf("%s: busy %q, not judged %v", c.name, r.Busy, r.NotJudged)
		}
		if want := c.busy != ""; (r.Exit == cli.Invalid) != want || (r.Thresholds[0].NotJudged != "") != want {
			t.Errorf("%s: exit %d, %+v", c.name, r.Exit, r.Thresholds)
		}
	}
}

func TestAQuantileIsJudgedByTheLatenessAtThisQuantile(t *testing.T) {
	for _, c := range []struct {
		threshold string
		with      func(r *Result)
		judged    bool
	}{
		{"latency.p50<1ms", func(r *Result) {}, true},
		{"latency.p50<1ms", func(r *Result) { r.Lateness.P50 = 21 }, false},
		{"latency.p99<1ms", func(r *Result) { r.Lateness.P50 = 21 }, true},
		{"latency.max<1ms", func(r *Result) { r.Lateness.Max = 61 }, false},
		{"latency.max<1ms", func(r *Result) { r.Lateness.Max = 61; r.Closed = true }, true},
		{"latency_from_send.p50<1ms", func(r *Result) { r.FromSend, r.Lateness.P50 = r.Latency, 100 }, true},
		{"latency.p999<1ms", func(r *Result) { r.Latency.Count = 9999 }, false},
		{"latency.p999<1ms", func(r *Result) { r.Latency.Count = 10_000 }, true},
		{"latency.p99<1ms", func(r *Result) { r.Latency.Count = 60 }, false},
		{"latency.p90<1ms", func(r *Result) { r.Latency.Count = 100 }, true},
		{"server.rss_growth<1M/h", func(r *Result) {}, false},
		{"server.descriptor_growth<5/h", func(r *Result) { r.Server.Growth = &Growth{} }, true},
	} {
		r := good()
		r.Lateness.Max = 60
		c.with(r)
		r.Judge(thresholds(t, c.threshold))
		exit := map[bool]int{true: cli.OK, false: cli.Invalid}[c.judged]
		if o := r.Thresholds[0]; (o.NotJudged == "") != c.judged || r.Exit != exit {
			t.Errorf("%s: %+v, exit %d", c.threshold, o, r.Exit)
		}
		r.InvalidOK = true
		if r.Judge(thresholds(t, c.threshold)); r.Exit != cli.OK {
			t.Errorf("%s with --invalid ok: exit %d", c.threshold, r.Exit)
		}
	}
}

func TestTheTableMarksWhatDoesNotDescribeTheServer(t *testing.T) {
	r := good()
	r.Lateness.P99 = 41
	r.Judge(nil)
	var b strings.Builder
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if row := line(text, "latency "); !strings.Contains(row, "200 us  300 us  400 us*") || !strings.Contains(row, " - ") {
		t.Errorf("got %q in\n%s", row, text)
	}
	if !strings.Contains(text, "*: the generator was late") {
		t.Errorf("the mark is not explained:\n%s", text)
	}
}

func line(text, with string) string {
	for l := range strings.Lines(text) {
		if strings.Contains(l, with) {
			return l
		}
	}
	return ""
}

func TestFailedConnectsAreAFigureWithAThreshold(t *testing.T) {
	for _, c := range []struct {
		failed    int
		threshold []string
		want      int
	}{
		{0, nil, cli.OK}, {1, nil, cli.Missed}, {1, []string{"connect.failed<=1%"}, cli.OK}, {2, []string{"connect.failed<=1%"}, cli.Missed},
	} {
		r := good()
		r.Connects = Connects{Tried: 100, Failed: c.failed}
		r.Judge(thresholds(t, c.threshold...))
		if r.Exit != c.want {
			t.Errorf("%d failed, threshold %v: exit %d, want %d", c.failed, c.threshold, r.Exit, c.want)
		}
	}
}
