package protocol_test

import (
	"errors"
	"strings"
	"testing"

	"dotsconnect/server/internal/golden"
	"dotsconnect/server/protocol"
)

func TestMessagesGiveTheSendersBytes(t *testing.T) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for in, want := range map[string]string{
		`{"message":"hello"}`:                                `"hello"`,
		" \t\r\n{ \"message\" :\n\t\"ws\"  }\n":              `"ws"`,
		`{"message":null}`:                                   `null`,
		`{"message": -0.0 }`:                                 `-0.0`,
		`{"message":1E400}`:                                  `1E400`,
		`{"message":123456789012345678901234567890}`:         `123456789012345678901234567890`,
		`{"message":"\/\u0041 h\u00e9 é"}`:                   `"\/\u0041 h\u00e9 é"`,
		`{"message":"\ud83d\ude00"}`:                         `"\ud83d\ude00"`,
		`{"message":{ "a" : 1, "a" : [ ] }}`:                 `{ "a" : 1, "a" : [ ] }`,
		`{"message":1,"message":2}`:                          `2`,
		`{"message":1,"mess\u0061ge":2}`:                     `2`,
		`{"\u006d\u0065\u0073\u0073\u0061\u0067\u0065":[1]}`: `[1]`,
		`{"a":{"message":1},"message":2,"Message":3}`:        `2`,
		`{"message":"heartbeat"}`:                            `"heartbeat"`,
		`{"":0,"message":0,"\u006dessag\u00e9":1}`:           `0`,
		golden.Nested(protocol.MaxDepth):                     strings.Repeat("[", 128) + strings.Repeat("]", 128),
	} {
		input, value, err := decoder.DecodeV1([]byte(in))
		if err != nil || input != protocol.Message || string(value) != want {
			t.Errorf("%.60q: got %d, %.60q, %v, want %.60q", in, input, value, err, want)
		}
	}
}

func TestTheValueIsAViewOfTheMessage(t *testing.T) {
	p := []byte(`{"message":"abc"}`)
	_, value, err := protocol.NewDecoder(protocol.MaxDepth).DecodeV1(p)
	if err != nil {
		t.Fatal(err)
	}
	p[12] = 'X'
	if string(value) != `"Xbc"` {
		t.Errorf("got %s, want the changed bytes", value)
	}
	if cap(value) != len(value) {
		t.Errorf("an append to the value would overwrite the message: cap %d, len %d", cap(value), len(value))
	}
}

func TestHeartbeatsAreComparedAfterDecoding(t *testing.T) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for _, in := range []string{
		`"heartbeat"`, ` "heartbeat" `, "\r\n\t\"heartbeat\"\n", `"heart\u0062eat"`,
		`"\u0068\u0065\u0061\u0072\u0074\u0062\u0065\u0061\u0074"`,
	} {
		if input, value, err := decoder.DecodeV1([]byte(in)); err != nil || input != protocol.Heartbeat || value != nil {
			t.Errorf("%q: got %d, %q, %v, want a heartbeat", in, input, value, err)
		}
	}
}

func TestBadFramesSayWhatIsWrong(t *testing.T) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for _, test := range []struct{ in, want string }{
		{"", "empty message"},
		{" \n", "empty message"},
		{"\ufeff{\"message\":1}", "begins with a byte order mark"},
		{`{}`, `no key "message"`},
		{`{"Message":1}`, `no key "message"`},
		{`{"message ":1}`, `no key "message"`},
		{`{"a":{"message":1}}`, `no key "message"`},
		{`{"heartbeat":1}`, `no key "message"`},
		{`"HEARTBEAT"`, `a string other than "heartbeat"`},
		{`"heartbeat "`, `a string other than "heartbeat"`},
		{`"\u0068eartbea"`, `a string other than "heartbeat"`},
		{`"` + strings.Repeat(`\u0068`, 1000) + `"`, `a string other than "heartbeat"`},
		{`["heartbeat"]`, "an array, not an object"},
		{`0`, "a number, not an object"},
		{`null`, "null, not an object"},
		{`true`, "a boolean, not an object"},
		{`{"message":NaN}`, "not JSON: NaN or Infinity at byte 11"},
		{`{"message":-Infinity}`, "not JSON: NaN or Infinity at byte 12"},
		{`{"message":[1,Infinity]}`, "not JSON: NaN or Infinity at byte 14"},
		{`{"message":"\ud83d"}`, "not JSON: half a surrogate pair at byte 12"},
		{`{"message":"\ude00\ud83d"}`, "not JSON: half a surrogate pair at byte 12"},
		{`{"\ud83dxxxxxxxxx":0,"message":1}`, "not JSON: half a surrogate pair at byte 2"},
		{`{"message":1,"x":["\uDBFF\u0020"]}`, "not JSON: half a surrogate pair at byte 19"},
		{`{"message":"\x"}`, "not JSON: bad escape at byte 12"},
		{`{"message":"\u12G4"}`, "not JSON: bad escape at byte 12"},
		{"{\"message\":\"\xff\"}", "not JSON: invalid UTF-8 at byte 12"},
		{"{\"message\":\"a\tb\"}", `not JSON: unexpected '\t' at byte 13`},
		{"\x00", `not JSON: unexpected '\x00' at byte 0`},
		{"\u00a0{}", `not JSON: unexpected '\u00a0' at byte 0`},
		{`{'message':1}`, `not JSON: unexpected '\'' at byte 1`},
		{`{"message":1,}`, `not JSON: unexpected ',' at byte 12`},
		{`{,"message":1}`, `not JSON: unexpected ',' at byte 1`},
		{`{"message" 1}`, `not JSON: unexpected '1' at byte 11`},
		{`{"message":1 "a":1}`, `not JSON: unexpected '"' at byte 13`},
		{`{1:1}`, `not JSON: unexpected '1' at byte 1`},
		{`{"message":01}`, `not JSON: unexpected '1' at byte 12`},
		{`{"message":0x10}`, `not JSON: unexpected 'x' at byte 12`},
		{`{"message":+1}`, `not JSON: unexpected '+' at byte 11`},
		{`{"message":[1}}`, `not JSON: unexpected '}' at byte 13`},
		{`}`, `not JSON: unexpected '}' at byte 0`},
		{`ping`, `not JSON: unexpected 'p' at byte 0`},
		{`nope`, `not JSON: unexpected 'o' at byte 1`},
		{`{`, "not JSON: ends too early, at byte 1"},
		{`{"message"`, "not JSON: ends too early, at byte 10"},
		{`{"message":`, "not JSON: ends too early, at byte 11"},
		{`{"message":"unterminated`, "not JSON: ends too early, at byte 24"},
		{`{"message":1,`, "not JSON: ends too early, at byte 13"},
		{`"heartbeat`, "not JSON: ends too early, at byte 10"},
		{`{"message":1} trailing`, "text after the JSON value, at byte 14"},
		{`{"message":1}{"message":2}`, "text after the JSON value, at byte 13"},
		{`{}{"message":2}`, "text after the JSON value, at byte 2"},
		{`"heartbeat""heartbeat"`, "text after the JSON value, at byte 11"},
		{`{"message":1}` + "\x00", "text after the JSON value, at byte 13"},
		{golden.Nested(129), "nested deeper than 128 levels"},
		{`{"message":1,"x":` + strings.Repeat(`{"a":`, 129) + "1" + strings.Repeat("}", 130), "nested deeper than 128 levels"},
		{strings.Repeat("[", 100_000), "nested deeper than 128 levels"},
	} {
		_, value, err := decoder.DecodeV1([]byte(test.in))
		var bad *protocol.BadFrame
		if !errors.As(err, &bad) || value != nil {
			t.Errorf("%.60q: got %q, %v, want a BadFrame", test.in, value, err)
			continue
		}
		if bad.Reason != test.want || bad.Error() != bad.Reason {
			t.Errorf("%.60q: got %q, want %q", test.in, bad.Reason, test.want)
		}
	}
}

func TestBracketsInStringsDoNotNest(t *testing.T) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for _, text := range []string{
		strings.Repeat("[", 1000),
		strings.Repeat(`[\"{\\`, 1000),
		strings.Repeat(`\\\"[`, 1000),
	} {
		if _, value, err := decoder.DecodeV1([]byte(`{"message":"` + text + `"}`)); err != nil || len(value) != len(text)+2 {
			t.Errorf("%.20q...: got %d bytes, %v", text, len(value), err)
		}
	}
	wide := `{"message":[` + strings.Repeat(`[[]],{"a":{}},`, 1000) + `0]}`
	if _, _, err := decoder.DecodeV1([]byte(wide)); err != nil {
		t.Errorf("many shallow values: %v", err)
	}
}

func TestTheNestingLimitIsTheDecodersOwn(t *testing.T) {
	for _, limit := range []int{1, 2, protocol.MaxDepth, 8192} {
		decoder := protocol.NewDecoder(limit)
		if _, _, err := decoder.DecodeV1([]byte(golden.Nested(limit))); err != nil {
			t.Errorf("limit %d: %d levels: %v", limit, limit, err)
		}
		if _, _, err := decoder.DecodeV1([]byte(golden.Nested(limit + 1))); err == nil {
			t.Errorf("limit %d: %d levels passed", limit, limit+1)
		}
	}
	for _, limit := range []int{-1, 0, 8193} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("limit %d: no panic", limit)
				}
			}()
			protocol.NewDecoder(limit)
		}()
	}
}

func TestADecoderForgetsWhatItRefused(t *testing.T) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for _, bad := range []string{`{"message":[[[`, `{"message":1}x`, `{"message"`, `"x`, "", `{"message":"\ud800"}`, strings.Repeat("{", 1000)} {
		if _, _, err := decoder.DecodeV1([]byte(bad)); err == nil {
			t.Errorf("%.60q passed", bad)
		}
		if _, value, err := decoder.DecodeV1([]byte(`{"message":7}`)); err != nil || string(value) != "7" {
			t.Errorf("after %.60q: got %q, %v", bad, value, err)
		}
	}
}

func TestUsualInputsAndRefusalsDoNotAllocate(t *testing.T) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for _, in := range []string{
		chatLine, `"heartbeat"`, `"heart\u0062eat"`, `{"mess\u0061ge":{"a":[1,2.5,null,"\u00e9"]},"x":true}`,
		golden.Nested(100), `{}`, `[1]`, strings.Repeat("[", 1000),
	} {
		p := []byte(in)
		if n := testing.AllocsPerRun(100, func() { _, _, _ = decoder.DecodeV1(p) }); n != 0 {
			t.Errorf("%.60q: %v allocations, want 0", in, n)
		}
	}
}
