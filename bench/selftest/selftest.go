// Package selftest proves the load generator by servers that are known: one that
// costs nothing shows what the generator itself can do, one that stands still for
// a second must be seen to, and one that drops, doubles or swaps a single message
// must be found out.
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

// What must be shown.
const (
	minHeadroom = 2.0
	validCPU    = 0.85 // above it a run is invalid
	stall       = time.Second
	minStallP90 = 300 * time.Millisecond
)

// Config changes parts of the generator, so that a test can break one of them.
type Config struct {
	NewLedger func(roomOf []int32, roomOrder bool) load.Ledger // nil: the real one
	Progress  *cli.Progress
}

// check is one line of the self test.
type check struct {
	name string
	run  func(cfg Config) (string, error)
}

// errMachine is a failure for which the machine may be to blame.
var errMachine = errors.New("too slow")

// Run makes all checks and prints a line for each. The error has the exit code:
// Missed if the generator is wrong, Invalid if it is only too slow here.
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

// headroom: deliveries that a server makes at no cost leave the generator's
// thread so idle that twice as many would still be valid.
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
		return "", fmt.Errorf("a server that does all right is said to violate: %v", r.Proof.Notes)
	}
	factor := validCPU / max(r.Generator.ThreadCPU, 0.001)
	text := fmt.Sprintf("%.1fx at %.0f deliveries/s; send lateness p50 %s, p99 %s",
		factor, r.Traffic.DeliveredRate, result.Micros(r.Lateness.P50), result.Micros(r.Lateness.P99))
	if factor < minHeadroom {
		return "", fmt.Errorf("%w: %s, and %.0fx is needed", errMachine, text, minHeadroom)
	}
	return text, nil
}

// stalled: a server that stands still for one second of five must show in p90. A
// generator that waits for it, or counts from when it sent, would see one slow
// message.
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
			time.Sleep(stall) // the hub's lock is held: nobody gets anything
		}
		return [][]byte{stub.Frame(stub.Text, message)}
	}}
	r, err := against(cfg, s, hub)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("p50 %s, p90 %s", result.Micros(r.Latency.P50), result.Micros(r.Latency.P90))
	if r.Latency.P90 < minStallP90.Microseconds() {
		return "", fmt.Errorf("%s: a second of five is missing in p90 (at least %v)", text, minStallP90)
	}
	return text, nil
}

// kind is a way to mistreat one message.
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

// injected: exactly the one message that one member of one room was wronged by
// is found, and nothing else.
func injected(cfg Config, k kind, conns, rooms int) (string, error) {
	const member, message = 3, 20
	s := scenario.Default()
	s.Name, s.Conns, s.Rooms, s.Rate = "injected", conns, rooms, scenario.Rate{PerSecond: 300}
	// A stub that gets no time is no loss; only what never comes takes so long.
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
		return "", fmt.Errorf("not found for what it is: %+v %v", c, r.Proof.Notes)
	}
	return r.Proof.Notes[0], nil
}

// against makes a run against a hub.
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

// bench stands in for the testing.TB of the stub.
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
