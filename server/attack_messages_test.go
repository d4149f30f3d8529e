package server

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Rows J1 to J3 of ATTACKS.md: bad messages, and unusual ones that must pass.

func TestAttackChatTakesWhatTheContractAllowsAndNothingElse(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	objects := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	digits := strings.Repeat("7", 64<<10-len(`{"message":}`))
	good := map[string]string{ // message -> the value that everybody must receive
		`{"message":` + nest(128) + `}`:                        nest(128),
		`{"message":` + objects(128) + `}`:                     objects(128),
		`{"message":"` + nest(300) + `"}`:                      `"` + nest(300) + `"`,
		`{"message":` + digits + `}`:                           digits,
		`{"message":1,"message":2}`:                            `2`,
		`{"message":1,"other":2,"m\u0065ssage":3}`:             `3`,
		`{"message":1,"Message":2,"MESSAGE":3}`:                `1`,
		"\t\r\n {\t\"message\" \r\n:  1 \n} \r\n\t":            `1`,
		`{"message":"heartbeat"}`:                              `"heartbeat"`,
		`{"message":{"message":1}}`:                            `{"message":1}`,
		`{"message":null}`:                                     `null`,
		`{"message":false}`:                                    `false`,
		`{"message":1E400}`:                                    `1E400`,
		`{"message":-0}`:                                       `-0`,
		`{"message":123456789012345678901234567890}`:           `123456789012345678901234567890`,
		`{"message":"\ud83d\ude00 \u0000 \/"}`:                 `"\ud83d\ude00 \u0000 \/"`,
		`{"message":"</script>` + "\u2028\u007f" + `"}`:        `"</script>` + "\u2028\u007f" + `"`,
		`{"message":{ "a" : 1 , "a" : 2 }}`:                    `{ "a" : 1 , "a" : 2 }`,
		`{"heartbeat":1,"join":"other","v":2,"message":"ref"}`: `"ref"`,
		`{"":0,"__proto__":{},"message":{"__proto__":1}}`:      `{"__proto__":1}`,
	}
	w := s.join(t, "/ws/chat/room")
	for text, value := range good {
		w.text(text)
		if got := w.message(); got != `{"message":`+value+`}` {
			t.Errorf("%.100q: heard %.100q, want the value %.100q", text, got, value)
		}
	}
	if others := by.hear(len(good)); len(others) != len(good) {
		t.Errorf("the others heard %d messages, want %d", len(others), len(good))
	}
	w.Close()
	bad := []string{
		"", " ", "\n", "x", "1", "null", "true", "[]", `[{"message":1}]`, `"hello"`, `"Heartbeat"`, `"heartbeat "`, `"\u0000heartbeat"`, `heartbeat`,
		`{}`, `{"Message":1}`, `{"messag":1}`, `{"message ":1}`, `{"message\u0000":1}`, `{"message"}`, `{"message":}`, `{"message":1`, `{"message":1}}`,
		`{"message":1}{"message":2}`, `{"message":1} x`, `{"message":1},`, `"heartbeat""heartbeat"`, `"heartbeat" 1`, `{message:1}`, `{'message':1}`, `{"message":'1'}`,
		`{"message":1,}`, `{,"message":1}`, `{"message":[1,]}`, `{"message":NaN}`, `{"message":Infinity}`, `{"message":-Infinity}`, `{"message":01}`, `{"message":+1}`,
		`{"message":1.}`, `{"message":.1}`, `{"message":0x1}`, `{"message":1e}`, `{"message":--1}`, `{"message":undefined}`, `{"message":tru}`,
		"\ufeff" + `{"message":1}`, "\ufeff" + `"heartbeat"`, "\u00a0" + `{"message":1}`, "\u2003" + `"heartbeat"`, "\v" + `{"message":1}`,
		`{"message":"\ud800"}`, `{"message":"\udc00"}`, `{"message":"\ud800\ud800"}`, `{"message":"\udc00\ud800"}`, `{"message":"\ud800x"}`, `{"\ud800":1,"message":2}`,
		`{"message":"\x41"}`, `{"message":"\u12"}`, `{"message":"` + "\n" + `"}`, `{"message":"` + "\x00" + `"}`, "{\"message\":1}\x00", `{"message":"a` + "\t" + `"}`,
		`{"message":` + nest(129) + `}`, `{"message":` + objects(129) + `}`, `{"other":` + nest(129) + `,"message":1}`, nest(129), strings.Repeat("[", 60000),
		strings.Repeat(`{"message":`, 5000), `{"message":` + strings.Repeat("[", 60000), `/* */{"message":1}`, `{"message":1} // x`, "<html>", strings.Repeat("\"", 60001),
	}
	for _, text := range bad {
		w := s.join(t, "/ws/chat/room")
		w.write(textFrame(`{"message":"before"}`) + textFrame(text) + textFrame(`{"message":"after"}`))
		code, reason, before := w.ends()
		if code != 4500 || !strings.HasPrefix(reason, "bad_frame: ") || !reflect.DeepEqual(before, []string{`{"message":"before"}`}) {
			t.Errorf("%.60q: closed with %d %q after %q, want 4500 after one message", text, code, reason, before)
		}
		w.Close()
		if others := by.exchange(); len(others) != 1 {
			t.Errorf("%.60q: the others heard %.200q", text, others)
		}
	}
	binaryFrame := s.join(t, "/ws/chat/room")
	binaryFrame.write(textFrame(`{"message":1}`) + string(frame(2, true, []byte(`{"message":2}`))))
	if code, reason, before := binaryFrame.ends(); code != 4500 || len(before) != 1 || !strings.Contains(reason, "binary") {
		t.Errorf("binary: closed with %d %q after %q, want 4500", code, reason, before)
	}
	by.exchange()
	s.quiet(t)
}

func TestAttackHeartbeatsInAnySpellingAreLifeAndAreNotAnswered(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	w := s.join(t, "/ws/chat/room")
	spellings := []string{`"heartbeat"`, `"\u0068eartbeat"`, `"\u0068\u0065\u0061\u0072\u0074\u0062\u0065\u0061\u0074"`, " \t\r\n\"heartbeat\" \n"}
	w.write(string(masked(1, 1000, func(i int) string { return spellings[i%len(spellings)] })))
	w.write(string(frame(1, false, []byte(`"heart`))) + string(frame(0, true, []byte(`beat"`))))
	w.say("and a message")
	w.hears("and a message")
	if others := by.exchange(); len(others) != 1 {
		t.Errorf("the others heard %q", others)
	}
	if got := s.counts.heartbeats.Load(); got != 1001 {
		t.Errorf("%d heartbeats counted, want 1001", got)
	}
}

func TestAttackChatIsKickedForSilenceWhateverControlFramesItSends(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		hostile(cfg)
		cfg.MaxAge, cfg.ControlBurst, cfg.ControlRate = 600*time.Millisecond, 1<<20, 1<<20
	})
	began := time.Now()
	pinging, living := s.join(t, "/ws/chat/room"), s.join(t, "/ws/chat/room")
	eventually(t, "the one with pings alone is gone", func() bool {
		pinging.try(head(0x89, 0) + head(0x8a, 0))
		living.text(`"heartbeat"`)
		s.settle(t)
		return s.connections() == 1
	})
	if code, reason, _ := pinging.ends(); code != 4100 || !strings.HasPrefix(reason, "heartbeat_missed") {
		t.Errorf("closed with %d %q, want 4100", code, reason)
	}
	if after := time.Since(began); after < s.cfg.MaxAge {
		t.Errorf("kicked after %v, before %v", after, s.cfg.MaxAge)
	}
	living.say("still here")
	living.hears("still here")
}

func TestAttackAMessageOfExactlyTheLimitPassesAndOneByteMoreDoesNot(t *testing.T) {
	s := startServer(t, hostile)
	const limit = 64 << 10
	for _, path := range []string{"/ws/chat/room", "/ws/raw/room"} {
		by := s.watch(t, path)
		text := func(n int) string { return `{"message":"` + strings.Repeat("x", n-len(`{"message":""}`)) + `"}` }
		w := s.join(t, path)
		w.text(text(limit))
		if got := w.message(); got != text(limit) {
			t.Errorf("%s: %d bytes came back, want %d", path, len(got), limit)
		}
		w.write(string(frame(1, false, []byte(text(limit)[:limit/2]))) + string(frame(0, true, []byte(text(limit)[limit/2:]))))
		if got := w.message(); got != text(limit) {
			t.Errorf("%s: %d bytes came back in fragments, want %d", path, len(got), limit)
		}
		w.write(textFrame(`{"message":1}`) + head(0x81, limit+1)[:10])
		if code, _, before := w.ends(); code != 1009 || len(before) != 1 {
			t.Errorf("%s: closed with %d after %d messages, want 1009 after one", path, code, len(before))
		}
		if others := by.exchange(); len(others) != 3 || others[0] != text(limit) || others[1] != text(limit) {
			t.Errorf("%s: the others heard %d messages", path, len(others))
		}
	}
}

func TestAttackRawRelaysEverythingAsItIs(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.MaxAge = 900 * time.Millisecond })
	by := s.watch(t, "/ws/raw/room")
	w := s.join(t, "/ws/raw/room")
	for _, c := range []struct {
		op   byte
		text string
	}{{1, ""}, {2, ""}, {1, "text"}, {2, "binary \x00\xff"}, {1, "not JSON {"}, {1, `"heartbeat"`}, {1, "\ufeffmark"}, {2, strings.Repeat("b", 64<<10)}, {1, "\x00"}} {
		w.write(string(frame(c.op, true, []byte(c.text))))
		op, payload, err := w.next()
		if err != nil || op != c.op || string(payload) != c.text {
			t.Fatalf("got opcode %d, %.50q, %v; want %d %.50q", op, payload, err, c.op, c.text)
		}
		w.write(string(frame(c.op, false, []byte(c.text))) + string(frame(0, false, nil)) + string(frame(0, true, nil)))
		if op, payload, err = w.next(); err != nil || op != c.op || string(payload) != c.text {
			t.Fatalf("in fragments: got opcode %d, %.50q, %v; want %d %.50q", op, payload, err, c.op, c.text)
		}
	}
	if others := by.exchange(); len(others) != 18 {
		t.Errorf("the others heard %d messages, want 18", len(others))
	}
	// Pongs count as signs of life. A silent client gets a ping after each third of the maximum age, and 4100 at the end of it.
	silent := s.join(t, "/ws/raw/other")
	began, pings := time.Now(), 0
	for {
		op, payload, err := silent.next()
		if op == 8 {
			if code := fmt.Sprint(int(payload[0])<<8 | int(payload[1])); code != "4100" {
				t.Errorf("closed with %s, want 4100", code)
			}
			break
		}
		if err != nil || op != 9 {
			t.Fatalf("opcode %d, %v; want pings", op, err)
		}
		pings++
		w.write(head(0x8a, 0)) // only pongs keep this client connected
		s.settle(t)
		by.exchange()
	}
	if after := time.Since(began); after < s.cfg.MaxAge || pings < 1 || pings > 3 {
		t.Errorf("kicked after %v and %d pings, want %v and 2", after, pings, s.cfg.MaxAge)
	}
}

func TestAttackChatAndRawRoomsOfOneNameNeverMeet(t *testing.T) {
	s := startServer(t, hostile)
	chat, raw := s.watch(t, "/ws/chat/room"), s.watch(t, "/ws/raw/room")
	for range 20 {
		if others := append(chat.exchange(), raw.exchange()...); len(others) != 0 {
			t.Fatalf("heard %q of the other room", others)
		}
	}
	tricky := s.watch(t, "/ws/raw/chat") // the name "raw/chat" gets no special treatment
	tricky.exchange()
}
