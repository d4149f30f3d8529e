package web

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"

	"dotsconnect/server/internal/browsertest"
)

// whole returns a JavaScript condition: the element is on the screen, and each letter of its only text is inside it.
func whole(selector string) string {
	return fmt.Sprintf(`(() => {
		const element = document.querySelector(%q);
		const box = element.getBoundingClientRect();
		const text = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode();
		const inside = ({ index }) => {
			const range = document.createRange();
			range.setStart(text, index);
			range.setEnd(text, index + 1);
			const letter = range.getBoundingClientRect();
			return letter.left >= box.left - 1 && letter.right <= box.right + 1 && letter.top >= box.top - 1 && letter.bottom <= box.bottom + 1;
		};
		return box.left >= 0 && box.right <= innerWidth && box.bottom <= innerHeight && [...text.data.matchAll(/\S/g)].every(inside);
	})()`, selector)
}

func TestRoomNames(t *testing.T) {
	server := startRoomServer(t)
	browser := browsertest.Start(t)
	join := func(t *testing.T, room string) *browsertest.Page {
		t.Helper()
		page := browser.Open(t, server.URL+"/#name=Ada&room="+url.QueryEscape(room))
		page.WaitAttribute("#state", "data-state", "open")
		page.WaitText("#title", "#"+room)
		return page
	}

	for _, room := range []string{"lobby", "t-light-and-dark-conversations", "Büro für Fragen & gute Antwort"} {
		t.Run("whole in the heading: "+room, func(t *testing.T) {
			page := join(t, room)
			for _, width := range []int64{360, 400, 760, 1100, 1280} {
				page.Emulate(width, 800, "light")
				page.Wait(whole("#title") + " && document.querySelector('#title').disabled")
			}
		})
	}

	long := map[string]string{"W": strings.Repeat("W", 64), "words": strings.Repeat("a long name ", 11)[:128], "CJK": strings.Repeat("漢", 42)}
	for name, room := range long {
		t.Run("one line in the message box, two in the heading, and all of it after a tap: "+name, func(t *testing.T) {
			page := join(t, room)
			const oneLine = "document.querySelector('#text').scrollHeight <= 40"
			page.Emulate(1280, 800, "light")
			page.Wait(oneLine)
			page.Emulate(400, 800, "light")
			page.Wait(oneLine)
			const low = "document.querySelector('.bar').offsetHeight <= 90"
			page.Wait(low)
			// The widths of the characters depend on the fonts of the machine.
			page.Wait(whole("#title") + " || !document.querySelector('#title').disabled")
			if browsertest.Eval[bool](page, "document.querySelector('#title').disabled") {
				return
			}
			page.Click("#title")
			page.WaitAttribute("#title", "aria-expanded", "true")
			page.Wait(whole("#title"))
			page.Click("#title")
			page.WaitAttribute("#title", "aria-expanded", "false")
			page.Wait(low)
		})
	}
}

// unseen holds characters without a shape that a room name may contain: marks of text direction, line ends, and spaces without
// width.
const unseen = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u206a\u206f" +
	"\u2028\u2029\u00ad\u034f\u115f\u180e\u200b\u2060\u2064\u3164\ufeff\ufff9\ufffb"

// joiners are invisible too, but emoji and some scripts need them.
const joiners = "\u200c\u200d\ufe0f\U000e0067"

// escaped writes every character of text as a JSON escape.
func escaped(text string) string {
	var out strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		fmt.Fprintf(&out, `\u%04x`, unit)
	}
	return out.String()
}

func TestTextOfStrangersCannotDisorderThePage(t *testing.T) {
	server := startRoomServer(t)
	browser := browsertest.Start(t)
	const room = "a" + unseen + joiners + "b"
	page := browser.Open(t, server.URL+"/#name=Ada&heartbeat=off&room="+url.QueryEscape(room))
	page.WaitAttribute("#state", "data-state", "open")
	text := func(selector string) string {
		return browsertest.Eval[string](page, fmt.Sprintf("document.querySelector(%q).textContent", selector))
	}
	isolated := func(selector string) {
		t.Helper()
		if got := browsertest.Eval[string](page, fmt.Sprintf("getComputedStyle(document.querySelector(%q)).unicodeBidi", selector)); got != "isolate" && got != "plaintext" {
			t.Errorf("unicode-bidi of %s = %q, want isolate or plaintext", selector, got)
		}
	}
	equal := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s = %+q, want %+q", what, got, want)
		}
	}

	name := "#a" + escaped(unseen) + joiners + "b"
	equal("heading", text("#title"), name)
	equal("empty room", text("#empty-room"), name)
	equal("window title", browsertest.Eval[string](page, "document.title"), name+" · dotsconnect")
	equal("placeholder", browsertest.Eval[string](page, "document.querySelector('#text').placeholder"), "Message "+name)
	isolated("#title-room")
	isolated("#empty-room")

	const controls = "\u007f\u0085" // not allowed in a room name, but allowed in a message
	value := `{"from":" e` + unseen + controls + joiners + `ve","text":"x` + unseen + controls + joiners + `y","end":true}`
	server.publish(room, value)
	page.WaitText("#messages .message:last-child .text", "x")
	isolated("#messages .text")
	isolated("#messages .from")
	equal("sender", text("#messages .from"), "e"+escaped(unseen+controls)+joiners+"ve")
	equal("initials", text("#messages .avatar"), "E")
	equal("message", text("#messages .text"), "x"+unseen+controls+joiners+"y")
	page.WaitText("#frames .frame:last-child code", "end")
	isolated("#frames .frame:last-child code")
	equal("wire", text("#frames .frame:last-child code"),
		`{"id":"0000000000000001","message":`+strings.ReplaceAll(value, unseen+controls+joiners, escaped(unseen+controls+joiners))+`}`)

	server.publish(room, `["`+unseen+"\",\n\t1]")
	page.WaitText("#frames .frame:last-child code", ",\n\t1]}")
	equal("white space on the wire", text("#frames .frame:last-child code"), `{"id":"0000000000000002","message":["`+escaped(unseen)+"\",\n\t1]}")
	page.WaitText("#messages .message:last-child code", "1]")
	equal("list", text("#messages .message:last-child code"), `["`+escaped(unseen)+`",1]`)
	isolated("#messages .message:last-child code")

	server.publish(room, `{"from":" \u00a0\n","text":"a nameless one"}`)
	page.WaitText("#messages .message:last-child .from", "guest")

	// The text after the reason of a close must keep its direction.
	server.close(room, 4503, "kicked: \u202eor else")
	page.WaitAttribute("#state", "data-state", "closed")
	page.WaitText("#banner-reason", `\u202eor else`)
	isolated("#banner-reason")
}
