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

// bench runs a scenario of dotsbench. Its exit 3 says that the machine was too busy for rates and latencies to count, which
// no test of ours asks for; a promise broken and a threshold missed are failures on any machine. So is a run that did not
// come about: only one that did has a line of its proof.
func (p programs) bench(t *testing.T, args ...string) error {
	t.Helper()
	out, err := p.try(t, "dotsbench", append([]string{"run"}, args...)...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 3 && proof.MatchString(out) && !strings.Contains(out, "MISSED") && !strings.Contains(out, "ENDED") {
		return nil
	}
	return err
}

// benchResult is bench that returns what was found.
func (p programs) benchResult(t *testing.T, args ...string) (*result.Result, error) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	if err := p.bench(t, append(args, "--out", out)...); err != nil {
		return nil, err
	}
	return result.Load(out)
}

// testKick judges every close by the client's own stamps: exit 4 is a promise broken. The distribution of lateness is in its
// report.
func (p programs) testKick(t *testing.T) {
	if err := p.bench(t, "missing-heartbeat", "--server-cmd", p.path("dotsd")+" --listen 127.0.0.1:{port} --admin= --max-age 3s",
		"--conns=10k", "--rooms=1250", "--silent=50%", "--max-age=3s", "--beat=1s", "--duration=8s"); err != nil {
		t.Error(err)
	}
}

// testIdle holds the bytes of resident memory of a connection, idle and after it sent and got a message, and the goroutines
// of the server. Two hundred connections come and go first: what the process pays once (pages of code that runs for the first
// time, buffers of the loops) is no property of a connection.
func (p programs) testIdle(t *testing.T) {
	args := []string{"idle", "--server-cmd", p.path("dotsd") + " --listen 127.0.0.1:{port} --admin 127.0.0.1:{admin}",
		"--conns=10k", "--rooms=1250", "--prelude=200", "--rate=3k/s", "--duration=4s", "--warmup=0s",
		"--threshold=server.bytes_per_connection<=900", "--threshold=server.bytes_per_connection_end<=1150", "--threshold=server.goroutines<=20"}
	// Resident memory is what a connection takes and what the runtime has not given back yet, 50 bytes a connection more or
	// less from run to run. The second can only add, so the smallest of three is nearest to the first.
	var err error
	for range 3 {
		if err = p.bench(t, args...); err == nil {
			return
		}
	}
	t.Errorf("idle: %v, three times", err)
}

// testChurn has members check every message of their rooms while others connect and reset beside them: by the clock 200,000
// times, on a slow machine less often.
func (p programs) testChurn(t *testing.T) {
	if err := p.bench(t, "churn", "--server-cmd", p.path("dotsd")+" --listen 127.0.0.1:{port} --admin=", "--churn=10k/s", "--duration=20s"); err != nil {
		t.Error(err)
	}
}

// testManyGenerators holds more connections than one process has descriptors for: two generators, two servers.
func (p programs) testManyGenerators(t *testing.T) {
	if err := p.bench(t, "rooms", "--server-cmd", p.path("dotsd")+" --listen 127.0.0.1:{port} --admin=", "--servers=2", "--procs=2",
		"--conns=30k", "--rooms=3k", "--rate=1000/s", "--duration=5s"); err != nil {
		t.Error(err)
	}
}
