package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dotsconnect/bench/result"
)

var proof = regexp.MustCompile(`(?m)^ *proof +0 lost, 0 doubled, `)

// bench runs a scenario of dotsbench. Exit code 3 means that the machine was too busy to measure rates and latencies, which
// no test of ours needs. A broken promise and a missed threshold are failures on any machine. A run that could not be made is
// one too: only a completed run prints a line about its proof.
func (p programs) bench(t *testing.T, args ...string) error {
	t.Helper()
	out, err := p.try(t, "dotsbench", append([]string{"run"}, args...)...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 3 && proof.MatchString(out) && !strings.Contains(out, "MISSED") && !strings.Contains(out, "ENDED") {
		return nil
	}
	return err
}

// benchResult is bench, and returns the result.
func (p programs) benchResult(t *testing.T, args ...string) (*result.Result, error) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	if err := p.bench(t, append(args, "--out", out)...); err != nil {
		return nil, err
	}
	return result.Load(out)
}

// testKick judges every close by the client's own stamps: exit code 4 means a broken promise. Its report has the distribution
// of lateness.
func (p programs) testKick(t *testing.T) {
	if err := p.bench(t, "missing-heartbeat", "--server-cmd", p.path("dotsd")+" --listen 127.0.0.1:{port} --admin= --max-age 3s",
		"--conns=10k", "--rooms=1250", "--silent=50%", "--max-age=3s", "--beat=1s", "--duration=8s"); err != nil {
		t.Error(err)
	}
}

// testIdle limits the resident memory per connection, when idle and after it sent and received a message, and the server's
// goroutines. Two hundred connections are opened and reset first, so that one-time costs (code pages that run for the first
// time, buffers of the loops) do not count.
func (p programs) testIdle(t *testing.T) {
	args := []string{"idle", "--server-cmd", p.path("dotsd") + " --listen 127.0.0.1:{port} --admin 127.0.0.1:{admin}",
		"--conns=10k", "--rooms=1250", "--prelude=200", "--rate=3k/s", "--duration=4s", "--warmup=0s",
		"--threshold=server.bytes_per_connection<=900", "--threshold=server.bytes_per_connection_end<=1150", "--threshold=server.goroutines<=20"}
	// Resident memory is the memory of connections plus memory that the runtime has not returned yet, which varies by 50
	// bytes a connection. The second part can only add, so the smallest of three results is the best.
	var err error
	for range 3 {
		if err = p.bench(t, args...); err == nil {
			return
		}
	}
	t.Errorf("idle: %v, three times", err)
}

// testChurn makes members check every message of their rooms while other clients connect and reset: 200,000 times by the
// schedule, fewer on a slow machine.
func (p programs) testChurn(t *testing.T) {
	if err := p.bench(t, "churn", "--server-cmd", p.path("dotsd")+" --listen 127.0.0.1:{port} --admin=", "--churn=10k/s", "--duration=20s"); err != nil {
		t.Error(err)
	}
}

// testManyGenerators holds more connections than one process has descriptors: two generators, two servers.
func (p programs) testManyGenerators(t *testing.T) {
	if err := p.bench(t, "rooms", "--server-cmd", p.path("dotsd")+" --listen 127.0.0.1:{port} --admin=", "--servers=2", "--procs=2",
		"--conns=30k", "--rooms=3k", "--rate=1000/s", "--duration=5s"); err != nil {
		t.Error(err)
	}
}
