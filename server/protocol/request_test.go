package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"dotsconnect/server/internal/golden"
	"dotsconnect/server/protocol"
)

// requestsOf returns copies of the requests of a text.
func requestsOf(decoder *protocol.Decoder, text string) (list []protocol.Request, err error) {
	err = decoder.DecodeV2([]byte(text), func(r *protocol.Request) bool {
		list = append(list, *r)
		return true
	})
	return list, err
}

// values returns requests for the values, without refs.
func values(texts ...string) (list []protocol.Request) {
	for _, text := range texts {
		list = append(list, protocol.Request{Kind: protocol.RequestMessage, Value: []byte(text)})
	}
	return list
}

func TestRequestsAreReadInOrder(t *testing.T) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	const message, bad = protocol.RequestMessage, protocol.RequestBad
	for _, test := range []struct {
		in   string
		want []protocol.Request
	}{
		{`"heartbeat"`, []protocol.Request{{Kind: protocol.RequestHeartbeat}}},
		{" \"heart\\u0062eat\"\n", []protocol.Request{{Kind: protocol.RequestHeartbeat}}},
		{`{"message":"hello"}`, values(`"hello"`)},
		{`{"message":null}`, values(`null`)},
		{` { "message" : { "a" : 1.50, "a" : [ ] } , "x":[{}] } `, values(`{ "a" : 1.50, "a" : [ ] }`)},
		{`{"message":1,"mess\u0061ge":2,"Message":3}`, values(`2`)},
		{`{"message":"heartbeat"}`, values(`"heartbeat"`)},
		{`{"message":-0.0,"since":1,"last":-1,"presence":9,"slow":0}`, values(`-0.0`)},
		{`[{"message":1}]`, values(`1`)},
		{"\t[ {\"message\": [1] } ,\n{\"message\":\"]\"} ]\r\n", values(`[1]`, `"]"`)},
		{golden.Nested(protocol.MaxDepth), values(strings.Repeat("[", 128) + strings.Repeat("]", 128))},
		{"[" + golden.Nested(protocol.MaxDepth) + "]", values(strings.Repeat("[", 128) + strings.Repeat("]", 128))},
		{`{"message":1,"ref":7}`, []protocol.Request{{Kind: message, Value: []byte("1"), Ref: 7}}},
		{`{"ref":9007199254740991,"message":1}`, []protocol.Request{{Kind: message, Value: []byte("1"), Ref: 1<<53 - 1}}},
		{`{"ref":"x","message":1,"r\u0065f":1}`, []protocol.Request{{Kind: message, Value: []byte("1"), Ref: 1}}},
		{`{"message":1,"room":"caf\u00e9","ref":2}`, []protocol.Request{{Kind: message, Value: []byte("1"), Ref: 2, Room: "café"}}},
		{`{"members":true}`, []protocol.Request{{Kind: protocol.RequestMembers}}},
		{`{"members":false,"members":true,"ref":"x","room":"%41"}`, []protocol.Request{{Kind: protocol.RequestMembers, Room: "%41"}}},
		{`{"leave":"a","ref":1,"room":5}`, []protocol.Request{{Kind: protocol.RequestLeave, Room: "a"}}},
		{`{"token":"a\u002eb","room":"x"}`, []protocol.Request{{Kind: protocol.RequestToken, Token: "a.b"}}},
		{`{"token":""}`, []protocol.Request{{Kind: protocol.RequestToken}}},
		{`{"join":"lobby"}`, []protocol.Request{{Kind: protocol.RequestJoin, Room: "lobby", Slow: "gap"}}},
		{`{"join":"a","since":"5XgwIF-----33V-4","last":50,"presence":1,"slow":"latest","ref":0,"room":"b"}`, []protocol.Request{{
			Kind: protocol.RequestJoin, Room: "a", Since: "5XgwIF-----33V-4", Last: 50, Presence: 1, Slow: "latest",
		}}},
		{`{"join":"a","since":"no id","last":1001,"presence":2,"slow":"clos\u0065"}`, []protocol.Request{{
			Kind: protocol.RequestJoin, Room: "a", Since: "no id", Last: 1000, Presence: 2, Slow: "close",
		}}},
		{`{"join":"a","since":"","last":99999999999999999999999999,"presence":0}`, []protocol.Request{{
			Kind: protocol.RequestJoin, Room: "a", Last: 1000, Slow: "gap",
		}}},
		{`[{"message":1,"ref":1},{},{"message":2,"ref":2}]`, []protocol.Request{
			{Kind: message, Value: []byte("1"), Ref: 1},
			{Kind: bad, Text: `none of the keys "message", "join", "leave", "members" and "token"`},
			{Kind: message, Value: []byte("2"), Ref: 2},
		}},
	} {
		got, err := requestsOf(decoder, test.in)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%.60q: got %+v, %v, want %+v", test.in, got, err, test.want)
		}
	}
}

func TestBadRequestsSayWhatIsWrong(t *testing.T) {
	const none, two = `none of the keys "message", "join", "leave", "members" and "token"`, `two of the keys "message", "join", "leave", "members" and "token"`
	const ref = `"ref" is not an integer from 1 to 9007199254740991`
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for _, test := range []struct {
		in   string
		want protocol.Request
	}{
		{`{}`, protocol.Request{Text: none}},
		{`{"Message":1,"ref":3,"room":"r"}`, protocol.Request{Text: none, Ref: 3, Room: "r"}},
		{`{"heartbeat":1,"ref":"3","room":3}`, protocol.Request{Text: none}},
		{`{"messagemessagemessagemessagemessagemessagemessage":1}`, protocol.Request{Text: none}},
		{`{"` + strings.Repeat(`\u006d`, 20) + `":1}`, protocol.Request{Text: none}},
		{`{"message":1,"members":true,"ref":4,"room":"r"}`, protocol.Request{Text: two, Ref: 4, Room: "r"}},
		{`{"join":"a","leave":null}`, protocol.Request{Text: two}},
		{`{"message":1,"join":"a","leave":"b","members":true,"token":"t"}`, protocol.Request{Text: two}},
		{`{"message":1,"ref":0}`, protocol.Request{Text: ref}},
		{`{"message":1,"ref":-1}`, protocol.Request{Text: ref}},
		{`{"message":1,"ref":9007199254740992}`, protocol.Request{Text: ref}},
		{`{"message":1,"ref":18446744073709551617}`, protocol.Request{Text: ref}},
		{`{"message":1,"ref":1.0}`, protocol.Request{Text: ref}},
		{`{"message":1,"ref":1e3}`, protocol.Request{Text: ref}},
		{`{"message":1,"ref":"1"}`, protocol.Request{Text: ref}},
		{`{"message":1,"ref":null}`, protocol.Request{Text: ref}},
		{`{"message":1,"ref":[1],"room":"r"}`, protocol.Request{Text: ref, Room: "r"}},
		{`{"message":1,"ref":1,"ref":{}}`, protocol.Request{Text: ref}},
		{`{"message":1,"room":null,"ref":5}`, protocol.Request{Text: `"room" is not a string`, Ref: 5}},
		{`{"message":1,"room":"","ref":5}`, protocol.Request{Text: "the room name is empty", Ref: 5}},
		{`{"message":1,"room":"a/b"}`, protocol.Request{Text: "the room name contains a slash"}},
		{`{"message":1,"room":"a\nb"}`, protocol.Request{Text: "the room name contains a control character"}},
		{`{"message":1,"room":"` + strings.Repeat("x", 129) + `"}`, protocol.Request{Text: "the room name is longer than 128 bytes"}},
		{`{"message":1,"room":"` + strings.Repeat(`\u0041`, 129) + `"}`, protocol.Request{Text: "the room name is longer than 128 bytes"}},
		{`{"members":1}`, protocol.Request{Text: `"members" is not true`}},
		{`{"members":"true","ref":6}`, protocol.Request{Text: `"members" is not true`, Ref: 6}},
		{`{"members":true,"room":false}`, protocol.Request{Text: `"room" is not a string`}},
		{`{"leave":["a"]}`, protocol.Request{Text: `"leave" is not a string`}},
		{`{"leave":""}`, protocol.Request{Text: "the room name is empty"}},
		{`{"token":null}`, protocol.Request{Text: `"token" is not a string`}},
		{`{"join":{}}`, protocol.Request{Text: `"join" is not a string`}},
		{`{"join":"","since":1}`, protocol.Request{Text: "the room name is empty"}},
		{`{"join":"a","since":null}`, protocol.Request{Text: `"since" is not a string`, Room: "a"}},
		{`{"join":"a","last":-1}`, protocol.Request{Text: `"last" is not an integer of 0 or more`, Room: "a"}},
		{`{"join":"a","last":"5"}`, protocol.Request{Text: `"last" is not an integer of 0 or more`, Room: "a"}},
		{`{"join":"a","presence":3}`, protocol.Request{Text: `"presence" is not 0, 1 or 2`, Room: "a"}},
		{`{"join":"a","presence":true}`, protocol.Request{Text: `"presence" is not 0, 1 or 2`, Room: "a"}},
		{`{"join":"a","slow":"GAP"}`, protocol.Request{Text: `"slow" is not "close", "gap" or "latest"`, Room: "a"}},
		{`{"join":"a","slow":0,"ref":7}`, protocol.Request{Text: `"slow" is not "close", "gap" or "latest"`, Room: "a", Ref: 7}},
	} {
		got, err := requestsOf(decoder, test.in)
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], test.want) {
			t.Errorf("%.60q: got %+v, %v, want %+v", test.in, got, err, test.want)
		}
		if len(test.want.Text) > 110 || !printable(test.want.Text) {
			t.Errorf("%q does not fit into a console", test.want.Text)
		}
	}
}

func TestTextsWithoutRequestsAreRefused(t *testing.T) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	most := strings.Repeat(`{"message":1},`, protocol.MaxRequests-1) + `{"message":1}`
	for _, test := range []struct{ in, want string }{
		{"", "empty message"},
		{"\ufeff{\"message\":1}", "begins with a byte order mark"},
		{`"HEARTBEAT"`, `a string other than "heartbeat"`},
		{`0`, "a number, not an object"},
		{`null`, "null, not an object"},
		{`true`, "a boolean, not an object"},
		{`[]`, "an empty array"},
		{` [ ] `, "an empty array"},
		{`["heartbeat"]`, "an array with a value that is not an object"},
		{`[{"message":1},1]`, "an array with a value that is not an object"},
		{`[{"message":1},[{"message":1}]]`, "an array with a value that is not an object"},
		{`[` + most + `,{"message":1}]`, "an array of more than 128 requests"},
		{`[` + most + `,{}`, "an array of more than 128 requests"},
		{`[{"message":1}`, "not JSON: ends too early, at byte 14"},
		{`[{"message":1},`, "not JSON: ends too early, at byte 15"},
		{`[{"message":1},]`, "not JSON: unexpected ',' at byte 14"},
		{`[{"message":1}}`, "not JSON: unexpected '}' at byte 14"},
		{`[{"message":1} {"message":2}]`, "not JSON: unexpected '{' at byte 15"},
		{`[{"message":1},{"message":NaN}]`, "not JSON: NaN or Infinity at byte 26"},
		{`[{"message":1},{"ref":"\ud83d"}]`, "not JSON: half a surrogate pair at byte 23"},
		{"[{\"message\":1},{\"x\":\"\xff\"}]", "not JSON: invalid UTF-8 at byte 21"},
		{`[{"message":1}]]`, "text after the JSON value, at byte 15"},
		{`[{"\ud83dxxxxxxxxx":0}]`, "not JSON: half a surrogate pair at byte 3"},
		{`[{"message" 1}]`, "not JSON: unexpected '1' at byte 12"},
		{`[{"message":1,}]`, "not JSON: unexpected ',' at byte 13"},
		{`[{"message":1]]`, "not JSON: unexpected ']' at byte 13"},
		{`{"message":1}{"message":2}`, "text after the JSON value, at byte 13"},
		{`"heartbeat""heartbeat"`, "text after the JSON value, at byte 11"},
		{golden.Nested(129), "nested deeper than 128 levels"},
		{"[" + golden.Nested(129) + "]", "nested deeper than 128 levels"},
		{strings.Repeat("[", 100_000), "nested deeper than 128 levels"},
	} {
		got, err := requestsOf(decoder, test.in)
		var bad *protocol.BadFrame
		if !errors.As(err, &bad) || bad.Reason != test.want || got != nil {
			t.Errorf("%.60q: got %+v, %v, want %q", test.in, got, err, test.want)
		}
		if got, err := requestsOf(decoder, `{"message":7}`); err != nil || !reflect.DeepEqual(got, values("7")) {
			t.Errorf("after %.60q: got %+v, %v", test.in, got, err)
		}
	}
	if got, err := requestsOf(decoder, `[`+most+`]`); err != nil || len(got) != protocol.MaxRequests {
		t.Errorf("%d requests: got %d, %v", protocol.MaxRequests, len(got), err)
	}
}

func TestTheCallerCanStopAfterARequest(t *testing.T) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	calls := 0
	err := decoder.DecodeV2([]byte(`[{"message":1},{"message":2},{"message":3}]`), func(r *protocol.Request) bool {
		calls++
		return string(r.Value) != "2"
	})
	if err != nil || calls != 2 {
		t.Errorf("got %d calls, %v, want 2", calls, err)
	}
}

func TestTheValueOfARequestIsAViewOfTheText(t *testing.T) {
	p := []byte(`[{"message":"abc","room":"r","ref":1}]`)
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	if err := decoder.DecodeV2(p, func(r *protocol.Request) bool {
		copy(p, bytes.ToUpper(p))
		if string(r.Value) != `"ABC"` || cap(r.Value) != len(r.Value) {
			t.Errorf("got %s with the capacity %d, want a view of the text", r.Value, cap(r.Value))
		}
		if r.Room != "r" {
			t.Errorf("the room became %q with the text", r.Room)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
}

func TestManyRoomNamesStayApart(t *testing.T) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for range 2 {
		for i := range 1000 {
			room := fmt.Sprintf("room-é-%d", i)
			quoted, err := json.Marshal(room)
			if err != nil {
				t.Fatal(err)
			}
			got, err := requestsOf(decoder, `{"leave":`+string(quoted)+`}`)
			if err != nil || len(got) != 1 || got[0].Room != room {
				t.Fatalf("got %+v, %v, want the room %q", got, err, room)
			}
		}
	}
}

func TestUsualRequestsDoNotAllocate(t *testing.T) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	each := func(*protocol.Request) bool { return true }
	for _, in := range []string{
		chatLine, `"heartbeat"`, `{"mess\u0061ge":{"a":[1,2.5,null,"\u00e9"]},"r\u0065f":7,"x":true}`,
		`{"message":1,"ref":9007199254740991,"room":"caf\u00e9"}`, `[{"message":1,"ref":1},{"message":2,"ref":2}]`,
		`{"members":true,"room":"lobby"}`, `{"leave":"lobby"}`, golden.Nested(100), `{}`, `{"message":1,"ref":0}`, `[]`, `[1]`,
	} {
		p := []byte(in)
		if n := testing.AllocsPerRun(100, func() { _ = decoder.DecodeV2(p, each) }); n != 0 {
			t.Errorf("%.60q: %v allocations, want 0", in, n)
		}
	}
}
