package load

import (
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/scenario"
)

func openSession(t *testing.T, hub *stub.Hub, change func(s *scenario.Scenario)) *Session {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	s, err := OpenSession(Config{URL: stub.Start(t, hub.Serve), Scenario: small(change)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Two servers are measured in turns, one with a schedule and one in a closed
// loop. All messages that are sent in a slice must arrive in the same slice.
func TestSlicesBeginAndEndWithNothingUnderWay(t *testing.T) {
	t.Parallel()
	open := openSession(t, &stub.Hub{}, func(s *scenario.Scenario) { s.Rate.PerSecond = 1000 })
	closed := openSession(t, &stub.Hub{}, func(s *scenario.Scenario) { s.Rate = scenario.Rate{Max: true} })
	for range 3 {
		for s, sent := range map[*Session]int64{open: 50, closed: 0} {
			if err := s.Rest(time.Millisecond); err != nil {
				t.Fatal(err)
			}
			got, err := s.Slice(50 * time.Millisecond)
			if err != nil || got.Sent < 32 || sent > 0 && got.Sent != sent || got.Delivered != 8*got.Sent || got.P50 <= 0 {
				t.Errorf("%+v and %v, want %d messages (0: as many as there were) and 8 times as many deliveries", got, err, sent)
			}
			if n := s.run.ledger.Outstanding(); n != 0 {
				t.Errorf("%d deliveries are under way", n)
			}
		}
	}
	for _, s := range []*Session{open, closed} {
		if v, err := s.Close(); v.Sum() > 0 || err != nil {
			t.Errorf("%+v, %v", v, err)
		}
	}
}

func TestASliceFindsFaults(t *testing.T) {
	t.Parallel()
	frame := func(m []byte) []byte { return stub.Frame(stub.Text, m) }
	for name, c := range map[string]struct {
		tamper func(member, n int, m []byte) [][]byte
		want   string
	}{
		"lost":   {func(_, n int, m []byte) [][]byte { return [][]byte{frame(m)}[:min(1, n-1)] }, "did not arrive"},
		"closed": {func(_, _ int, m []byte) [][]byte { return [][]byte{frame(m), stub.CloseFrame(4200, "away")} }, "were ended by the server"},
		"double": {func(_, _ int, m []byte) [][]byte { return [][]byte{frame(m), frame(m)} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hub := &stub.Hub{Tamper: func(_ string, member, n int, m []byte) [][]byte {
				if member != 3 {
					return [][]byte{frame(m)}
				}
				return c.tamper(member, n, m)
			}}
			s := openSession(t, hub, func(s *scenario.Scenario) { s.Settle = time.Second })
			_, err := s.Slice(50 * time.Millisecond)
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || cli.Exit(io.Discard, "", err) != cli.Violated) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if v, _ := s.Close(); c.want == "" && v.Doubled == 0 {
				t.Errorf("the proof found %+v", v)
			}
		})
	}
}
