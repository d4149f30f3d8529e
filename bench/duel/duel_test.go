package duel

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
	"dotsconnect/bench/scenario"
)

// servers simulates two servers: the results of their runs are computed.
type servers struct {
	t      *testing.T
	cost   map[string]float64 // by command: CPU time per delivery in us; the p99 is in proportion to it
	noise  float64
	random *rand.Rand
	order  []string
	seeds  []uint64
	mend   func(n int, command string, r *result.Result) // changes the result of the n-th run
	refuse func(n int) error
}

func newServers(t *testing.T, a, b, noise float64) *servers {
	return &servers{t: t, cost: map[string]float64{"a {port}": a, "b {port}": b}, noise: noise, random: rand.New(rand.NewPCG(3, 3))}
}

func (s *servers) run(spec runner.Spec) (*result.Result, error) {
	n := len(s.order) + 1
	s.order, s.seeds = append(s.order, spec.ServerCmd[:1]), append(s.seeds, spec.Scenario.Seed)
	if s.refuse != nil {
		if err := s.refuse(n); err != nil {
			return nil, err
		}
	}
	v := s.cost[spec.ServerCmd] * math.Exp(s.noise*s.random.NormFloat64())
	r := &result.Result{Schema: result.Schema, Program: "dotsbench", Seed: spec.Scenario.Seed, Name: "rooms",
		Latency: result.Quantiles{Count: 1000, P50: int64(50e3 * v), P99: int64(100e3 * v)},
		Traffic: result.Traffic{DeliveredRate: 1e6 / v, Sent: 1000, Due: 1000},
		Server:  &result.Server{CPUPerDelivery: v, BytesPerConn: 1000},
		Proof:   proof.Verdict{Notes: []string{}}, Seconds: []result.Second{},
		Histograms: result.Histograms{Latency: result.NewHistogram()},
	}
	if s.mend != nil {
		s.mend(n, spec.ServerCmd[:1], r)
	}
	r.Judge(spec.Thresholds)
	return r, nil
}

func (s *servers) fight(rounds, repeats int, noise bool, out string) (*Report, error) {
	return s.fightFor(0, rounds, repeats, noise, out)
}

func (s *servers) fightFor(effect float64, rounds, repeats int, noise bool, out string) (*Report, error) {
	s.t.Helper()
	sc, err := scenario.Load("rooms")
	if err != nil {
		s.t.Fatal(err)
	}
	side := func(command string) Server {
		return Server{command, func(spec *runner.Spec) { spec.ServerCmd = command }}
	}
	return Fight(Config{A: side("a {port}"), B: side("b {port}"), Spec: runner.Spec{Scenario: sc}, Rounds: rounds, Effect: effect, Noise: noise,
		Repeats: repeats, Out: out, Run: s.run})
}

func outcome(t *testing.T, r *Report, name string) *Outcome {
	t.Helper()
	i := slices.IndexFunc(r.Outcomes, func(o *Outcome) bool { return o.Name == name })
	if i < 0 {
		t.Fatalf("no outcome for %s", name)
	}
	return r.Outcomes[i]
}

func table(t *testing.T, r *Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTurnsAreABBAAndARoundHasOneSeed(t *testing.T) {
	s := newServers(t, 1, 1, 0)
	if _, err := s.fight(4, 0, false, ""); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.order, ""); got != "abbaabba" {
		t.Errorf("got %s, want abbaabba", got)
	}
	if want := []uint64{1, 1, 2, 2, 3, 3, 4, 4}; !slices.Equal(s.seeds, want) {
		t.Errorf("got seeds %v, want %v", s.seeds, want)
	}
	s = newServers(t, 1, 1, 0)
	r, err := s.fight(2, 0, true, "")
	if err != nil {
		t.Fatal(err)
	}
	var sides []Side
	for _, run := range r.Runs {
		sides = append(sides, run.Side)
	}
	if want := []Side{A, B, Again, Again, B, A}; !slices.Equal(sides, want) || strings.Join(s.order, "") != "abaaba" {
		t.Errorf("got %v, %v, want %v", sides, s.order, want)
	}
}

func TestABetterServerIsFoundAndAnEqualOneIsNot(t *testing.T) {
	r, err := newServers(t, 1, 0.88, 0.01).fight(7, 0, true, "")
	if err != nil {
		t.Fatal(err)
	}
	o := outcome(t, r, "server.cpu_us_per_delivery")
	if o.Finding != "less" || o.Ratio.Low < 0.85 || o.Ratio.High > 0.91 || !strings.HasPrefix(o.Verdict, "B is 1") ||
		!strings.Contains(o.Verdict, "% cheaper (interval 0.8") || !strings.Contains(o.Verdict, "; A against itself ") {
		t.Errorf("got %+v, %+v", o, o.Ratio)
	}
	if o := outcome(t, r, "latency.p99"); !strings.Contains(o.Verdict, "% faster") {
		t.Errorf("got %s", o.Verdict)
	}
	if o := outcome(t, r, "server.bytes_per_connection"); !strings.HasPrefix(o.Verdict, "no difference (interval 1.00 to 1.00") {
		t.Errorf("got %s", o.Verdict)
	}
	for _, o := range r.Outcomes {
		if o.Name == "rate.delivered" {
			t.Error("a duel must not have the delivery rate of an open loop")
		}
	}
	if r, err = newServers(t, 1, 1, 0.03).fight(9, 0, true, ""); err != nil {
		t.Fatal(err)
	}
	if o := outcome(t, r, "server.cpu_us_per_delivery"); o.Finding != "no difference" {
		t.Errorf("got %s", o.Verdict)
	}
}

func TestInvalidRunsAreRepeatedAndTheirTimesNeverCount(t *testing.T) {
	s := newServers(t, 1, 1, 0.01)
	s.mend = func(n int, _ string, r *result.Result) {
		if n == 1 || n == 4 {
			r.Generator.Steal, r.Latency.P99 = 0.5, 90_000_000
		}
	}
	r, err := s.fight(7, 3, false, "")
	if err != nil {
		t.Fatal(err)
	}
	if o := outcome(t, r, "latency.p99"); o.A.N != 7 || o.A.High > 1e6 || o.B.High > 1e6 || r.Repeated != 2 || len(r.Runs) != 16 {
		t.Errorf("got %+v, %d repeated, %d runs", o, r.Repeated, len(r.Runs))
	}
	if got := strings.Join(s.order, ""); got != "aabbbaabbaabbaab" {
		t.Errorf("got %s", got)
	}
	if text := table(t, r); !strings.Contains(text, "16 runs, 2 INVALID (2 repeated)") {
		t.Errorf("got %s", text)
	}
}

func TestTooFewValidRoundsIsSaidInsteadOfANumberAndCPUStillCounts(t *testing.T) {
	s := newServers(t, 1, 0.5, 0.01)
	s.mend = func(_ int, command string, r *result.Result) {
		if command == "b" {
			r.Generator.ThreadCPU = 0.99
		}
	}
	r, err := s.fight(7, 4, true, "")
	if code(err) != cli.Invalid || !strings.Contains(err.Error(), "too few valid rounds for latency p50, latency p99") {
		t.Errorf("got %v", err)
	}
	if o := outcome(t, r, "latency.p99"); o.Ratio != nil || o.Verdict != "no answer: both runs count in 0 rounds, but at least 7 are needed" {
		t.Errorf("got %+v", o)
	}
	if o := outcome(t, r, "server.cpu_us_per_delivery"); o.Finding != "less" || o.A.N != 7 || r.Repeated != 4 || len(r.Runs) != 25 {
		t.Errorf("got %+v, %d runs", o, len(r.Runs))
	}
}

func TestABrokenPromiseOrADeathEndsTheDuelAndNamesTheSide(t *testing.T) {
	for _, c := range []struct {
		mend func(r *result.Result)
		code int
		want string
	}{
		{func(r *result.Result) { r.Proof.Lost, r.Proof.Notes = 1, []string{"room 3: lost one"} }, cli.Violated,
			"round 2, B: delivery violation: room 3: lost one"},
		{func(r *result.Result) { r.Died = "panic" }, cli.ServerDied, "round 2, B: the server died: panic"},
	} {
		s := newServers(t, 1, 1, 0)
		s.mend = func(n int, _ string, r *result.Result) {
			if n == 3 {
				c.mend(r)
			}
		}
		dir := filepath.Join(t.TempDir(), "out")
		r, err := s.fight(7, 0, false, dir)
		if code(err) != c.code || err.Error() != c.want || len(s.order) != 3 {
			t.Errorf("got %v after %d runs, want %s", err, len(s.order), c.want)
		}
		if r.Ended != c.want || r.Exit != c.code || !strings.Contains(table(t, r), "ENDED "+c.want) {
			t.Errorf("got %+v", r)
		}
		// The folder is kept, because its runs prove the violation.
		if _, err := os.Stat(filepath.Join(dir, "runs/003-round2-B/result.json")); err != nil {
			t.Error(err)
		}
	}
}

func TestTheFolderIsWholeOrNotThere(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "out")
	s := newServers(t, 1, 1, 0.01)
	if _, err := s.fight(7, 0, true, dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "duel.json"))
	var r Report
	if err != nil || json.Unmarshal(text, &r) != nil || r.Schema != 1 || len(r.Runs) != 21 || len(r.Outcomes) != 4 || !r.Runs[20].Stands {
		t.Fatalf("%v, %s", err, text)
	}
	for _, run := range r.Runs {
		if _, err := Load(filepath.Join(dir, run.Folder)); err != nil {
			t.Error(err)
		}
	}
	s = newServers(t, 1, 1, 0)
	s.refuse = func(int) error { return cli.Failf(cli.Usage, "no such program") }
	if r, err := s.fight(7, 0, true, filepath.Join(top, "other")); r != nil || code(err) != cli.Usage || err.Error() != "round 1, A: no such program" {
		t.Errorf("got %+v, %v", r, err)
	}
	// The folder of the third run cannot be written, so the folders of the
	// first two are removed.
	s = newServers(t, 1, 1, 0)
	s.refuse = func(n int) error {
		if n == 3 {
			left, _ := filepath.Glob(filepath.Join(top, ".third.*"))
			return errors.Join(os.RemoveAll(filepath.Join(left[0], "runs")), os.WriteFile(filepath.Join(left[0], "runs"), nil, 0o600))
		}
		return nil
	}
	if _, err := s.fight(7, 0, true, filepath.Join(top, "third")); err == nil {
		t.Error("a folder that could not be written was")
	}
	if entries, _ := os.ReadDir(top); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestFewRoundsComeWithAWarning(t *testing.T) {
	r, err := newServers(t, 1, 0.5, 0.01).fight(2, 0, false, "")
	if text := table(t, r); err != nil || !strings.Contains(text, "WARNING 2 rounds prove little") ||
		!strings.Contains(text, "server CPU per delivery: unproven: B seems ") {
		t.Errorf("got %v, %s", err, text)
	}
}

func TestADuelGoesOnUntilItWouldSeeTheWantedDifference(t *testing.T) {
	// With 5 % of noise, seven rounds do not show 4 %.
	r, err := newServers(t, 1, 1, 0.05).fightFor(0.04, 7, 0, false, "")
	if err != nil {
		t.Fatal(err)
	}
	o := outcome(t, r, "server.cpu_us_per_delivery")
	if r.Rounds <= 7 || r.Rounds == MaxRounds || o.Unseen > 0.04 || o.A.N != r.Rounds {
		t.Errorf("%d rounds, %+v", r.Rounds, o)
	}
	if want := fmt.Sprintf("a difference under %.2g %% would not have been seen", 100*o.Unseen); o.Finding == "no difference" && !strings.Contains(o.Verdict, want) {
		t.Errorf("got %q, want %q", o.Verdict, want)
	}
	if r, err = newServers(t, 1, 1, 0.0001).fightFor(0.04, 7, 0, false, ""); err != nil || r.Rounds != 7 {
		t.Errorf("%d rounds without noise, %v", r.Rounds, err)
	}
}

func TestTheCPUTimeOfABusyMachineDoesNotCount(t *testing.T) {
	s := newServers(t, 1, 1, 0.01)
	s.mend = func(_ int, command string, r *result.Result) {
		if command == "b" {
			r.Server.Wait, r.Server.CPUPerDelivery = 0.2, 1.15
		}
	}
	r, err := s.fight(7, 0, false, "")
	if o := outcome(t, r, "server.cpu_us_per_delivery"); code(err) != cli.Invalid || o.Ratio != nil {
		t.Errorf("got %v, %+v", err, o)
	}
	if o := outcome(t, r, "server.bytes_per_connection"); o.Ratio == nil {
		t.Errorf("memory does not count: %+v", o)
	}
}
