package web

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"dotsconnect/server/internal/browsertest"
)

func send(page *browsertest.Page, text string) {
	page.Type("#text", text)
	page.Enter("#text")
}

// TestBrowser uses one browser for all its subtests, because starting a browser takes longest. Every subtest has its own room and
// its own tabs.
func TestBrowser(t *testing.T) {
	server := startRoomServer(t)
	browser := browsertest.Start(t)
	join := func(t *testing.T, room, parameters string) *browsertest.Page {
		t.Helper()
		page := browser.Open(t, server.URL+"/#room="+room+parameters)
		page.WaitAttribute("#state", "data-state", "open")
		return page
	}

	t.Run("two tabs talk in one room", func(t *testing.T) {
		ann, bob := join(t, "talk", "&name=Ann"), join(t, "talk", "&name=Bob")
		send(ann, "hello from Ann")
		bob.WaitText("#messages .message:not(.own)", "hello from Ann")
		bob.WaitText("#messages .from", "Ann")
		ann.WaitText("#messages .own", "hello from Ann")
		bob.Type("#text", "and back")
		bob.Click("#send")
		ann.WaitText("#messages .message:not(.own)", "and back")
		ann.WaitText("#received", "2")
		ann.WaitText("#sent", "1")
		ann.WaitText("#rtt", " ms")
		if got := browsertest.Eval[string](ann, "document.querySelector('#rtt').dataset.ms"); got == "" {
			t.Error("no round trip was measured")
		}
		if got := ann.Count("#pending .message"); got != 0 {
			t.Errorf("%d messages still under way, want 0", got)
		}
	})

	t.Run("a room is joined by its form, and its link opens it", func(t *testing.T) {
		page := browser.Open(t, server.URL+"/")
		page.WaitAttribute("#state", "data-state", "idle")
		page.WaitText(".foot", "This page is the reference client: its connection is in client.js.")
		page.Fill("#room", strings.Repeat("ü", 65))
		page.Click("#join")
		page.WaitText("#room-error", "This name has 130 bytes; a room name can have 128 at most.")
		page.Fill("#room", "a/b")
		page.Click("#join")
		page.WaitText("#room-error", "slash")
		page.Fill("#room", "tea & biscuits")
		page.Click("#join")
		page.WaitAttribute("#state", "data-state", "open")
		page.WaitText("#title", "#tea & biscuits")
		other := browser.Open(t, browsertest.Eval[string](page, "location.href"))
		other.WaitText("#title", "#tea & biscuits")
		other.WaitAttribute("#state", "data-state", "open")
		page.Click("#leave")
		page.WaitAttribute("#state", "data-state", "idle")
		page.WaitVisible("#join")
	})

	t.Run("the median of an even number is the mean of the middle two", func(t *testing.T) {
		page := join(t, "median", "")
		for i, c := range []struct{ trip, median string }{{"10", "10 ms"}, {"40", "25 ms"}, {"20", "20 ms"}, {"13", "17 ms"}} {
			// The page reads the clock when a message is sent and when it comes back.
			page.Wait("(clock = [0, " + c.trip + "], performance.now = () => clock.shift(), true)")
			send(page, "x")
			page.WaitText("#sent", fmt.Sprint(i+1))
			page.WaitText("#rtt", c.trip+" ms")
			if got := page.Text("#rtt-median"); got != c.median {
				t.Errorf("median of %d round trips = %s, want %s", i+1, got, c.median)
			}
		}
	})

	t.Run("a value of another client is named by its kind", func(t *testing.T) {
		page := join(t, "kinds", "")
		for _, value := range []string{`"a"`, `"b"`, `1`, `{"a":1}`, `{}`, `[1]`, `true`, `false`, `null`} {
			server.publish("kinds", value)
		}
		page.Wait("document.querySelectorAll('#messages .message').length === 9")
		got := browsertest.Eval[[]string](page, "[...document.querySelectorAll('#messages .heading')].map(e => e.querySelector('.from').textContent + ' ' + e.querySelector('.kind').textContent)")
		want := []string{"Another client text", "Another client number", "Another client object", "Another client list", "Another client true/false", "Another client null"}
		if !slices.Equal(got, want) {
			t.Errorf("headings %q, want %q", got, want)
		}
	})

	t.Run("what comes is shown as text, whatever it is", func(t *testing.T) {
		page := join(t, "text", "")
		attack := `<img src=x onerror="window.hacked=1"><b>bold</b>`
		page.Fill("#text", attack)
		page.Enter("#text")
		page.WaitText("#messages .own .text", attack)
		for _, value := range []string{`"<i>plain</i>"`, `12345678901234567890`, `{ "a": [1, " <u> "] }`, `null`, `{"from":"<s>Eve</s>","text":"<p>hi</p>"}`} {
			server.publish("text", value)
		}
		page.Wait("document.querySelectorAll('#messages .message').length === 6")
		got := browsertest.Eval[[]string](page, "[...document.querySelectorAll('#messages .text')].map(e => e.textContent)")
		want := []string{attack, "<i>plain</i>", "12345678901234567890", `{"a":[1," <u> "]}`, "null", "<p>hi</p>"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("shown %q, want %q", got, want)
		}
		if got := page.Count("#messages :is(img, b, i, u, s)"); got != 0 {
			t.Errorf("%d elements came out of messages, want 0", got)
		}
		if browsertest.Eval[bool](page, "'hacked' in window") {
			t.Error("a message ran as script")
		}
	})

	t.Run("a drained page comes back at once", func(t *testing.T) {
		page := join(t, "drain", "")
		server.close("drain", 4200, "draining")
		page.WaitAttribute("#state", "data-code", "4200")
		page.WaitAttribute("#state", "data-state", "open")
		page.WaitText("#messages .notice:last-child", "Nothing was missed.")
		if got := server.joined("drain"); got != 2 {
			t.Errorf("joined %d times, want 2", got)
		}
		send(page, "still here")
		page.WaitText("#messages .own", "still here")
	})

	t.Run("a cut connection comes back after a wait", func(t *testing.T) {
		page := join(t, "cut", "")
		page.Wait("(Math.random = () => 0, true)")
		server.cut("cut")
		page.WaitAttribute("#state", "data-code", "1006")
		page.WaitAttribute("#state", "data-state", "open")
		send(page, "still here")
		page.WaitText("#messages .own", "still here")
	})

	t.Run("repeated trouble is waited out, and a person can cut the wait short", func(t *testing.T) {
		server.refuse(4103, "room_full: the limit of the room is 1 member")
		defer server.refuse(0, "")
		page := browser.Open(t, server.URL+"/#room=full")
		page.Wait("(Math.random = () => 0.99, true)")
		page.Wait("/in (\\d+) s/.exec(document.querySelector('#banner-wait').textContent)?.[1] >= 4") // enough time for the rest of the test
		page.WaitVisible("#banner")
		page.WaitText("#banner", "“the limit of the room is 1 member”")
		page.WaitAttribute("#state", "data-state", "waiting")
		page.WaitText("#empty", "You are not in #full")
		if got := page.Text("#empty"); strings.Contains(got, "quiet") || strings.Contains(got, "second tab") {
			t.Errorf("a page outside its room shows %q", got)
		}
		server.refuse(0, "")
		page.Click("#now")
		page.WaitAttribute("#state", "data-state", "open")
		page.Wait("!document.querySelector('#banner').checkVisibility()")
		page.WaitText("#empty", "It is quiet in #full")
		page.WaitVisible("#second")
	})

	t.Run("a refusal for good shows its reason and is not repeated", func(t *testing.T) {
		page := join(t, "bad", "")
		server.close("bad", 4500, "bad_frame: message is missing")
		page.WaitAttribute("#state", "data-state", "closed")
		page.WaitAttribute("#state", "data-code", "4500")
		page.WaitText("#banner", "message is missing")
		page.WaitText("#now", "Try again")
		// When the page wakes up, a client that waits to reconnect joins at once. So the test notices here if the client never
		// joins again, and need not wait for its timers.
		browsertest.Eval[bool](page, "document.dispatchEvent(new Event('visibilitychange')) && dispatchEvent(new Event('online'))")
		if got := browsertest.Eval[string](page, "document.querySelector('#state').dataset.state"); got != "closed" {
			t.Errorf("state after waking = %s, want closed", got)
		}
		if got := server.joined("bad"); got != 1 {
			t.Errorf("joined %d times, want 1", got)
		}
	})

	t.Run("a message without an echo can be sent again", func(t *testing.T) {
		page := join(t, "lost", "")
		page.Wait("(WebSocket.prototype.realSend = WebSocket.prototype.send, WebSocket.prototype.send = () => {}, true)")
		send(page, "into the void")
		page.WaitText("#pending", "into the void")
		page.WaitText("#pending", "Sending")
		page.Wait("(WebSocket.prototype.send = WebSocket.prototype.realSend, true)")
		server.close("lost", 4200, "draining")
		page.WaitText("#pending", "This message did not arrive. Send again")
		page.WaitAttribute("#state", "data-state", "open")
		page.Click("#pending .link")
		page.WaitText("#messages .own", "into the void")
		if got := page.Count("#pending .message"); got != 0 {
			t.Errorf("%d messages still under way, want 0", got)
		}
	})

	t.Run("in a silent room heartbeats go out by themselves, and can be switched off", func(t *testing.T) {
		off, on := join(t, "silent", "&heartbeat=off"), join(t, "beating", "&heartbeat=0.4")
		on.Wait("document.querySelector('#frames .beat.out')")
		on.Wait("document.querySelector('#frames .beat.in')")
		if got := server.beaten("beating"); got == 0 {
			t.Error("no heartbeat reached the server")
		}
		if got := off.Count("#frames .beat") + server.beaten("silent"); got != 0 {
			t.Errorf("%d heartbeats without being wanted", got)
		}
	})

	t.Run("a message may have 64 KiB with its envelope, and not a byte more", func(t *testing.T) {
		page := join(t, "big", "&name=Ann")
		envelope := `{"message":{"from":"Ann","text":"\"","at":1718000000123},"ref":1}`
		most := strings.Repeat("ü", (65_536-len(envelope))/2) + strings.Repeat("x", (65_536-len(envelope))%2)
		page.Fill("#text", `"`+most+"y")
		page.Enter("#text")
		page.WaitText("#hint", "This message is 1 byte too long: with its envelope it can have 65,536 bytes.")
		if got := browsertest.Eval[int](page, "document.querySelector('#text').value.length"); got != utf8.RuneCountInString(most)+2 {
			t.Errorf("the box kept %d characters, want all %d", got, utf8.RuneCountInString(most)+2)
		}
		page.Fill("#text", `"`+most)
		page.Enter("#text")
		page.WaitText("#messages .own .text", `"ü`)
		page.WaitText("#frames .frame.out .when", "65,536 B")
		page.WaitAttribute("#state", "data-state", "open")
		if got := server.joined("big"); got != 1 {
			t.Errorf("joined %d times, want 1", got)
		}
	})

	t.Run("a busy room keeps 500 messages and does not pull a reader down", func(t *testing.T) {
		page := join(t, "busy", "")
		for i := range 520 {
			server.publish("busy", fmt.Sprintf(`"number %d"`, i))
		}
		page.WaitText("#received", "520")
		page.WaitText("#messages li:last-child", "number 519")
		if got := page.Count("#messages .message"); got > 500 {
			t.Errorf("%d messages in the document, want 500 at most", got)
		}
		page.Wait("(document.querySelector('#scroller').scrollTop = 0, true)")
		page.Wait("document.querySelector('#scroller').scrollTop < 10")
		server.publish("busy", `"one more"`)
		page.WaitText("#chip", "1 new message")
		page.Click("#chip")
		page.Wait("!document.querySelector('#chip').checkVisibility()")
	})
}

// breaksIn returns JavaScript that tries the widths that the banner has on phones. Its value is the list of the widths at which a
// line break splits the given word of the reason.
func breaksIn(word string) string {
	return `(() => {
		const banner = document.querySelector("#banner p"), reason = document.querySelector("#banner-reason");
		const texts = document.createTreeWalker(reason, NodeFilter.SHOW_TEXT), broken = [];
		let text, at;
		do { text = texts.nextNode(); at = text.data.indexOf("` + word + `"); } while (at < 0);
		const range = document.createRange();
		range.setStart(text, at);
		range.setEnd(text, at + "` + word + `".length);
		for (let width = 240; width < 640; width++) {
			banner.style.width = width + "px";
			if (new Set(Array.from(range.getClientRects(), (rect) => rect.top)).size > 1) broken.push(width);
		}
		banner.style.width = "";
		return broken;
	})()`
}

// TestRefusedHandshake: a browser hides why a handshake failed, so the page asks the server and shows its text.
func TestRefusedHandshake(t *testing.T) {
	server := startRoomServer(t)
	browser := browsertest.Start(t)
	page := browser.Open(t, server.URL+"/#room=lobby")
	page.Wait("(Math.random = () => 0, true)") // the waits before an attempt are as short as they can be
	page.WaitAttribute("#state", "data-state", "open")
	server.cut("lobby")
	page.WaitAttribute("#state", "data-code", "1006")
	page.WaitAttribute("#state", "data-state", "open")
	if got := server.asked.Load(); got != 0 {
		t.Errorf("the page asked %d times why a connection failed that was open, want 0", got)
	}

	server.forbid(server.URL)
	server.cut("lobby")
	page.WaitText("#banner", "The server refuses connections from this page.")
	page.WaitText("#banner", "“the page's origin `"+server.URL+"` is not allowed: add it with --origins="+server.URL+"”")
	page.WaitText("#banner", "1006")
	if got := page.Text("#banner"); strings.Contains(got, "second line") {
		t.Errorf("the banner %q shows more than the first line", got)
	}
	if got := browsertest.Eval[[]int](page, breaksIn("--origins")); len(got) > 0 {
		t.Errorf("at these widths a line of the banner ends within --origins: %v", got)
	}
	page.WaitText("#empty", "You are not in #lobby")
	page.WaitText("#frames .frame:last-child", "close 1006 the page's origin")

	server.forbid("")
	page.Wait("!document.querySelector('#now').checkVisibility() || (document.querySelector('#now').click(), true)")
	page.WaitAttribute("#state", "data-state", "open")
	page.Wait("!document.querySelector('#banner').checkVisibility()")

	other := browser.Open(t, server.URL+"/")
	for name, answer := range map[string]string{
		"allowed":           `new Response(null, { status: 204 })`,
		"an older server":   `new Response("not found", { status: 404, headers: { "Content-Type": "text/plain" } })`,
		"a proxy's refusal": `new Response("<!doctype html>", { status: 403, headers: { "Content-Type": "text/html" } })`,
		"no network":        `Promise.reject(new TypeError("failed"))`,
	} {
		if got := browsertest.Eval[string](other, `import("/codes.js").then((codes) => { window.fetch = async () => `+answer+`; return codes.whyRefused() })`); got != "" {
			t.Errorf("%s: the reason is %q, want none", name, got)
		}
	}
}
