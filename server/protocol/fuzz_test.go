package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"dotsconnect/server/internal/golden"
	"dotsconnect/server/protocol"
)

// The fuzz test compares DecodeV1 with encoding/json, another implementation of the same grammar. Version 1 differs from
// encoding/json on purpose in four points, which the reference below handles first: encoding/json accepts invalid UTF-8, accepts
// lone surrogates (and replaces both), and nests to 10,000 levels. It also ignores the case of keys when it decodes into a
// struct, but not into a map.

// reference returns the expected result of version 1 for p.
func reference(p []byte) (in protocol.Input, value string, ok bool) {
	if !utf8.Valid(p) || !json.Valid(p) || hasLoneSurrogate(p) || nesting(p) > protocol.MaxDepth+1 {
		return 0, "", false
	}
	var text string
	if json.Unmarshal(p, &text) == nil && text == "heartbeat" {
		return protocol.Heartbeat, "", true
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(p, &object) != nil || object["message"] == nil {
		return 0, "", false
	}
	return protocol.Message, string(object["message"]), true
}

var (
	escapes  = regexp.MustCompile(`(?i)\\u[0-9a-f]{4}|\\.`)
	pairs    = regexp.MustCompile(`(?i)\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}`)
	halves   = regexp.MustCompile(`(?i)\\ud[89a-f][0-9a-f]{2}`)
	literals = regexp.MustCompile(`"(\\.|[^"\\])*"`)
)

// hasLoneSurrogate searches valid JSON with a pattern, in contrast to the code under test.
func hasLoneSurrogate(p []byte) bool {
	plain := escapes.ReplaceAllFunc(p, func(escape []byte) []byte {
		if escape[1] == 'u' {
			return escape
		}
		return []byte{'.'} // so that an escaped backslash does not look like the start of \u
	})
	return halves.Match(pairs.ReplaceAll(plain, []byte("..")))
}

// nesting counts the levels of valid JSON by its brackets outside of strings.
func nesting(p []byte) (deepest int) {
	depth := 0
	for _, c := range literals.ReplaceAll(p, nil) {
		switch c {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		}
	}
	return deepest
}

func FuzzEnvelope(f *testing.F) {
	rows, err := golden.LoadValues("../testdata/seed-golden/values.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for _, row := range rows {
		if len(row.Sent) < 2000 {
			f.Add([]byte(row.Sent))
		}
	}
	f.Add([]byte(golden.Nested(protocol.MaxDepth)))
	f.Add([]byte(golden.Nested(protocol.MaxDepth + 1)))
	f.Add([]byte(`{"message":"` + strings.Repeat(`[\"`, 200) + `"}`))
	f.Add([]byte(`{"message":1,"mess\u0061ge":{"message":[]},"x":"\\ud83d"}`))
	f.Add([]byte("{\"message\":\"\xed\xa0\x80\"}"))

	reused := protocol.NewDecoder(protocol.MaxDepth)
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		in, value, err := reused.DecodeV1(p)
		if !bytes.Equal(p, before) {
			t.Fatal("the message was written to")
		}
		checkReason(t, err)
		if againIn, againValue, againErr := protocol.NewDecoder(protocol.MaxDepth).DecodeV1(p); againIn != in ||
			!bytes.Equal(againValue, value) || (againErr == nil) != (err == nil) {
			t.Fatalf("a new decoder returns %d, %q, %v; the reused one %d, %q, %v", againIn, againValue, againErr, in, value, err)
		}

		wantIn, want, ok := reference(p)
		if (err == nil) != ok {
			t.Fatalf("got %v, but encoding/json accepts it: %v", err, ok)
		}
		if err != nil {
			return
		}
		if in != wantIn || string(value) != want {
			t.Fatalf("got %d, %q, want %d, %q", in, value, wantIn, want)
		}
		if in == protocol.Message {
			frame := protocol.AppendV1(nil, value)
			if payload := frame[len(frame)-len(value)-len(`{"message":}`):]; !json.Valid(payload) {
				t.Fatalf("members receive %q", payload)
			}
		}
	})
}

// checkReason checks that the reason of a refusal fits into a close frame and a console.
func checkReason(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var bad *protocol.BadFrame
	if !errors.As(err, &bad) {
		t.Fatalf("got %T, want a BadFrame", err)
	}
	if bad.Reason == "" || len(bad.Reason) > 110 || !printable(bad.Reason) {
		t.Fatalf("bad reason %q", bad.Reason)
	}
	if reason := protocol.Reason(protocol.CloseBadFrame, bad.Reason); reason != "bad_frame: "+bad.Reason {
		t.Fatalf("the reason was cut: %q", reason)
	}
}
