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

// bench runs a scenario of dotsbench. It accepts exit code 3, which means that the machine was too busy to measure rates and
// latencies: our tests do not need rates and latencies. A broken promise and a missed threshold are failures on any machine. It
// is also a failure if the run could not be made: only a completed run prints a line about its proof.
func (p programs) bench(t *testing.T, args ...string) error {
	t.Helper()
	out, err := p.try(t, "dotsbench", append([]string{"run"}, args...)...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 3 && proof.MatchString(out) && !strings.Contains(out, "MISSED") && !strings.Contains(out, "ENDED") {
		return nil
	}
	return err
}

// benchResult does the same as bench, and returns the result.
func (p programs) benchResult(t *testing.T, args ...string) (*result.Result, error) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	if err := p.bench(t, append(args, "--out", out)...); err != nil {
		return nil, err
	}
	return result.Load(out)
}

// testKick makes dotsbench judge the time of every close by the client's own time stamps. Exit code 4 would mean a broken
// promise. The report has the distribution of the lateness.
func (p programs) testKick(t *testing.T) {
	if err := p.bench(t, "missing-heartbeat", "--server-cmd", p.path("dotsd")+" --listen 127.0.0.1:{port} --admin= --max-age 3s",
		"--conns=10k", "--rooms=1250", "--silent=50%", "--max-age=3s", "--beat=1s", "--duration=8s"); err != nil {
		t.Error(err)
	}
}

// testIdle limits the resident memory per connection: of an idle connection, and of a connection that has sent and received a
// message. It also limits the server's goroutines. Two hundred connections are opened and reset first, so that one-time costs
// (code pages that run for the first time, buffers of the loops) do not count.
func (p programs) testIdle(t *testing.T) {
	args := []string{"idle", "--server-cmd", p.path("dotsd") + " --listen 127.0.0.1:{port} --admin 127.0.0.1:{admin}",
		"--conns=10k", "--rooms=1250", "--prelude=200", "--rate=3k/s", "--duration=4s", "--warmup=0s",
		"--threshold=server.bytes_per_connection<=900", "--threshold=server.bytes_per_connection_end<=1150", "--threshold=server.goroutines<=20"}
	// Resident memory includes memory that the runtime has not returned yet, which varies by 50 bytes a connection. Unreturned
	// memory can only add to the memory of the connections, so the smallest of three results is the most accurate.
	var err error
	for range 3 {
		if err = p.bench(t, args...); err == nil {
			return
		}
	}
	t.Errorf("idle: %v, three times", err)
}

// testChurn makes members check every message of their rooms while other clients connect and reset. The other clients do so
// 200,000 times if the schedule can be kept, and fewer times on a slow machine.
func (p programs) testChurn(t *testing.T) {
	if err := p.bench(t, "churn", "--server-cmd", p.path("dotsd")+" --listen 127.0.0.1:{port} --admin=", "--churn=10k/s", "--duration=20s"); err != nil {
		t.Error(err)
	}
}

// testManyGenerators uses more connections than one process has descriptors, so it needs two generators and two servers.
func (p programs) testManyGenerators(t *testing.T) {
	if err := p.bench(t, "rooms", "--server-cmd", p.path("dotsd")+" --listen 127.0.0.1:{port} --admin=", "--servers=2", "--procs=2",
		"--conns=30k", "--rooms=3k", "--rate=1000/s", "--duration=5s"); err != nil {
		t.Error(err)
	}
}
