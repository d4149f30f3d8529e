package protocol_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"strconv"
	"testing"
	"unicode/utf8"

	"dotsconnect/server/internal/golden"
	"dotsconnect/server/protocol"
)

// The fuzz test compares DecodeV2 with encoding/json, as FuzzEnvelope does for version 1, except for the texts of bad requests.

// referenceV2 returns the expected requests of a text, and whether the text can be divided into requests.
func referenceV2(p []byte) (list []protocol.Request, ok bool) {
	deepest := protocol.MaxDepth + 1
	if trimmed := bytes.TrimLeft(p, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		deepest++
	}
	if !utf8.Valid(p) || !json.Valid(p) || hasLoneSurrogate(p) || nesting(p) > deepest {
		return nil, false
	}
	var text *string
	if json.Unmarshal(p, &text) == nil && text != nil {
		return []protocol.Request{{Kind: protocol.RequestHeartbeat}}, *text == "heartbeat"
	}
	var objects []map[string]json.RawMessage
	if json.Unmarshal(p, &objects) != nil {
		var object map[string]json.RawMessage
		if json.Unmarshal(p, &object) != nil {
			return nil, false
		}
		objects = append(objects, object)
	}
	if len(objects) == 0 || len(objects) > protocol.MaxRequests {
		return nil, false
	}
	for _, object := range objects {
		if object == nil { // null
			return nil, false
		}
		list = append(list, referenceRequest(object))
	}
	return list, true
}

// referenceRequest returns the expected request of an object.
func referenceRequest(object map[string]json.RawMessage) protocol.Request {
	bad := protocol.Request{Ref: referenceInteger(object["ref"])}
	if bad.Ref > protocol.MaxRef {
		bad.Ref = 0
	}
	roomWrong := false
	if value, given := object["room"]; given {
		bad.Room, roomWrong = referenceRoom(value)
	}
	good, asked := bad, 0
	for key, kind := range map[string]protocol.RequestKind{
		"message": protocol.RequestMessage, "join": protocol.RequestJoin, "leave": protocol.RequestLeave,
		"members": protocol.RequestMembers, "token": protocol.RequestToken,
	} {
		if _, given := object[key]; given {
			asked++
			good.Kind = kind
		}
	}
	if asked != 1 {
		return bad
	}
	wrong := false
	switch good.Kind {
	case protocol.RequestMessage:
		_, hasRef := object["ref"]
		good.Value, wrong = object["message"], roomWrong || hasRef && good.Ref == 0
	case protocol.RequestMembers:
		good.Ref, wrong = 0, roomWrong || string(object["members"]) != "true"
	case protocol.RequestLeave:
		good.Ref = 0
		good.Room, wrong = referenceRoom(object["leave"])
		bad.Room = ""
	case protocol.RequestToken:
		good.Ref, good.Room, bad.Room = 0, "", ""
		good.Token, wrong = referenceString(object["token"])
	case protocol.RequestJoin:
		good.Ref = 0
		good.Room, wrong = referenceRoom(object["join"])
		bad.Room = good.Room
		wrong = referenceJoin(object, &good) || wrong
	}
	if wrong {
		return bad
	}
	return good
}

// referenceJoin fills in the options of a join, and reports whether one is wrong.
func referenceJoin(object map[string]json.RawMessage, r *protocol.Request) (wrong bool) {
	r.Slow = "gap"
	if value, given := object["since"]; given {
		r.Since, wrong = referenceString(value)
	}
	if value, given := object["last"]; given {
		n := referenceInteger(value)
		wrong = wrong || n == 0 && string(value) != "0"
		r.Last = int(min(n, 1000))
	}
	if value, given := object["presence"]; given {
		wrong = wrong || !regexp.MustCompile(`^[012]$`).Match(value)
		r.Presence = int(referenceInteger(value))
	}
	if value, given := object["slow"]; given {
		var notText bool
		r.Slow, notText = referenceString(value)
		wrong = wrong || notText || !regexp.MustCompile(`^(close|gap|latest)$`).MatchString(r.Slow)
	}
	return wrong
}

func referenceRoom(value json.RawMessage) (name string, wrong bool) {
	name, wrong = referenceString(value)
	if wrong || protocol.CheckRoom(name) != nil {
		return "", true
	}
	return name, false
}

func referenceString(value json.RawMessage) (text string, wrong bool) {
	var pointer *string
	if json.Unmarshal(value, &pointer) != nil || pointer == nil {
		return "", true
	}
	return *pointer, false
}

// referenceInteger returns the number that is written in digits, or 0.
func referenceInteger(value json.RawMessage) uint64 {
	if !regexp.MustCompile(`^[0-9]+$`).Match(value) {
		return 0
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return protocol.MaxRef + 1
	}
	return n
}

func FuzzRequests(f *testing.F) {
	for _, text := range []string{
		`"heartbeat"`, `[]`, `[null]`, `null`, `{"message":1,"ref":7,"room":"lobby"}`, `[{"message":1},{"members":true},{"token":"t"}]`,
		`{"join":"a","since":"5XgwIF-----33V-4","last":50,"presence":1,"slow":"latest"}`, `{"leave":"caf\u00e9"}`,
		`{"message":1,"ref":9007199254740992}`, `{"join":"a","last":18446744073709551616,"presence":2}`,
		`{"message":1,"join":null}`, `[{"message":1}}`, `{"message":1,"ref":1.0,"r\u0065f":2}`, `{"message":"\ud83d","room":"\ud83d\ude00"}`,
	} {
		f.Add([]byte(text))
	}
	f.Add([]byte("[" + golden.Nested(protocol.MaxDepth) + "]"))
	f.Add([]byte("[" + golden.Nested(protocol.MaxDepth+1) + "]"))

	reused := protocol.NewDecoder(protocol.MaxDepth)
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		var got []protocol.Request
		err := reused.DecodeV2(p, func(r *protocol.Request) bool {
			if (r.Kind == protocol.RequestBad) != (r.Text != "") || len(r.Text) > 110 || !printable(r.Text) {
				t.Fatalf("bad text in %+v", r)
			}
			got = append(got, *r)
			got[len(got)-1].Text = ""
			return true
		})
		if !bytes.Equal(p, before) {
			t.Fatal("the text was written to")
		}
		checkReason(t, err)
		want, ok := referenceV2(p)
		if !ok {
			want = nil
		}
		if (err == nil) != ok || len(got) != len(want) {
			t.Fatalf("got %+v, %v, want %+v, %v", got, err, want, ok)
		}
		for i := range got {
			if !bytes.Equal(got[i].Value, want[i].Value) {
				t.Fatalf("got the value %q, want %q", got[i].Value, want[i].Value)
			}
			got[i].Value, want[i].Value = nil, nil
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("got %+v, want %+v", got[i], want[i])
			}
		}
		checkAgainstV1(t, reused, p, err == nil && len(want) == 1 && want[0].Kind != protocol.RequestBad)
	})
}

// checkAgainstV1 checks that version 2 takes each text that version 1 takes as a message.
func checkAgainstV1(t *testing.T, decoder *protocol.Decoder, p []byte, taken bool) {
	t.Helper()
	var object map[string]json.RawMessage
	if _, _, err := decoder.DecodeV1(p); err != nil || taken || json.Unmarshal(p, &object) != nil {
		return
	}
	for _, key := range []string{"ref", "room", "join", "leave", "members", "token"} {
		if _, given := object[key]; given {
			return // a key of version 2
		}
	}
	t.Fatal("version 1 takes this text, and version 2 does not")
}

func BenchmarkDecodeV2(b *testing.B) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	each := func(*protocol.Request) bool { return true }
	for name, text := range map[string]string{
		"chat line":          chatLine,
		"chat line with ref": chatLine[:len(chatLine)-1] + `,"ref":1234}`,
		"with room":          chatLine[:len(chatLine)-1] + `,"ref":1234,"room":"lobby"}`,
		"heartbeat":          `"heartbeat"`,
		"array of 3":         `[` + chatLine + `,` + chatLine + `,` + chatLine + `]`,
	} {
		b.Run(name, func(b *testing.B) {
			p := []byte(text)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if err := decoder.DecodeV2(p, each); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkHostileV2(b *testing.B) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	each := func(*protocol.Request) bool { return true }
	for name, text := range hostile(64 << 10) {
		b.Run(name, func(b *testing.B) {
			p := []byte(text)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				_ = decoder.DecodeV2(p, each)
			}
		})
	}
}
