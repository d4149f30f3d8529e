package redisbridge

import (
	"go.uber.org/zap"

	"testing"
	"testing/synctest"
	"time"
)

// By its policy, a node must report the right readiness before the first round trip, after a recent one and after an old one. A
// node whose agreement differs from that of the other nodes is not ready, under both policies.
func TestReadinessByPolicy(t *testing.T) {
	const misfit = "the nodes do not fit"
	for name, row := range map[string]struct {
		down         Policy
		proven, ago  time.Duration // start of the last round trip, and the time since then
		misfit       bool
		ready, alone string
	}{
		"reject, never":          {down: Reject, ready: "no round trip through Redis yet: refused"},
		"local, never":           {down: Local, ready: "no round trip through Redis yet: refused"},
		"reject, young":          {down: Reject, proven: time.Second, ago: 5 * time.Second},
		"local, young":           {down: Local, proven: time.Second, ago: 5 * time.Second},
		"reject, old":            {down: Reject, proven: time.Second, ago: 5100 * time.Millisecond, ready: "the last round trip through Redis is 5.1 s old: refused"},
		"local, old":             {down: Local, proven: time.Second, ago: 5100 * time.Millisecond, alone: "serving alone: the last round trip through Redis is 5.1 s old: refused"},
		"reject, misfit":         {down: Reject, proven: time.Second, misfit: true, ready: misfit},
		"local, misfit":          {down: Local, proven: time.Second, misfit: true, ready: misfit},
		"local, misfit and old":  {down: Local, proven: time.Second, ago: time.Minute, misfit: true, ready: misfit, alone: "serving alone: the last round trip through Redis is 60.0 s old: refused"},
		"reject, misfit and old": {down: Reject, proven: time.Second, ago: time.Minute, misfit: true, ready: misfit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := Default()
				cfg.Down, cfg.Stale = row.down, 5*time.Second
				b := newBridge(cfg, zap.NewNop())
				b.lanes = []*lane{{bridge: b}}
				b.lanes[0].proved(row.proven)
				time.Sleep(row.proven + row.ago)
				b.trouble.Store(new("refused"))
				if row.misfit {
					b.accord.misfit.Store(new(misfit))
				}
				if got := text(b.Ready()); got != row.ready {
					t.Errorf("ready: got %q, want %q", got, row.ready)
				}
				if got := b.Alone(); got != row.alone {
					t.Errorf("alone: got %q, want %q", got, row.alone)
				}
			})
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
