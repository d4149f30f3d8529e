package server

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"dotsconnect/server/internal/browsertest"
)

// TestThePageTalksToTheRealServer tests the demo page in a real browser, from end to end.
func TestThePageTalksToTheRealServer(t *testing.T) {
	browser := browsertest.Start(t)
	open := func(t *testing.T, address, name string) *browsertest.Page {
		t.Helper()
		page := browser.Open(t, "http://"+address+"/#room=lobby&name="+name)
		page.WaitAttribute("#state", "data-state", "open")
		return page
	}
	reopen := func(page *browsertest.Page) {
		page.Wait("document.querySelector('#state').dataset.state === 'open' || (document.querySelector('#now').click(), false)")
	}

	t.Run("two tabs talk in one room", func(t *testing.T) {
		s := startServer(t, nil)
		ann, bob := open(t, s.Addr(), "Ann"), open(t, s.Addr(), "Bob")
		s.onAllLoops(t, "chat/lobby")
		bob.WaitText("#count", "2 members")
		ann.Type("#text", "hello from Ann")
		ann.Enter("#text")
		bob.WaitText("#messages .message:not(.own)", "hello from Ann")
		bob.WaitText("#messages .from", "Ann")
		ann.WaitText("#messages .own", "hello from Ann")
		bob.Type("#text", "and back")
		bob.Click("#send")
		ann.WaitText("#messages .message:not(.own)", "and back")
		bob.WaitText("#messages .own", "and back")
		wire := s.join(t, "/ws/chat/lobby/")
		wire.say("from no browser")
		ann.WaitText("#messages", "from no browser")
		bob.WaitText("#messages", "from no browser")
	})

	t.Run("a page that sends nothing stays, because its browser answers pings", func(t *testing.T) {
		s := startServer(t, func(cfg *Config) { cfg.MaxAge = 2 * time.Second })
		page := open(t, s.Addr(), "Ann")
		for range 2 { // a client of version 1 that comes later, and answers nothing, is closed for its silence
			s.join(t, "/ws/chat/lobby/").endsWith(4100)
		}
		if n := s.counts.upgraded.Load(); n != 3 {
			t.Errorf("%d connections were made, want one of the page and two silent ones", n)
		}
		if got := browsertest.Eval[string](page, "document.querySelector('#state').dataset.state"); got != "open" {
			t.Errorf("the page is %s, want open", got)
		}
	})

	t.Run("a cut connection loses no message and doubles none", func(t *testing.T) {
		s := startServer(t, func(cfg *Config) { cfg.MaxAge = 10 * time.Minute })
		p := startProxy(t, s.Addr())
		page := open(t, p.Addr(), "Ann")
		talker := newTalker(s.join(t, "/ws/chat/lobby/"), 0)
		var want []string
		for n := range 150 {
			want = append(want, fmt.Sprintf("%d ", n))
		}
		_ = talker.SetDeadline(noDeadline)
		talked := make(chan error, 1)
		go func() { talked <- talker.talk(100, 10, 100) }()
		page.Wait("document.querySelector('#messages .message')")
		p.cut()
		p.connect(s.Addr())
		if err := <-talked; err != nil {
			t.Fatal(err)
		}
		reopen(page)
		s.hasMembers(t, 2)
		p.cut()
		s.hasMembers(t, 1)
		if err := talker.talk(150, 10, 150); err != nil {
			t.Fatal(err)
		}
		p.connect(s.Addr())
		reopen(page)
		page.WaitText("#messages li:last-child", "149")
		got := browsertest.Eval[[]string](page, "[...document.querySelectorAll('#messages .message .text')].map(e => e.textContent)")
		if !slices.Equal(got, want) {
			t.Errorf("the page shows %q, want %q", got, want)
		}
		notices := browsertest.Eval[[]string](page, "[...document.querySelectorAll('#messages .notice')].map(e => e.textContent)")
		if !slices.ContainsFunc(notices, regexp.MustCompile(`^\d+ messages while you were away$`).MatchString) {
			t.Errorf("the page says %q, want a line with the number of messages while it was away", notices)
		}
	})

	t.Run("after a restart of the server the page says that messages may be missing", func(t *testing.T) {
		cfg := Default()
		cfg.Listen, cfg.Admin, cfg.DrainTime = "127.0.0.1:0", "", 100*time.Millisecond
		first, err := New(cfg, zap.NewNop(), "test")
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		p := startProxy(t, first.Addr())
		page := open(t, p.Addr(), "Ann")
		page.Type("#text", "before")
		page.Enter("#text")
		page.WaitText("#messages .own", "before")
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		second := startServer(t, nil)
		p.cut()
		p.connect(second.Addr())
		reopen(page)
		page.WaitText("#messages .missed", "Some messages were missed.")
		page.Type("#text", "after")
		page.Enter("#text")
		page.WaitText("#messages .own:last-child", "after")
		got := browsertest.Eval[[]string](page, "[...document.querySelectorAll('#messages .message .text')].map(e => e.textContent)")
		if !slices.Equal(got, []string{"before", "after"}) {
			t.Errorf("the page shows %q, want both messages", got)
		}
	})
}
