package redisbridge

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestARedisThatEvictsIsToldOf(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	a := startNode(t, testConfig(s.url()), 1)
	a.ready()
	core, lines := observer.New(zap.DebugLevel)
	look := func() { a.bridge.eviction.look(t.Context(), a.bridge.homes.all(), zap.New(core)) }
	look()
	if a.bridge.eviction.policy.Load() != nil || lines.Len() > 0 {
		t.Errorf("noeviction caused a warning: %v", lines.All())
	}
	s.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	look()
	look()
	if all := lines.TakeAll(); a.bridge.eviction.policy.Load() == nil || len(all) != 1 || !strings.Contains(all[0].Message, "maxmemory-policy allkeys-lru") || !strings.Contains(all[0].Message, s.addr()) {
		t.Errorf("got %v", all)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if a.bridge.eviction.look(over, a.bridge.homes.all(), zap.New(core)); a.bridge.eviction.policy.Load() == nil || lines.Len() > 0 {
		t.Error("a look without an answer forgets the known policy")
	}
	if err := a.bridge.Ready(); err != nil {
		t.Errorf("the node is not ready: %v", err)
	}
	s.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	if look(); a.bridge.eviction.policy.Load() != nil {
		t.Error("it is told of still")
	}
	s.do("ACL", "SETUSER", "default", "-info")
	look()
	look()
	s.do("ACL", "SETUSER", "default", "+info")
	if all := lines.TakeAll(); len(all) != 1 || !strings.Contains(all[0].Message, "INFO") {
		t.Errorf("without the right to INFO: %v", all)
	}
}

// TestALinkThatIsNotConnectedYetIsAskedSoon: over a slow connection, the first check for evictions comes before the link is
// connected. The bridge must check again soon, not a minute later.
func TestALinkThatIsNotConnectedYetIsAskedSoon(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	s.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	w := startWire(t, s.addr())
	w.slow(100 * time.Millisecond)
	a := startNode(t, testConfig(w.url()), 1)
	if !waitFor(evictionLook/2, func() bool { return a.bridge.Warning() != "" }) {
		t.Errorf("there was no warning within %v", evictionLook/2)
	}
}
