package redisbridge

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// If an event concerns many lanes at once, the log gets one line that names all of them. An event of another kind, or with
// another reason, gets a line of its own.
func TestTheJournalNamesAllLanesInOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, lines := observer.New(zap.DebugLevel)
		cfg := Default()
		cfg.Down = Local
		b := newBridge(cfg, zap.New(core))
		for _, lane := range []int{13, 0, 2, 1, 3, 7, 12, 2} {
			b.gap(Gap{Lane: lane, Lost: 2, Reason: "lost"})
		}
		b.gap(Gap{Lane: 5, Reason: "another"})
		for lane := range 4 {
			b.laneDown(lane, 10, errors.New("no answer"))
		}
		if lines.Len() != 0 {
			t.Error("a line was written before its lanes had gathered")
		}
		time.Sleep(2 * gatherTime)
		b.laneBack(3, 7)
		time.Sleep(2 * gatherTime)
		type line struct {
			Message string
			Fields  map[string]any
		}
		var got []line
		for _, e := range lines.TakeAll() {
			got = append(got, line{e.Message, e.ContextMap()})
		}
		down := "the hold time of " + cfg.Hold.String() + " is over, so --redis-down=local applies: no answer"
		want := []line{
			{"redis: gap, members on this node may have missed messages", map[string]any{"lanes": int64(7), "which": "0-3,7,12-13", "batches_lost": uint64(16), "reason": "lost"}},
			{"redis: gap, members on this node may have missed messages", map[string]any{"lanes": int64(1), "which": "5", "batches_lost": uint64(0), "reason": "another"}},
			{"redis: lanes are down", map[string]any{"lanes": int64(4), "which": "0-3", "publications": uint64(40), "reason": down}},
			{"redis: lanes are up again", map[string]any{"lanes": int64(1), "which": "3", "delivered_here_alone": uint64(7)}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(- want, + got):\n%s", diff)
		}
	})
}

// If an error was logged, the recovery is logged too. If it was not logged, the recovery is not logged either.
func TestRecoveryIsToldAsTroubleWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, lines := observer.New(zap.DebugLevel)
		b := newBridge(Default(), zap.New(core))
		time.Sleep(time.Minute)
		b.relieved(b.proven())
		b.failed(errors.New("no route"))
		b.failed(errors.New("no route"))
		time.Sleep(4 * time.Second)
		b.failed(errors.New("refused"))
		time.Sleep(time.Second)
		b.relieved(b.proven())
		b.relieved(b.proven())
		var got []string
		for _, e := range lines.TakeAll() {
			text := e.Message
			for _, f := range e.Context {
				text += " " + f.Key + "=" + f.String
				if d, ok := e.ContextMap()[f.Key].(time.Duration); ok {
					text += d.String()
				}
			}
			got = append(got, text)
		}
		if want := "redis: error what=no route\nredis: error what=refused\nredis: works again after=5s"; strings.Join(got, "\n") != want {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
		}
	})
}

// TestAnEndIsNoTrouble: when the bridge is closed, waiting commands get no answer. The bridge must not report this as an error.
func TestAnEndIsNoTrouble(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	w := startWire(t, s.addr())
	cfg := testConfig(w.url())
	b := connect(t, cfg)
	o := &deliveries{}
	b.dir, b.loops = o, o
	b.link()
	eventually(t, "the lanes are subscribed", func() bool { return b.lanes.listening() == cfg.Lanes })
	w.hole()
	eventually(t, "something waits for an answer", func() bool {
		for _, k := range b.homes.all() {
			k.mu.Lock()
			waits := len(k.waiting) > 0
			k.mu.Unlock()
			if waits {
				return true
			}
		}
		return false
	})
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if text := b.why(); strings.Contains(text, errClosed.Error()) {
		t.Errorf("the end of the bridge is reported as an error%s", text)
	}
}
