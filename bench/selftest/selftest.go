// Package selftest tests the load generator with servers whose behaviour is
// known. A server that only relays shows how much the generator itself can do.
// A server that stops for a second must be visible in the latencies. A server
// that loses, doubles or swaps a single message must be found.
package selftest

import (
	"errors"
	"fmt"
	"io"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/load"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// The results that the checks require.
const (
	minHeadroom = 2.0
	validCPU    = 0.85 // share of a CPU; if the generator uses more, a run is INVALID
	stall       = time.Second
	minStallP90 = 300 * time.Millisecond
)

// Config lets a test replace a part of the generator by a wrong one.
type Config struct {
	NewLedger func(roomOf []int32, roomOrder bool) load.Ledger // nil: the real ledger
	Progress  *cli.Progress
}

// check is one of the checks of the self-test, and a line of its output.
type check struct {
	name string
	run  func(cfg Config) (string, error)
}

// errMachine marks a failure that a slow or busy machine may have caused.
var errMachine = errors.New("too slow")

// Run makes all checks and prints a line for each. The exit code of its error
// is Missed if the generator is wrong, and Invalid if only this machine is too
// slow.
func Run(cfg Config, out io.Writer) error {
	checks := []check{{"headroom", headroom}, {"stall of 1 s", stalled}}
	for _, size := range []struct {
		name         string
		conns, rooms int
	}{{"small rooms", 32, 4}, {"a large room", 100, 1}} {
		for _, k := range kinds {
			checks = append(checks, check{k.name + " in " + size.name, func(cfg Config) (string, error) {
				return injected(cfg, k, size.conns, size.rooms)
			}})
		}
	}
	wrong, slow := 0, 0
	for _, c := range checks {
		text, err := c.run(cfg)
		switch {
		case err == nil:
			_, _ = fmt.Fprintf(out, "ok    %-24s %s\n", c.name, text)
			continue
		case errors.Is(err, errMachine):
			slow++
		default:
			wrong++
		}
		_, _ = fmt.Fprintf(out, "FAIL  %-24s %v\n", c.name, err)
	}
	switch {
	case wrong > 0:
		return cli.Failf(cli.Missed, "%d of %d checks failed: do not trust this generator's figures", wrong, len(checks))
	case slow > 0:
		return cli.Failf(cli.Invalid, "this machine is too slow, or too busy, for the generator")
	}
	return nil
}

// headroom checks that the generator's thread has enough idle time: with twice
// the deliveries the run would still be valid.
func headroom(cfg Config) (string, error) {
	s, err := scenario.Load("rooms")
	if err != nil {
		return "", err
	}
	s.Conns, s.Rooms = 1000, 125
	s.Duration, s.Warmup = 2*time.Second, time.Second
	r, err := against(cfg, s, &stub.Hub{})
	if err != nil {
		return "", err
	}
	if r.Proof.Sum() > 0 {
		return "", fmt.Errorf("the proof reported violations of a correct server: %v", r.Proof.Notes)
	}
	factor := validCPU / max(r.Generator.ThreadCPU, 0.001)
	text := fmt.Sprintf("%.1fx at %.0f deliveries/s; send lateness p50 %s, p99 %s",
		factor, r.Traffic.DeliveredRate, result.Micros(r.Lateness.P50), result.Micros(r.Lateness.P99))
	if factor < minHeadroom {
		return "", fmt.Errorf("%w: %s, but %.0fx is required", errMachine, text, minHeadroom)
	}
	return text, nil
}

// stalled checks that the p90 is high if a server stops for one second of five.
// If a generator waited for the server, or measured from the actual time of
// sending, only one message would be slow.
func stalled(cfg Config) (string, error) {
	s := scenario.Default()
	s.Name, s.Conns, s.Rooms, s.Rate = "stall", 32, 4, scenario.Rate{PerSecond: 200}
	s.Duration, s.Warmup = 5*time.Second, 0
	var first time.Time
	done := false
	hub := &stub.Hub{Tamper: func(_ string, _, _ int, message []byte) [][]byte {
		if first.IsZero() {
			first = time.Now()
		}
		if !done && time.Since(first) > stall {
			done = true
			time.Sleep(stall) // the lock of the hub is held, so no member gets a message
		}
		return [][]byte{stub.Frame(stub.Text, message)}
	}}
	r, err := against(cfg, s, hub)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("p50 %s, p90 %s", result.Micros(r.Latency.P50), result.Micros(r.Latency.P90))
	if r.Latency.P90 < minStallP90.Microseconds() {
		return "", fmt.Errorf("%s: the server stood still for one second of five, so p90 must be at least %v", text, minStallP90)
	}
	return text, nil
}

// kind is a kind of fault: a single message is lost, doubled or swapped.
type kind struct {
	name   string
	tamper func() func(message []byte) (frames [][]byte, done bool)
	seen   func(c proof.Counts) int64
}

var kinds = []kind{
	{"one drop", func() func([]byte) ([][]byte, bool) {
		return func([]byte) ([][]byte, bool) { return nil, true }
	}, func(c proof.Counts) int64 { return c.Lost }},
	{"one double", func() func([]byte) ([][]byte, bool) {
		return func(m []byte) ([][]byte, bool) {
			f := stub.Frame(stub.Text, m)
			return [][]byte{f, f}, true
		}
	}, func(c proof.Counts) int64 { return c.Doubled }},
	{"one swap", func() func([]byte) ([][]byte, bool) {
		var held []byte
		return func(m []byte) ([][]byte, bool) {
			f := stub.Frame(stub.Text, m)
			if held == nil {
				held = f
				return nil, false
			}
			return [][]byte{f, held}, true
		}
	}, func(c proof.Counts) int64 { return c.Reordered }},
}

// injected checks that the ledger finds a fault that the server makes with one
// message for one member, and reports nothing else.
func injected(cfg Config, k kind, conns, rooms int) (string, error) {
	const member, message = 3, 20
	s := scenario.Default()
	s.Name, s.Conns, s.Rooms, s.Rate = "injected", conns, rooms, scenario.Rate{PerSecond: 300}
	// The long settle time makes sure that a slow server is not mistaken for a
	// server that lost a message.
	s.Duration, s.Warmup, s.Settle = time.Second, 0, 5*time.Second
	victim, done := "", false
	tamper := k.tamper()
	hub := &stub.Hub{Tamper: func(room string, m, n int, text []byte) (frames [][]byte) {
		if victim == "" && m == member && n == message {
			victim = room
		}
		if done || room != victim || m != member || n < message {
			return [][]byte{stub.Frame(stub.Text, text)}
		}
		frames, done = tamper(text)
		return frames
	}}
	r, err := against(cfg, s, hub)
	if err != nil {
		return "", err
	}
	c := r.Proof.Counts
	if k.seen(c) != 1 || c.Sum() != 1 {
		return "", fmt.Errorf("not found, or reported as another fault: %+v %v", c, r.Proof.Notes)
	}
	return r.Proof.Notes[0], nil
}

// against makes a run with a hub as the server.
func against(cfg Config, s scenario.Scenario, hub *stub.Hub) (r *result.Result, err error) {
	if err := cli.NeedDescriptors(2*s.Conns + 1); err != nil {
		return nil, err
	}
	var t bench
	defer t.stop()
	defer func() {
		if t.fatal != nil {
			err = errors.Join(err, t.fatal)
		}
	}()
	url := stub.Start(&t, hub.Serve)
	r, err = load.Run(load.Config{Scenario: s, URL: url, NewLedger: cfg.NewLedger, Progress: cfg.Progress})
	if err == nil {
		r.Judge(nil)
	}
	return r, err
}

// bench implements stub.TB, because the self-test is not a Go test.
type bench struct {
	cleanups []func()
	fatal    error
}

func (b *bench) Helper()           {}
func (b *bench) Cleanup(f func())  { b.cleanups = append(b.cleanups, f) }
func (b *bench) Fatal(args ...any) { b.fatal = errors.New(fmt.Sprint(args...)) }
func (b *bench) stop() {
	for _, f := range b.cleanups {
		f()
	}
}
