package main

import (
	"fmt"
	"testing"
)

// testTwoNodes has two nodes on one Redis carry rooms that have members on both: what is published on the first arrives at all,
// once, in one order.
func (p programs) testTwoNodes(t *testing.T) {
	url := startRedis(t)
	if err := p.bench(t, "two-nodes", "--servers=2", "--server-cmd", p.path("dotsd")+" --listen 127.0.0.1:{port} --admin= --redis "+url,
		"--duration=4s", "--settle=2s"); err != nil {
		t.Error(err)
	}
}

// testRedisOutage stops Redis for 3 s, within the hold time: everything that was sent meanwhile arrives afterwards, once, in
// one order.
func (p programs) testRedisOutage(t *testing.T) {
	url, pid := startRedisProcess(t)
	if err := p.bench(t, "redis-outage", "--servers=2",
		"--server-cmd", p.path("dotsd")+" --listen 127.0.0.1:{port} --admin= --redis-hold 20s --redis-down reject --redis "+url,
		"--hurt-cmd", fmt.Sprintf("kill -STOP %d", pid), "--heal-cmd", fmt.Sprintf("kill -CONT %d", pid),
		"--hurt=2s", "--heal=5s", "--duration=9s", "--settle=4s"); err != nil {
		t.Error(err)
	}
}
