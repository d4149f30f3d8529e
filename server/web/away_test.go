package web

import (
	"fmt"
	"slices"
	"testing"

	"dotsconnect/server/internal/browsertest"
)

// shown returns the texts of the messages and of the lines between them, in the order of the page.
func shown(page *browsertest.Page) []string {
	return browsertest.Eval[[]string](page, "[...document.querySelectorAll('#messages li')].map(e => (e.querySelector('.text') ?? e).textContent)")
}

// away ends the connections of the room, and calls meanwhile before the page can come back.
func away(page *browsertest.Page, server *roomServer, room string, meanwhile func()) {
	until := func(condition string) { page.Wait(condition + " || (document.querySelector('#now').click(), false)") }
	server.refuse(4103, "room_full")
	server.cut(room)
	until("document.querySelector('#state').dataset.code === '4103' && document.querySelector('#state').dataset.state === 'waiting'")
	meanwhile()
	server.refuse(0, "")
	until("document.querySelector('#state').dataset.state === 'open'")
}

// TestAPageThatWasAway: the page shows all messages once and in order, and says what happened meanwhile.
func TestAPageThatWasAway(t *testing.T) {
	server := startRoomServer(t)
	browser := browsertest.Start(t)
	join := func(t *testing.T, room string) *browsertest.Page {
		t.Helper()
		page := browser.Open(t, server.URL+"/#name=Ann&room="+room)
		page.WaitAttribute("#state", "data-state", "open")
		return page
	}
	expect := func(t *testing.T, page *browsertest.Page, want ...string) {
		t.Helper()
		page.Wait(fmt.Sprintf("document.querySelectorAll('#messages li').length >= %d", len(want)))
		if got := shown(page); !slices.Equal(got, want) {
			t.Errorf("the page shows %q, want %q", got, want)
		}
	}
	const lost = "The connection was lost. (1006)"

	t.Run("missed messages come below a line with their number", func(t *testing.T) {
		page := join(t, "three")
		server.publish("three", `"before"`)
		page.WaitText("#messages", "before")
		away(page, server, "three", func() {
			for _, text := range []string{`"a"`, `{"from":"Bob","text":"b","at":1718000000123}`, `"c"`} {
				server.publish("three", text)
			}
		})
		server.publish("three", `"after"`)
		expect(t, page, "before", lost, "3 messages while you were away", "a", "b", "c", "after")
	})

	t.Run("nothing was missed", func(t *testing.T) {
		page := join(t, "none")
		away(page, server, "none", func() {})
		page.WaitText("#messages .notice:last-child", "Nothing was missed.")
	})

	t.Run("a server that cannot resume is a line", func(t *testing.T) {
		page := join(t, "forgot")
		away(page, server, "forgot", func() { server.forget("forgot") })
		page.WaitText("#messages .missed", "Some messages were missed.")
		server.publish("forgot", `"after"`)
		page.WaitText("#messages li:last-child", "after")
		if got := page.Count("#messages .notice"); got != 2 {
			t.Errorf("the page shows %q, want two lines and a message", shown(page))
		}
	})

	t.Run("a gap is a line at its place, and a new numbering without a loss is none", func(t *testing.T) {
		page := join(t, "gap")
		server.publish("gap", `"before"`)
		server.tell("gap", `{"event":"gap","id":"0000000000000001","reason":"epoch","lost":0}`)
		server.publish("gap", `"between"`)
		server.tell("gap", `{"event":"gap","id":"0000000000000002","reason":"slow","lost":12}`)
		server.tell("gap", `{"event":"gap","id":"0000000000000002","reason":"backend"}`)
		server.publish("gap", `"after"`)
		expect(t, page, "before", "between", "12 messages were missed.", "Some messages were missed.", "after")
	})

	t.Run("a long absence shows the latest messages", func(t *testing.T) {
		page := join(t, "long")
		away(page, server, "long", func() {
			for i := range 1_000 {
				server.publish("long", fmt.Sprintf(`"number %d"`, i))
			}
		})
		page.WaitText("#messages li:last-child", "number 999")
		page.WaitText("#messages .notice:nth-child(2)", "1,000 messages while you were away. The last 400 are:")
		if got := page.Count("#messages .message"); got != 400 {
			t.Errorf("the page shows %d messages, want 400", got)
		}
	})

	t.Run("a message that arrived although its connection broke comes to its place", func(t *testing.T) {
		page, other := join(t, "own"), join(t, "own")
		// The message gets its place, but its sender is cut off before it hears of it.
		page.Wait("(WebSocket.prototype.realSend = WebSocket.prototype.send, WebSocket.prototype.send = function (text) { this.onmessage = () => {}; this.realSend(text) }, true)")
		send(page, "said just before")
		other.WaitText("#messages", "said just before")
		away(page, server, "own", func() {
			page.WaitText("#pending", "The connection was lost before an answer came.")
			server.publish("own", `"answer"`)
		})
		expect(t, page, lost, "1 message while you were away", "said just before", "answer")
		if got := page.Count("#pending .message") + page.Count("#messages .message:not(.own)"); got != 1 {
			t.Errorf("%d messages are under way or of others, want only the answer", got)
		}
	})

	t.Run("a message of unknown fate stays, and a person can send it again", func(t *testing.T) {
		page := join(t, "unknown")
		page.Wait("(WebSocket.prototype.realSend = WebSocket.prototype.send, WebSocket.prototype.send = () => {}, true)")
		send(page, "perhaps")
		page.WaitText("#pending", "Sending")
		page.Wait("(WebSocket.prototype.send = WebSocket.prototype.realSend, true)")
		away(page, server, "unknown", func() { server.forget("unknown") })
		page.WaitText("#pending", "This message may not have arrived. Send again")
		page.Click("#pending .link")
		page.WaitText("#messages .own", "perhaps")
	})

	t.Run("a message that the server refuses stays, with the reason", func(t *testing.T) {
		page := join(t, "refused")
		send(page, "please refuse this")
		page.WaitText("#pending", "The server refused this message: no backend. Send again")
		page.WaitAttribute("#state", "data-state", "open")
	})

	t.Run("the text of a message that may not have arrived stays when its room is left", func(t *testing.T) {
		page := join(t, "left")
		page.Wait("(WebSocket.prototype.send = () => {}, true)")
		send(page, "into the void")
		page.WaitText("#pending", "Sending")
		page.Fill("#room", "left for another")
		page.Click("#join")
		page.WaitAttribute("#state", "data-state", "open")
		page.Wait("document.querySelector('#text').value === 'into the void'")
	})

	t.Run("the number and the names of the members are those that the server tells", func(t *testing.T) {
		page := join(t, "members")
		page.WaitText("#count", "1 member")
		if got := page.Count("#members li"); got != 0 {
			t.Errorf("%d names, want none before the server tells them", got)
		}
		server.tell("members", `{"event":"members","members":[{"user":"me-00001","n":1},{"user":"bob","n":2}],"count":3}`)
		page.WaitText("#members", "bob ×2")
		page.WaitText("#members", "me-00001 (this tab)")
		server.tell("members", `{"event":"presence","count":1,"join":[],"leave":["bob"]}`)
		page.WaitText("#count", "1 member")
		page.Wait("document.querySelectorAll('#members li').length === 1")
		server.tell("members", `{"event":"presence","count":5000}`)
		page.WaitText("#count", "5,000 members")
		page.Wait("!document.querySelector('#members-card').checkVisibility()")
		server.tell("members", `{"event":"something new","of":["a","later","version"]}`)
		send(page, "still here")
		page.WaitText("#messages .own", "still here")
	})
}
