package redisbridge

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestAMessageWaitsForTheHoldTimeAndNotForCalls: with many lanes the timeout of calls grows to its limit at once, since it
// doubles with each call of any lane that runs out.
func TestAMessageWaitsForTheHoldTimeAndNotForCalls(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	cfg := testConfig(s.url())
	cfg.Lanes, cfg.Down, cfg.Hold, cfg.CallMax = 16, Local, 500*time.Millisecond, 20*time.Second
	a := startNode(t, cfg, 1)
	var members []*member
	for r := range 64 { // some in each lane
		members = append(members, a.join(roomName(r), 0))
	}
	a.ready()
	s.signal(syscall.SIGSTOP)
	defer s.signal(syscall.SIGCONT)
	began := time.Now()
	for i, m := range members {
		m.say(fmt.Sprint(i))
		time.Sleep(10 * time.Millisecond) // later ones find that calls of others have run out
	}
	for _, m := range members {
		if !waitFor(cfg.CallMax/2-time.Since(began), func() bool { return m.count() == 1 }) {
			t.Fatalf("a message waits for more than %v, and the hold time is %v", time.Since(began), cfg.Hold)
		}
	}
	t.Logf("64 messages within %v arrived within %v", 640*time.Millisecond, time.Since(began))
}
