package server

import (
	"fmt"
	"testing"
	"time"

	"dotsconnect/server/internal/browsertest"
)

// sendOnce is JavaScript that sends 120 messages with the client of the page. It sends a message again only if the client says that
// the message is not in the room.
const sendOnce = `(async (room) => {
	const { connect } = await import("/client.js");
	window.lost = 0;
	window.lines = [];
	Math.random = () => 0; // the waits before an attempt are as short as they can be
	let opened;
	const chat = connect(room, {
		onText: (direction, text) => lines.push(direction + " " + text),
		onState: ({ state }) => { lines.push(state); if (state === "open") opened?.(); },
	});
	const ready = () => new Promise((resolve) => chat.state === "open" ? resolve() : (opened = resolve));
	for (let i = 0; i < 120; i++) {
		for (let sent = false; !sent; ) {
			await ready();
			await chat.send("message " + i).then(() => (sent = true), (error) => {
				if (error.name !== "lost") throw error;
				window.lost++;
			});
		}
	}
	window.outcome = "all sent";
})`

// A client whose connections are cut must be able to bring each of its messages into the room exactly once.
func TestTheClientOfThePageSendsEachMessageOnceThroughCuts(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.MaxAge = 10 * time.Minute })
	p := startProxy(t, s.Addr())
	listener := s.join(t, "/ws/chat/lobby/")
	_ = listener.SetDeadline(noDeadline)
	page := browsertest.Start(t).Open(t, "http://"+p.Addr()+"/healthz")
	browsertest.Eval[bool](page, "("+sendOnce+"('ws://"+p.Addr()+"/ws/chat/lobby/').catch((e) => (window.outcome = String(e))), true)")
	defer func() {
		if t.Failed() {
			t.Logf("the wire of the client: %q", browsertest.Eval[[]string](page, "lines.slice(-40)"))
		}
	}()
	for n := range 120 {
		listener.hears(fmt.Sprintf("message %d", n))
		if n%20 == 10 {
			p.cut()
			p.connect(s.Addr())
		}
	}
	page.Wait("window.outcome")
	if got := browsertest.Eval[string](page, "window.outcome"); got != "all sent" {
		t.Errorf("the client ended with %s", got)
	}
	listener.say("end")
	listener.hears("end")
	t.Logf("%d messages were lost and sent again", browsertest.Eval[int](page, "lost"))
}
