package main

import "testing"

// testKick judges every close by the client's own stamps: exit 4 is a promise broken. The distribution of lateness is in its
// report.
func (p programs) testKick(t *testing.T) {
	d := p.serve(t, "--max-age=3s")
	p.run(t, "kick", "--url", d.url(), "--silent", "5000", "--beating", "5000", "--max-age", "3s", "--beat", "1s", "--duration", "8s")
	d.terminate()
}

// testIdle holds the bytes of resident memory of a connection, idle and after it sent and got a message, and the goroutines
// of the server. A thousand connections come and go first: what the process pays once (pages of code that runs for the first
// time, buffers of the loops) is about 60 bytes a connection when it is divided by 10,000, and no property of a connection.
func (p programs) testIdle(t *testing.T) {
	args := []string{"--server-cmd", p.path("dotsd") + " serve --listen 127.0.0.1:{port} --admin 127.0.0.1:{admin}",
		"--conns", "10000", "--warmup", "1000", "--max-idle", "900", "--max-active", "1150", "--max-goroutines", "20"}
	// Resident memory is what a connection takes and what the runtime has not given back yet, 50 bytes a connection more or
	// less from run to run. The second can only add, so the smallest of three is nearest to the first.
	var err error
	for range 3 {
		if err = p.try(t, "idle", args...); err == nil {
			return
		}
	}
	t.Errorf("idle: %v, three times", err)
}

// testChurn has members check every message of their rooms while others connect and reset beside them.
func (p programs) testChurn(t *testing.T) {
	d := p.serve(t)
	p.run(t, "churn", "--url", d.url(), "--resets", "200000")
	d.terminate()
}
