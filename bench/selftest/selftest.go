// Package selftest tests the load generator with servers whose behaviour is
// known. A server that only relays shows how much the generator itself can do.
// A server that stops for a second must be visible in the latencies. A server
// that loses, doubles or swaps a single message must be found.
package selftest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/load"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/runner"
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

	text string
	err  error
	done chan struct{} // closed when text and err are set
}

// start runs the checks. Those that measure times run alone; the others mostly
// wait, so they run at the same time.
func start(cfg Config, alone, together []*check) []*check {
	all := slices.Concat(alone, together)
	for _, c := range all {
		c.done = make(chan struct{})
	}
	one := func(c *check) {
		c.text, c.err = c.run(cfg)
		close(c.done)
	}
	go func() {
		for _, c := range alone {
			one(c)
		}
		for _, c := range together {
			go one(c)
		}
	}()
	return all
}

// errMachine marks a failure that a slow or busy machine may have caused.
var errMachine = errors.New("too slow")

// Run makes all checks and prints a line for each. The exit code of its error
// is Missed if the generator is wrong, and Invalid if only this machine is too
// slow.
func Run(cfg Config, out io.Writer) error {
	named := func(name string, run func(cfg Config) (string, error)) *check { return &check{name: name, run: run} }
	alone := []*check{named("headroom", headroom), named("stall of 1 s", stalled), named("a busy machine", busyMachine),
		named("a server that died as a zombie", zombie)}
	together := []*check{named("a server without echo", withoutEcho), named("a broken answer to a heartbeat", brokenBeat)}
	for _, size := range []struct {
		name         string
		conns, rooms int
	}{{"small rooms", 32, 4}, {"a large room", 100, 1}} {
		for _, f := range faults() {
			together = append(together, named(f.name+" in "+size.name, func(cfg Config) (string, error) {
				return injected(cfg, f, size.conns, size.rooms)
			}))
		}
	}
	wrong, slow := 0, 0
	checks := start(cfg, alone, together)
	for _, c := range checks {
		<-c.done
		switch {
		case c.err == nil:
			_, _ = fmt.Fprintf(out, "ok    %-36s %s\n", c.name, c.text)
			continue
		case errors.Is(c.err, errMachine):
			slow++
		default:
			wrong++
		}
		_, _ = fmt.Fprintf(out, "FAIL  %-36s %v\n", c.name, c.err)
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

// fault is a fault that the server makes with one message for one member.
type fault struct {
	name string
	// make returns a function that gets the message, and each later one until it
	// returns done.
	make func(again func(frame []byte)) func(message []byte) (frames [][]byte, done bool)
	want proof.Counts
}

// faults returns all faults that the ledger must find, each for what it is.
func faults() []fault {
	text := func(m []byte) []byte { return stub.Frame(stub.Text, m) }
	once := func(name string, change func(m []byte) []byte, want proof.Counts) fault {
		return fault{name, func(func([]byte)) func([]byte) ([][]byte, bool) {
			return func(m []byte) ([][]byte, bool) { return [][]byte{change(bytes.Clone(m))}, true }
		}, want}
	}
	flip := func(at func(m []byte) int) func(m []byte) []byte {
		return func(m []byte) []byte {
			i := at(m)
			// A base 64 digit becomes another one, so that the stamp stays well
			// formed.
			if m[i] != 'A' {
				m[i] = 'A'
			} else {
				m[i] = 'B'
			}
			return text(m)
		}
	}
	stamp := func(offset int) func(m []byte) int {
		return func(m []byte) int { return bytes.IndexByte(m, '~') + offset }
	}
	return []fault{
		{"one drop", func(func([]byte)) func([]byte) ([][]byte, bool) {
			return func([]byte) ([][]byte, bool) { return nil, true }
		}, proof.Counts{Lost: 1}},
		{"one double", func(func([]byte)) func([]byte) ([][]byte, bool) {
			return func(m []byte) ([][]byte, bool) { return [][]byte{text(m), text(m)}, true }
		}, proof.Counts{Doubled: 1}},
		{"one swap", func(func([]byte)) func([]byte) ([][]byte, bool) {
			var held []byte
			return func(m []byte) ([][]byte, bool) {
				if held == nil {
					held = text(m)
					return nil, false
				}
				return [][]byte{text(m), held}, true
			}
		}, proof.Counts{Reordered: 1}},
		{"a late copy", func(again func([]byte)) func([]byte) ([][]byte, bool) {
			return func(m []byte) ([][]byte, bool) {
				again(text(m))
				return [][]byte{text(m)}, true
			}
		}, proof.Counts{Doubled: 1}},
		once("a byte cut", func(m []byte) []byte { return text(m[:len(m)-1]) }, proof.Counts{Damaged: 1}),
		once("a byte appended", func(m []byte) []byte { return text(append(m, ' ')) }, proof.Counts{Damaged: 1}),
		once("text as binary", func(m []byte) []byte { return stub.Frame(stub.Binary, m) }, proof.Counts{Damaged: 1}),
		once("a changed envelope", flip(func([]byte) int { return 3 }), proof.Counts{Damaged: 1}),
		once("a changed pad", flip(func(m []byte) int { return len(m) - 5 }), proof.Counts{Damaged: 1}),
		// A message whose stamp is damaged is damaged, and the message that was
		// sent is lost.
		once("a changed time", flip(stamp(15)), proof.Counts{Damaged: 1, Lost: 1}),
		once("a changed number", flip(stamp(11)), proof.Counts{Damaged: 1, Lost: 1}),
	}
}

// injected checks that the ledger finds a fault that the server makes with one
// message for one member, and reports nothing else.
func injected(cfg Config, f fault, conns, rooms int) (string, error) {
	const member, message = 3, 20
	s := scenario.Default()
	s.Name, s.Conns, s.Rooms, s.Rate = "injected", conns, rooms, scenario.Rate{PerSecond: 300}
	// The long settle time makes sure that a slow server is not mistaken for a
	// server that lost a message.
	s.Duration, s.Warmup, s.Settle = time.Second, 0, 5*time.Second
	victim, done := "", false
	var tamper func([]byte) ([][]byte, bool)
	hub := &stub.Hub{}
	hub.Tamper = func(room string, m, n int, text []byte) (frames [][]byte) {
		if victim == "" && m == member && n == message {
			victim = room
			tamper = f.make(func(frame []byte) {
				// All messages of the run have arrived by then.
				time.AfterFunc(s.Duration+500*time.Millisecond, func() { hub.Send(room, m, frame) })
			})
		}
		if done || room != victim || m != member || n < message {
			return [][]byte{stub.Frame(stub.Text, text)}
		}
		frames, done = tamper(text)
		return frames
	}
	r, err := against(cfg, s, hub)
	if err != nil {
		return "", err
	}
	if c := r.Proof.Counts; c != f.want {
		return "", fmt.Errorf("not found, or reported as another fault: %+v %v", c, r.Proof.Notes)
	}
	return r.Proof.Notes[0], nil
}

// withoutEcho checks that a server that leaves the sender out is right with echo
// no, and that without it the result guesses the cause.
func withoutEcho(cfg Config) (string, error) {
	s := scenario.Default()
	s.Name, s.Conns, s.Rooms, s.Rate = "no echo", 32, 4, scenario.Rate{PerSecond: 300}
	s.Duration, s.Warmup, s.Settle, s.Echo = time.Second, 0, time.Second, scenario.EchoNo
	r, err := against(cfg, s, &stub.Hub{Silent: true})
	switch {
	case err != nil:
		return "", err
	case r.Proof.Sum() > 0 || r.Proof.Received == 0:
		return "", fmt.Errorf("with echo no: %+v %v", r.Proof.Counts, r.Proof.Notes)
	}
	s.Echo = scenario.EchoYes
	if r, err = against(cfg, s, &stub.Hub{Silent: true}); err != nil {
		return "", err
	}
	if r.Proof.Lost == 0 || r.Proof.Guess == "" {
		return "", fmt.Errorf("no guess: %+v %v", r.Proof.Counts, r.Proof.Notes)
	}
	return r.Proof.Guess, nil
}

// brokenBeat checks that an answer to a heartbeat that is not UTF-8 is a broken
// promise.
func brokenBeat(cfg Config) (string, error) {
	s := scenario.Default()
	s.Name, s.Conns, s.Rooms, s.Rate, s.Beat = "heartbeat", 8, 1, scenario.Rate{}, 200*time.Millisecond
	s.Duration, s.Warmup, s.Settle = time.Second, 0, 0
	r, err := against(cfg, s, &stub.Hub{Beat: stub.Frame(stub.Text, []byte{0xff})})
	switch {
	case err != nil:
		return "", err
	case len(r.Broken) == 0 || r.Exit != cli.Violated:
		return "", fmt.Errorf("not found: exit %d, %s", r.Exit, result.Causes(r.Traffic.OtherKinds))
	}
	return r.Broken[0], nil
}

// busyMachine checks that a run is INVALID, with the server's CPU time, if other
// programs use all CPUs.
func busyMachine(cfg Config) (text string, err error) {
	const burners = 4 // for each CPU
	var started []*exec.Cmd
	defer func() {
		for _, cmd := range started {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // the error is the signal
		}
	}()
	for range burners * runtime.NumCPU() {
		cmd := exec.Command("/bin/sh", "-c", "while :; do :; done")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return "", err
		}
		started = append(started, cmd)
	}
	s := scenario.Default()
	s.Name, s.Conns, s.Rooms, s.Rate = "busy", 200, 25, scenario.Rate{PerSecond: 1000}
	s.Duration, s.Warmup = 2*time.Second, 0
	r, err := against(cfg, s, &stub.Hub{})
	switch {
	case err != nil:
		return "", err
	case len(r.NotJudged) > 0:
		return "not judged on this machine: " + r.NotJudged[0], nil
	case r.Busy == "":
		return "", fmt.Errorf("%d programs used the CPUs, but the machine was not found busy: waited %.4f of the time", burners*runtime.NumCPU(), r.Generator.Wait)
	}
	return r.Busy, nil
}

// zombie checks that a server that has ended is found dead, although its parent
// has not waited for it, so that its process id still exists.
func zombie(cfg Config) (string, error) {
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	killed := false
	end := func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
		}
	}
	defer func() {
		end()
		_ = cmd.Wait() // the error is the signal
	}()
	hub := &stub.Hub{Tamper: func(_ string, _, n int, m []byte) [][]byte {
		if n == 20 {
			end()
		}
		return [][]byte{stub.Frame(stub.Text, m)}
	}}
	s := scenario.Default()
	s.Name, s.Conns, s.Rooms, s.Rate = "zombie", 8, 1, scenario.Rate{PerSecond: 100}
	s.Duration, s.Warmup, s.Settle = time.Second, 0, 0
	var t bench
	defer t.stop()
	r, err := runner.Spec{Scenario: s, URL: stub.Start(&t, hub.Serve), Pids: []int{cmd.Process.Pid}, Progress: cfg.Progress}.Run()
	switch {
	case err != nil:
		return "", err
	case r.Exit != cli.ServerDied:
		return "", fmt.Errorf("exit %d, died %q", r.Exit, r.Died)
	}
	return r.Died, nil
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
