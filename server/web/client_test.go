package web

import (
	"slices"
	"testing"

	"dotsconnect/server/internal/browsertest"
)

// rig is JavaScript that runs client.js without a network and without waiting: it puts a WebSocket, a clock and a random number in
// the place of the browser's, and keeps a log of what the client does. A scene is the body of a function with these names:
//
//	chat          the client
//	send(value)   sends, and logs how the promise ends
//	socket()      the latest WebSocket
//	say(...)      frames from the server, as objects
//	drop(code)    the event close of the latest WebSocket
//	pass(seconds) time passes, and timers run
//	settled()     lets the promises of the client run
//	log           what happened
const rig = `async (options, scene) => {
	const real = { setTimeout, setInterval, clearTimeout, clearInterval, WebSocket, now: Date.now, random: Math.random };
	const log = [], sockets = [], timers = new Map();
	let now = 1e12, last = 0, luck = 0;
	const timer = (run, after, every) => (timers.set(++last, { run, at: now + after, every }), last);
	window.setTimeout = (run, after = 0) => timer(run, after, 0);
	window.setInterval = (run, every) => timer(run, every, every);
	window.clearTimeout = window.clearInterval = (id) => timers.delete(id);
	Date.now = () => now;
	Math.random = () => luck;
	window.WebSocket = class {
		constructor(url) { sockets.push(this); log.push("connect " + new URL(url).search); }
		send(text) { log.push("sent " + text); }
		close() { log.push("closed"); }
	};
	const pass = (seconds) => {
		const end = now + seconds * 1000;
		for (;;) {
			const next = [...timers].filter(([, t]) => t.at <= end).sort(([a, s], [b, t]) => s.at - t.at || a - b)[0];
			if (!next) break;
			const [id, t] = next;
			now = t.at;
			if (t.every) t.at += t.every;
			else timers.delete(id);
			t.run();
		}
		now = end;
	};
	const socket = () => sockets.at(-1);
	const say = (...frames) => frames.forEach((frame) => socket().onmessage({ data: JSON.stringify(frame) }));
	const drop = (code = 1006, reason = "") => socket().onclose({ code, reason });
	const told = (name, promise) => promise.then((at) => log.push(name + " at " + at.id + " ref " + at.ref), (e) => log.push([name, e.name, e.maybe, e.ref, e.from].map(String).join(" ")));
	const settled = async () => { for (let i = 0; i < 10; i++) await null; };
	try {
		const { connect } = await import("/client.js");
		const chat = connect("ws://server/ws/chat/lobby/", {
			onMessage: (value) => log.push("message " + JSON.stringify(value)),
			onMissed: (frame) => log.push("missed " + frame.event),
			onError: (error) => log.push("error " + error.code),
			onState: ({ state, code, delay }) => log.push([state, code, delay].filter((x) => x !== undefined).join(" ")),
			...options,
		});
		pass(0);
		const send = (name, ref) => told(name, chat.send(name, ref));
		await scene({ chat, send, socket, sockets, say, drop, pass, settled, log, timers, lucky: (value) => (luck = value) });
		const did = [...log];
		chat.close();
		if (timers.size || log.at(-1) !== "closed 1000") did.push(timers.size + " timers are left after " + log.at(-1));
		return did;
	} finally {
		Object.assign(window, { setTimeout: real.setTimeout, setInterval: real.setInterval, clearTimeout: real.clearTimeout, clearInterval: real.clearInterval, WebSocket: real.WebSocket });
		Date.now = real.now;
		Math.random = real.random;
	}
}`

var clientScenes = []struct {
	name, options, scene string
	want                 []string
}{
	{
		name: "the position is that of the last frame that had one",
		scene: `say({ event: "open", id: "A", me: "m1" }, { id: "B", message: 1 }, { message: 2 }, { event: "mark", id: "C" }, { error: { code: 4500, text: "x" } });
			drop(); pass(1);
			say({ event: "open", id: "C", me: "m2", resumed: true }, { id: "D", message: 3 });
			drop(); pass(1);`,
		want: []string{
			"connect ?v=2", "connecting", "open", "message 1", "message 2", "error 4500", "closed", "waiting 1006 500",
			"connect ?v=2&since=C", "connecting", "message 3", "closed", "waiting 1006 500", "connect ?v=2&since=D", "connecting",
		},
	},
	{
		name:  "messages can be sent after open, or after live if missed messages come first",
		scene: `say({ event: "open", id: "A", me: "m", resumed: true }); await chat.send(1).catch((e) => log.push(e.name)); say({ event: "live", id: "A" }); chat.send(2);`, options: `{ since: "A" }`,
		want: []string{"connect ?v=2&since=A", "connecting", "not_connected", "open", `sent {"message":2,"ref":1}`},
	},
	{
		name: "a resume that failed and a gap are reported, a new numbering without a loss is not",
		scene: `say({ event: "open", id: "A", me: "m", resumed: false }, { event: "live", id: "A" }, { event: "gap", id: "B", reason: "epoch", lost: 0 },
			{ event: "gap", id: "C", reason: "slow", lost: 3 }, { event: "gap", id: "D", reason: "backend" });`, options: `{ since: "what" }`,
		want: []string{"connect ?v=2&since=what", "connecting", "missed open", "open", "missed gap", "missed gap"},
	},
	{
		name:  "a client that was given no position asks with one that no server knows, so that the server says it missed something",
		scene: `say({ event: "open", me: "m" }); drop(); pass(1); say({ event: "open", id: "A", me: "n", resumed: false });`,
		want:  []string{"connect ?v=2", "connecting", "open", "closed", "waiting 1006 500", "connect ?v=2&since=none", "connecting", "missed open"},
	},
	{
		name: "an acknowledgement speaks for all earlier messages, an error for one",
		scene: `say({ event: "open", id: "A", me: "m" }); send("a"); send("b"); send("c", 7); send("d");
			say({ error: { code: 4104, name: "backend_unavailable", text: "gone" }, ref: 7 }, { event: "ack", ref: 2, id: "B" }); await settled();`,
		want: []string{
			"connect ?v=2", "connecting", "open", `sent {"message":"a","ref":1}`, `sent {"message":"b","ref":2}`, `sent {"message":"c","ref":7}`,
			`sent {"message":"d","ref":8}`, "error 4104", "c backend_unavailable undefined 7 m", "a at B ref 1", "b at B ref 2",
		},
	},
	{
		name: "after a lost connection, messages that come back are in the room, and the server makes sure that the others never will be",
		scene: `say({ event: "open", id: "A", me: "m", key: "K" }); send("a"); send("b"); drop(); await settled(); log.push("not known yet"); pass(1);
			say({ event: "open", id: "A", me: "n", key: "L", resumed: true }, { id: "B", message: "a", from: "m", ref: 1 }); drop(); pass(1);
			say({ event: "open", id: "B", me: "o", key: "M", resumed: true }, { event: "live", id: "B", fenced: true }); await settled(); send("c"); drop(); pass(1);`,
		want: []string{
			"connect ?v=2", "connecting", "open", `sent {"message":"a","ref":1}`, `sent {"message":"b","ref":2}`, "closed", "waiting 1006 500", "not known yet",
			"connect ?v=2&since=A&was=K", "connecting", `message "a"`, "closed", "waiting 1006 500", "connect ?v=2&since=B&was=K", "connecting", "open",
			"a at B ref 1", "b lost false 2 m", `sent {"message":"c","ref":3}`, "closed", "waiting 1006 500", "connect ?v=2&since=B&was=M", "connecting",
		},
	},
	{
		name:  "a message that came back is in the room, even if its connection is lost before the acknowledgement",
		scene: `say({ event: "open", id: "A", me: "m", key: "K" }); send("a"); say({ id: "B", message: "a", from: "m", ref: 1 }); drop(); await settled(); pass(1);`,
		want: []string{
			"connect ?v=2", "connecting", "open", `sent {"message":"a","ref":1}`, `message "a"`, "closed", "waiting 1006 500", "a at B ref 1",
			"connect ?v=2&since=B", "connecting",
		},
	},
	{
		name: "a server that cannot make sure leaves the messages unknown, and so does the end",
		scene: `say({ event: "open", id: "A", me: "m", key: "K" }); send("a"); drop(); pass(1);
			say({ event: "open", id: "A", me: "n", key: "L", resumed: true }, { event: "live", id: "A", fenced: false }); await settled(); send("b"); drop(); pass(1);
			say({ event: "open", id: "Z", me: "o", key: "M", resumed: false }, { event: "live", id: "Z", fenced: true }); await settled(); send("c"); drop(4503); await settled();`,
		want: []string{
			"connect ?v=2", "connecting", "open", `sent {"message":"a","ref":1}`, "closed", "waiting 1006 500", "connect ?v=2&since=A&was=K", "connecting", "open",
			"a unknown true 1 m", `sent {"message":"b","ref":2}`, "closed", "waiting 1006 500", "connect ?v=2&since=A&was=L", "connecting", "missed open", "open",
			"b unknown true 2 n", `sent {"message":"c","ref":3}`, "closed", "closed 4503", "c unknown true 3 o",
		},
	},
	{
		name: "a silent server is asked after 50 s, and given up after 150 s without its close event",
		scene: `say({ event: "open", id: "A", me: "m" }); pass(74); log.push("74 s"); pass(2); say({ event: "heartbeat", id: "A" }); log.push("answered");
			pass(150); log.push("150 s later"); pass(25); sockets[0].onclose?.({ code: 1006, reason: "late" }); sockets[0].onmessage?.({ data: "late" });`,
		want: []string{
			"connect ?v=2", "connecting", "open", "74 s", `sent "heartbeat"`, "answered", `sent "heartbeat"`, `sent "heartbeat"`, `sent "heartbeat"`, `sent "heartbeat"`,
			"150 s later", "closed", "waiting 1006 500", "connect ?v=2&since=A", "connecting",
		},
	},
	{
		name:  "a handshake without an answer is given up",
		scene: `pass(74); log.push("74 s"); pass(1); pass(1);`,
		want:  []string{"connect ?v=2", "connecting", "74 s", "closed", "waiting 1006 500", "connect ?v=2", "connecting"},
	},
	{
		name:  "waits are random and grow, and a connection that lasts ends the series",
		scene: `lucky(1); for (let i = 0; i < 5; i++) { drop(); pass(31); } say({ event: "open", me: "m" }); pass(6); drop();`,
		want: []string{
			"connect ?v=2", "connecting", "closed", "waiting 1006 5000", "connect ?v=2", "connecting", "closed", "waiting 1006 9500", "connect ?v=2", "connecting",
			"closed", "waiting 1006 18500", "connect ?v=2", "connecting", "closed", "waiting 1006 30500", "connect ?v=2", "connecting",
			"closed", "waiting 1006 30500", "connect ?v=2", "connecting", "open", "closed", "waiting 1006 5000",
		},
	},
	{
		name:  "a drained client moves at once, the first time",
		scene: `lucky(1); drop(4200); pass(1); drop(4200);`,
		want:  []string{"connect ?v=2", "connecting", "closed", "waiting 4200 500", "connect ?v=2", "connecting", "closed", "waiting 4200 9500"},
	},
	{
		name:  "a handshake that fails with the event error alone, as in some versions of Node.js, is the end of the connection too",
		scene: `socket().onerror({ message: "failed" }); log.push(String(socket().onclose)); pass(1);`,
		want:  []string{"connect ?v=2", "connecting", "closed", "waiting 1006 500", "null", "connect ?v=2", "connecting"},
	},
	{
		name:  "codes from 4500 on are the end, until a person wants to try again",
		scene: `for (const code of [4500, 4501, 4503, 4504, 4505]) { drop(code); pass(1000); log.push("later"); chat.wake(); chat.open(); }`,
		want: []string{
			"connect ?v=2", "connecting", "closed", "closed 4500", "later", "connect ?v=2", "connecting", "closed", "closed 4501", "later", "connect ?v=2", "connecting",
			"closed", "closed 4503", "later", "connect ?v=2", "connecting", "closed", "closed 4504", "later", "connect ?v=2", "connecting",
			"closed", "closed 4505", "later", "connect ?v=2", "connecting",
		},
	},
	{
		name: "a page that wakes up ends a wait, and has a dead connection found soon",
		scene: `drop(); chat.wake(); say({ event: "open", id: "A", me: "m" }); pass(1); chat.wake(); log.push("woken"); pass(60); log.push("gone");
			say({ event: "open", id: "A", me: "n", resumed: true }, { event: "live" }); chat.wake(); say({ event: "heartbeat" }); pass(49); log.push("alive");`,
		want: []string{
			"connect ?v=2", "connecting", "closed", "waiting 1006 500", "connect ?v=2", "connecting", "open", `sent "heartbeat"`, "woken", `sent "heartbeat"`,
			"closed", "waiting 1006 500", "connect ?v=2&since=A", "connecting", "gone", "open", `sent "heartbeat"`, "alive",
		},
	},
	{
		name:  "events and keys of a later version are passed over, and arrays are read in order",
		scene: `say({ event: "open", id: "A", me: "m", more: {} }, { event: "new", of: 1 }, { something: "else" }, [{ id: "B", message: 1 }, { id: "C", message: [2] }]); drop(); pass(1);`,
		want:  []string{"connect ?v=2", "connecting", "open", "message 1", "message [2]", "closed", "waiting 1006 500", "connect ?v=2&since=C", "connecting"},
	},
	{
		name: "without watching there are no timers", options: `{ watch: 0 }`,
		scene: `say({ event: "open", id: "A", me: "m" }); log.push(timers.size + " timers"); chat.wake(); pass(10000);`,
		want:  []string{"connect ?v=2", "connecting", "open", "0 timers"},
	},
}

func TestTheClient(t *testing.T) {
	server := startRoomServer(t)
	page := browsertest.Start(t).Open(t, server.URL+"/app.css") // an empty page of the same origin
	for _, c := range clientScenes {
		t.Run(c.name, func(t *testing.T) {
			if c.options == "" {
				c.options = "{}"
			}
			scene := "async ({ chat, send, socket, sockets, say, drop, pass, settled, log, timers, lucky }) => {" + c.scene + "}"
			got := browsertest.Eval[[]string](page, "("+rig+")("+c.options+", "+scene+")")
			if !slices.Equal(got, c.want) {
				t.Errorf("the client did\n%q, want\n%q", got, c.want)
			}
		})
	}
}
