package protocol_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"dotsconnect/server/protocol"
)

func TestCodesAreOrderedAndFitTheirBands(t *testing.T) {
	names := map[string]bool{}
	last := 0
	for _, code := range protocol.Codes {
		if code.Code <= last || names[code.Name] || code.Name == "" || code.When == "" {
			t.Errorf("%+v is out of order, not unique or has an empty field", code)
		}
		last, names[code.Name] = code.Code, true
		if band := code.Code / 100; band != 10 && band != 41 && band != 42 && band != 45 {
			t.Errorf("%d is in no band that clients know", code.Code)
		}
	}
}

func TestReasonsNameTheCode(t *testing.T) {
	for _, test := range []struct {
		code         int
		detail, want string
	}{
		{protocol.CloseHeartbeatMissed, "", "heartbeat_missed"},
		{protocol.CloseBadFrame, `no key "message"`, `bad_frame: no key "message"`},
		{protocol.CloseProtocolError, "unmasked frame", "protocol error: unmasked frame"},
		{3999, "whatever", "whatever"},
		{3999, "", ""},
		{protocol.CloseKicked, "by\xff\xfehand", "kicked: by\ufffdhand"},
	} {
		if got := protocol.Reason(test.code, test.detail); got != test.want {
			t.Errorf("Reason(%d, %q) = %q, want %q", test.code, test.detail, got, test.want)
		}
	}
}

func TestLongReasonsAreCutBetweenCharacters(t *testing.T) {
	for pad := range 4 {
		detail := strings.Repeat("x", pad) + strings.Repeat("\U0001f600", 50)
		got := protocol.Reason(protocol.CloseKicked, detail)
		if len(got) > 123 || len(got) < 120 || !utf8.ValidString(got) || !strings.HasPrefix("kicked: "+detail, got) {
			t.Errorf("pad %d: got %d bytes %q", pad, len(got), got)
		}
	}
	if got := protocol.Reason(protocol.CloseKicked, strings.Repeat("x", 200)); len(got) != 123 {
		t.Errorf("got %d bytes, want 123", len(got))
	}
}

// printable reports whether text consists of visible ASCII and spaces, so that it fits any console, log or header.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}
