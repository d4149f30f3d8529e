package command

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
)

// knee makes results in place of real runs. The latency grows with the rate, as
// in a queue, and passes 50 ms at the rate server. If generator is not 0, runs
// at higher rates are INVALID.
type knee struct {
	server, generator float64
	rates             []float64
	change            func(n int, r *result.Result)
}

func (k *knee) run(spec runner.Spec) (*result.Result, error) {
	rate := spec.Scenario.Rate.PerSecond
	k.rates = append(k.rates, rate)
	p99 := int64(1e8)
	if rate < k.server*1.02 {
		p99 = int64(1000 / (1.02 - rate/k.server)) // 50 ms if rate is k.server
	}
	r := &result.Result{Latency: result.Quantiles{Count: 10_000, P50: p99 / 2, P99: p99},
		Traffic: result.Traffic{Sent: 1000, Due: 1000, DeliveredRate: 8 * rate}, Server: &result.Server{CPUs: rate / k.server},
		Proof: proof.Verdict{Notes: []string{}}}
	if k.generator > 0 && rate > k.generator {
		r.Generator.ThreadCPU = 0.97
	}
	if k.change != nil {
		k.change(len(k.rates), r)
	}
	r.Judge(spec.Thresholds)
	return r, nil
}

func (k *knee) search(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	s, err := parseMax(append([]string{"rooms", "--until", "p99<50ms"}, args...), &out)
	if err != nil {
		t.Fatal(err)
	}
	s.spec.Progress, s.run, s.out = cli.NewProgress(nil), k.run, &out
	err = s.find()
	return out.String(), err
}

func (k *knee) last() float64 { return k.rates[len(k.rates)-1] }

func exitOf(err error) int { return cli.Exit(&bytes.Buffer{}, "", err) }

func TestMaxFindsTheKneeWithin5Percent(t *testing.T) {
	for _, at := range []float64{101, 150, 999, 12_345, 987_654} {
		k := &knee{server: at}
		out, err := k.search(t)
		if got := k.last(); err != nil || got > at || got < at/1.051 {
			t.Errorf("knee at %v: got %v, %v\n%s", at, got, err, out)
		}
		// There must be two runs at the answer: the second one confirms it.
		n := 0
		for _, rate := range k.rates {
			if rate == k.last() {
				n++
			}
		}
		if n != 2 || !strings.Contains(out, "confirmed by a second run; stopped by the server at ") || !strings.Contains(out, "missed latency.p99<50ms") {
			t.Errorf("knee at %v: %d runs at the answer\n%s", at, n, out)
		}
	}
}

func TestMaxSaysThatTheGeneratorWasTheLimit(t *testing.T) {
	k := &knee{server: 50_000, generator: 3000}
	out, err := k.search(t)
	if got := k.last(); exitOf(err) != cli.Invalid || got > 3000 || got < 3000/1.051 ||
		!strings.Contains(out, "at least ") || !strings.Contains(out, "stopped by the generator at ") {
		t.Errorf("got %v, %v\n%s", got, err, out)
	}
}

func TestMaxBlamesTheServerForWhatItDoesNotRead(t *testing.T) {
	k := &knee{server: 50_000}
	k.change = func(_ int, r *result.Result) {
		if r.Traffic.DeliveredRate > 8*700 {
			r.Traffic.Sent, r.Traffic.Refused = 900, 100
		}
	}
	if out, err := k.search(t); err != nil || !strings.Contains(out, "stopped by the server at ") || !strings.Contains(out, "did not read 100 of 1,000") {
		t.Errorf("got %v\n%s", err, out)
	}
}

func TestOneBadSecondDoesNotDecide(t *testing.T) {
	k := &knee{server: 5000}
	k.change = func(n int, r *result.Result) {
		if n == 2 {
			r.Latency.P99 = 9_000_000
		}
		if n == 5 {
			r.Generator.Steal = 0.3
		}
	}
	if out, err := k.search(t); err != nil || k.last() > 5000 || k.last() < 5000/1.051 {
		t.Errorf("got %v, %v\n%s", k.last(), err, out)
	}
}

func TestAnAnswerThatIsNotConfirmedIsNone(t *testing.T) {
	clean := &knee{server: 1000}
	if _, err := clean.search(t); err != nil {
		t.Fatal(err)
	}
	k := &knee{server: 1000}
	first := len(clean.rates)
	k.change = func(n int, r *result.Result) {
		if n == first || n == first+1 {
			r.Latency.P99 = 9_000_000
		}
	}
	out, err := k.search(t)
	if err != nil || k.last() >= clean.last() || len(k.rates) < first+2 {
		t.Errorf("got %v, then %v, %v\n%s", clean.last(), k.last(), err, out)
	}
}

func TestMaxEndsAtABrokenPromiseAndADeath(t *testing.T) {
	for code, change := range map[int]func(r *result.Result){
		cli.Violated:   func(r *result.Result) { r.Proof.Lost, r.Proof.Notes = 1, []string{"room 1: lost"} },
		cli.ServerDied: func(r *result.Result) { r.Died = "panic" },
	} {
		k := &knee{server: 5000}
		k.change = func(n int, r *result.Result) {
			if n == 3 {
				change(r)
			}
		}
		if _, err := k.search(t); exitOf(err) != code || !strings.Contains(err.Error(), "at 400/s: ") || !strings.HasSuffix(err.Error(), "; the highest rate that kept the conditions was 200/s") {
			t.Errorf("got %v", err)
		}
	}
}

func TestTheEndsOfTheSearch(t *testing.T) {
	k := &knee{server: 50}
	if _, err := k.search(t); exitOf(err) != cli.Missed || !strings.Contains(err.Error(), "even 100/s fails: missed latency.p99<50ms; use a lower --from") {
		t.Errorf("got %v", err)
	}
	k = &knee{server: 5000, generator: 50}
	if _, err := k.search(t); exitOf(err) != cli.Invalid {
		t.Errorf("got %v", err)
	}
	k = &knee{server: math.MaxInt32}
	out, err := k.search(t, "--to", "1.5k/s")
	if err != nil || k.last() != 1500 || !strings.Contains(out, "at least 1,500 messages/s") || !strings.Contains(out, "stopped by --to") {
		t.Errorf("got %v\n%s", err, out)
	}
}

func TestShortNamesAndMillions(t *testing.T) {
	for text, want := range map[string]string{"p99<5ms": "latency.p99<5ms", " max >1s": "latency.max >1s", "rate.sent>5": "rate.sent>5", "p98<1": "p98<1"} {
		if got := inFull(text); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	if got, err := parseBound("to", "1.5M/s"); err != nil || got != 1.5e6 {
		t.Errorf("got %v, %v", got, err)
	}
}
