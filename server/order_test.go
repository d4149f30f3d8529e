package server

import (
	"testing"
	"time"
)

func TestThreeMembersOnTwoLoopsSeeOneOrder(t *testing.T) {
	const members, each, window = 3, 10_000, 64
	s := startServer(t, func(cfg *Config) {
		// A member that cannot read for a while because this machine is busy must not count as a slow consumer here.
		cfg.SoftBacklog, cfg.HardBacklog = 16*MiB, 16*MiB
	})
	var talkers []*talker
	var all []func() error
	for i := range members {
		k := newTalker(s.join(t, "/ws/chat/order/"), i)
		_ = k.SetDeadline(time.Now().Add(3 * patience))
		talkers = append(talkers, k)
		all = append(all, func() error { return k.talk(each, window, members*each) })
	}
	s.onAllLoops(t, "chat/order")
	began := time.Now()
	together(t, all...)
	took := time.Since(began)
	checkOrder(t, members, each, talkers...)
	sum := s.checkLedger(t)
	t.Logf("members by loop %v; %d messages to %d members in %v: %.0f deliveries a second, %.2f frames a write", s.membersByLoop(t, "chat/order"),
		members*each, members, took.Round(time.Millisecond), members*members*each/took.Seconds(), float64(sum.Delivered)/float64(sum.Writes))
}
