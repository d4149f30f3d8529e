package server

import (
	"testing"
	"time"

	"dotsconnect/server/internal/browsertest"
)

// TestThePageTalksToTheRealServer tests the demo page in a real browser, from end to end.
func TestThePageTalksToTheRealServer(t *testing.T) {
	browser := browsertest.Start(t)

	t.Run("two tabs talk in one room", func(t *testing.T) {
		s := startServer(t, nil)
		open := func(name string) *browsertest.Page {
			page := browser.Open(t, "http://"+s.Addr()+"/#room=talk&name="+name)
			page.WaitAttribute("#state", "data-state", "open")
			return page
		}
		ann, bob := open("Ann"), open("Bob")
		s.onAllLoops(t, "chat/talk")
		ann.Type("#text", "hello from Ann")
		ann.Enter("#text")
		bob.WaitText("#messages .message:not(.own)", "hello from Ann")
		bob.WaitText("#messages .from", "Ann")
		ann.WaitText("#messages .own", "hello from Ann")
		bob.Type("#text", "and back")
		bob.Click("#send")
		ann.WaitText("#messages .message:not(.own)", "and back")
		bob.WaitText("#messages .own", "and back")
		wire := s.join(t, "/ws/chat/talk/")
		wire.say("from no browser")
		ann.WaitText("#messages", "from no browser")
		bob.WaitText("#messages", "from no browser")
	})

	t.Run("a page without heartbeats is kicked with 4100 and comes back", func(t *testing.T) {
		s := startServer(t, func(cfg *Config) { cfg.MaxAge = 2 * time.Second })
		page := browser.Open(t, "http://"+s.Addr()+"/#room=silent&heartbeat=off")
		page.WaitAttribute("#state", "data-state", "open")
		page.WaitAttribute("#state", "data-code", "4100")
		page.WaitAttribute("#state", "data-state", "open")
		page.WaitText("#messages .notice:last-child", "Back after")
		if n := s.closes(4100); n == 0 {
			t.Error("the server counts no close with 4100")
		}
		if n := s.counts.upgraded.Load(); n < 2 {
			t.Errorf("the page connected %d times, want at least twice", n)
		}
	})

	t.Run("a page with heartbeats stays", func(t *testing.T) {
		s := startServer(t, func(cfg *Config) { cfg.MaxAge = 5 * time.Second })
		page := browser.Open(t, "http://"+s.Addr()+"/#room=beating&heartbeat=0.1")
		page.WaitAttribute("#state", "data-state", "open")
		eventually(t, "heartbeats come", func() bool { return s.counts.heartbeats.Load() >= 20 })
		if got := browsertest.Eval[string](page, "document.querySelector('#state').dataset.state"); got != "open" {
			t.Errorf("the page is %s, want open", got)
		}
	})
}
