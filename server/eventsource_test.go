package server

import (
	"fmt"
	"testing"

	"dotsconnect/loop"
	"dotsconnect/server/internal/browsertest"
)

// listenInPage is what a page needs to read a room.
const listenInPage = `(() => {
	window.heard = []; window.opened = 0; window.errors = 0;
	window.source = new EventSource("%s/sse/chat/lobby/?last=0");
	source.onopen = () => opened++;
	source.onerror = () => errors++;
	source.onmessage = e => {
		const o = JSON.parse(e.data);
		if ("message" in o) heard.push(o.message);
		if (o.resumed === false) heard.push("not resumed");
		window.last = e.lastEventId;
	};
	return true;
})()`

// A real EventSource reads a room, comes back by itself after its connection broke, and misses nothing.
func TestAnEventSourceReadsARoomAndMissesNothing(t *testing.T) {
	browser := browsertest.Start(t)
	s := startServer(t, open)
	site := "http://" + s.Addr()
	page := browser.Open(t, site+"/healthz")
	browsertest.Eval[bool](page, fmt.Sprintf(listenInPage, site))
	page.Wait("opened === 1")
	talker := s.join(t, "/ws/chat/lobby/")
	talker.say("one")
	talker.hears("one")
	page.Wait(`heard.join() === "one"`)

	s.breakReaders(t)
	for _, text := range []string{"two", "three"} {
		talker.say(text)
		talker.hears(text)
	}
	page.Wait(`heard.join() === "one,two,three" && opened === 2`)
	if id := browsertest.Eval[string](page, `fetch("/chat/lobby/", {method: "POST", body: JSON.stringify("four")}).then(r => r.json()).then(o => o.id)`); len(id) != 16 {
		t.Errorf("the POST was answered with the id %q", id)
	}
	page.Wait(`heard.join() === "one,two,three,four"`)

	for _, c := range s.listed(t, "chat/lobby").Connections {
		if c.Protocol == "sse" {
			s.request(t, "DELETE", "/api/connections/"+c.ID, "")
		}
	}
	page.Wait("source.readyState === EventSource.CLOSED") // it came back once, and was told to stay away
	if last := browsertest.Eval[string](page, "last"); last != "end-4503" {
		t.Errorf("the last event has the id %q", last)
	}
	talker.text(`"heartbeat"`)
}

// breakReaders ends the connections of all readers, as a network does that fails.
func (s *testServer) breakReaders(t *testing.T) {
	t.Helper()
	for _, l := range s.node.Loops() {
		if _, err := onLoop(t, l, func(l *loop.Loop) (struct{}, error) {
			l.Each(func(c *loop.Conn) bool {
				if m := c.Peer().(*session); m.speaks == speaksSSE {
					m.shut()
				}
				return true
			})
			return struct{}{}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// A page of another origin can read and publish if its origin is listed.
func TestAPageOfAListedOriginUsesARoomOverHTTP(t *testing.T) {
	browser := browsertest.Start(t)
	home := startServer(t, nil) // serves the page
	s := startServer(t, func(c *Config) { open(c); c.Origins = []string{"http://" + home.Addr()} })
	other := startServer(t, open)
	page := browser.Open(t, "http://"+home.Addr()+"/healthz")
	browsertest.Eval[bool](page, fmt.Sprintf(listenInPage, "http://"+s.Addr()))
	page.Wait("opened === 1")
	post := func(s *testServer) string {
		return browsertest.Eval[string](page, fmt.Sprintf(`fetch("http://%s/chat/lobby/", {method: "POST", body: '"hello"',
			headers: {"Content-Type": "application/json", "Idempotency-Key": "k"}}).then(r => r.text()).catch(e => "refused")`, s.Addr()))
	}
	if got := post(s); len(got) != len(`{"id":"5XgwIF-----33V-4"}`)+1 {
		t.Errorf("the POST was answered with %q", got)
	}
	page.Wait(`heard.join() === "hello"`)
	if got := post(other); got != "refused" {
		t.Errorf("a server that does not list the page answered %q", got)
	}
	browsertest.Eval[bool](page, fmt.Sprintf(listenInPage, "http://"+other.Addr()))
	page.Wait("errors > 0 && source.readyState === EventSource.CLOSED")
	if n := other.counts.posts.Load(); n != 0 {
		t.Errorf("%d messages of the page were published", n)
	}
}
