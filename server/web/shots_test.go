package web

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"dotsconnect/server/internal/browsertest"
)

// TestScreenshots takes screenshots of the page in its main states, in the light and in the dark theme, on a desktop and on a
// phone. It checks only that nothing is wider than the screen; people must judge the rest. To look at the pictures:
//
//	DOTS_SHOTS=/some/folder go test -run Screenshots ./server/web
func TestScreenshots(t *testing.T) {
	server := startRoomServer(t)
	browser := browsertest.Start(t)
	views := []struct {
		name          string
		width, height int64
	}{{"desk", 1280, 800}, {"phone", 400, 800}}
	shoot := func(page *browsertest.Page, state string) {
		for _, view := range views {
			for _, scheme := range []string{"light", "dark"} {
				page.Emulate(view.width, view.height, scheme)
				name := fmt.Sprintf("%s-%s-%s", state, view.name, scheme)
				path := page.Screenshot(name)
				if info, err := os.Stat(path); err != nil || info.Size() < 5_000 {
					t.Errorf("%s: no picture (%v)", name, err)
				}
				if got := browsertest.Eval[int64](page, "document.documentElement.scrollWidth"); got > view.width {
					t.Errorf("%s: the page is %d wide, want %d at most", name, got, view.width)
				}
			}
		}
	}

	shoot(browser.Open(t, server.URL+"/#name=Ada"), "idle")

	page := browser.Open(t, server.URL+"/#room=lobby&name=Ada")
	page.Emulate(1280, 800, "light")
	page.WaitAttribute("#state", "data-state", "open")
	shoot(page, "empty")

	say := func(from, text string) { server.publish("lobby", fmt.Sprintf(`{"from":%q,"text":%q}`, from, text)) }
	say("Grace Hopper", "Is this thing on?")
	say("Grace Hopper", "I opened the link on my phone, two rooms away.")
	for i := range 6 {
		send(page, []string{"Loud and clear.", "My own messages come back to me too, so I see how long they took."}[i%2])
		page.Wait(fmt.Sprintf("document.querySelectorAll('#messages .own').length === %d", i+1))
	}
	server.publish("lobby", `{"sensor":"boiler-2","celsius":61.5,"ok":true,"since":1718000000123456789}`)
	server.publish("lobby", `"just a string from a script"`)
	say("linus", "A long one, to see how it behaves: "+strings.Repeat("the quick brown fox jumps over the lazy dog, ", 40)+
		"https://example.invalid/"+strings.Repeat("averylongpathwithoutabreak", 8))
	say("Zoë", "Καλημέρα! مرحبا! Grüße aus Köln.")
	send(page, "And it all fits on one screen.")
	page.WaitText("#messages li:last-child", "And it all fits")
	shoot(page, "talk")

	shootAway(t, server, browser, shoot)

	server.close("lobby", 4503, "kicked: please keep it friendly")
	page.WaitAttribute("#state", "data-state", "closed")
	shoot(page, "closed")
	page.Emulate(400, 800, "light")
	page.Click("#wire-toggle")
	page.WaitVisible("#wire")
	page.Screenshot("wire-phone-light")
	page.Click("#wire-close")
	page.Click("#panel-open")
	page.WaitVisible("#panel-close")
	page.Screenshot("panel-phone-light")

	server.refuse(4103, "room_full: the limit of the room is 2 members")
	page = browser.Open(t, server.URL+"/#room=full&name=Ada")
	page.WaitVisible("#now")
	shoot(page, "waiting")
	server.refuse(0, "")

	server.forbid(server.URL)
	page = browser.Open(t, server.URL+"/#room=refused&name=Ada")
	page.WaitText("#banner", "--origins")
	shoot(page, "refused")
	server.forbid("")

	strange := "t-light and dark " + unseen
	page = browser.Open(t, server.URL+"/#name=Ada&room="+url.QueryEscape(strange))
	page.WaitAttribute("#state", "data-state", "open")
	server.publish(strange, "{\"from\":\"\u202eevE דנה\",\"text\":\"\u202edesrever ton si siht\\nمرحبا: Grüße!\\nand left again\"}")
	server.publish(strange, "{\"\u202ereversed\":[\"\u2066\u200b\",true],\"more\":null}")
	server.publish(strange, `42`)
	page.WaitText("#messages li:last-child", "42")
	shoot(page, "strange")

	for name, room := range map[string]string{"words": "the-room-of-all-light-and-dark", "wide": strings.Repeat("W", 64)} {
		page = browser.Open(t, server.URL+"/#name=Ada&room="+url.QueryEscape(room))
		page.WaitAttribute("#state", "data-state", "open")
		shoot(page, "name-"+name)
	}
	page.Emulate(400, 800, "light")
	page.Wait("(document.querySelector('#title').click(), true)")
	page.Screenshot("name-unfolded-phone-light")
}

// shootAway shows a page that was away twice: once it got the messages that it missed, once it did not.
func shootAway(t *testing.T, server *roomServer, browser *browsertest.Browser, shoot func(*browsertest.Page, string)) {
	const room = "harbour"
	page := browser.Open(t, server.URL+"/#name=Ada&room="+room)
	page.WaitAttribute("#state", "data-state", "open")
	server.tell(room, `{"event":"members","members":[{"user":"me-00001","n":1},{"user":"grace","n":2},{"user":"linus","n":1}],"count":3}`)
	say := func(from, text string) { server.publish(room, fmt.Sprintf(`{"from":%q,"text":%q}`, from, text)) }
	say("grace", "The ferry leaves at nine.")
	send(page, "I am on my way to the pier.")
	page.WaitText("#messages li:last-child", "pier")
	away(page, server, room, func() {
		for _, text := range []string{"It is late.", "Half an hour, they say.", "Take your time."} {
			say("grace", text)
		}
	})
	page.WaitText("#messages li:last-child", "Take your time.")
	page.Wait("(WebSocket.prototype.realSend = WebSocket.prototype.send, WebSocket.prototype.send = () => {}, true)")
	send(page, "Then I will have a coffee first.")
	away(page, server, room, func() { server.forget(room) })
	page.WaitText("#messages .missed", "Some messages were missed.")
	server.tell(room, `{"event":"members","members":[{"user":"me-00005","n":1},{"user":"grace","n":2},{"user":"linus","n":1}],"count":3}`)
	server.tell(room, `{"event":"gap","reason":"slow","lost":12}`)
	page.WaitText("#messages li:last-child", "12 messages were missed.")
	shoot(page, "away")
	page.Emulate(400, 800, "dark")
	page.Click("#panel-open")
	page.WaitVisible("#members")
	page.Screenshot("members-phone-dark")
}
