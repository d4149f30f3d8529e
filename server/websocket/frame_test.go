package websocket

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestHeadersUseTheShortestLength(t *testing.T) {
	for _, test := range []struct {
		n    int
		want string
	}{
		{0, "\x81\x00"},
		{125, "\x81\x7d"},
		{126, "\x81\x7e\x00\x7e"},
		{65535, "\x81\x7e\xff\xff"},
		{65536, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
	} {
		got := string(AppendHeader([]byte("before"), OpText, test.n))
		if got != "before"+test.want || HeaderSize(test.n) != len(test.want) {
			t.Errorf("%d bytes: got %q and size %d, want %q", test.n, got, HeaderSize(test.n), test.want)
		}
	}
}

func TestControlFramesCarryTheirPayload(t *testing.T) {
	if got, want := string(AppendControl(nil, OpPong, []byte("ab"))), "\x8a\x02ab"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := string(AppendControl(nil, OpPing, nil)), "\x89\x00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a ping of 126 bytes was written")
		}
	}()
	AppendControl(nil, OpPing, make([]byte, 126))
}

func TestCloseFramesAreAlwaysValid(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, test := range []struct {
		name   string
		code   int
		reason string
		want   string
	}{
		{"code and reason", 1000, "bye", "\x88\x05\x03\xe8bye"},
		{"code alone", 4100, "", "\x88\x02\x10\x04"},
		{"no code", 0, "ignored", "\x88\x00"},
		{"the code that means no code", 1005, "", "\x88\x00"},
		{"a code for reporting only", 1006, "", "\x88\x00"},
		{"a reason of 123 bytes", 1000, long[:123], "\x88\x7d\x03\xe8" + long[:123]},
		{"a longer reason is cut", 1000, long, "\x88\x7d\x03\xe8" + long[:123]},
		{"never inside a rune", 1000, long[:122] + "ä", "\x88\x7c\x03\xe8" + long[:122]},
		{"nor inside a rune of four bytes", 1000, long[:120] + "😀", "\x88\x7a\x03\xe8" + long[:120]},
		{"but after a whole one", 1000, long[:121] + "ä!", "\x88\x7d\x03\xe8" + long[:121] + "ä"},
		{"invalid UTF-8 is replaced", 1000, "a\xffb", "\x88\x07\x03\xe8a\uFFFDb"},
	} {
		if got := string(AppendClose(nil, test.code, test.reason)); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestParseCloseGivesBackWhatWasSent(t *testing.T) {
	if code, reason := ParseClose(nil); code != 1005 || reason != nil {
		t.Errorf("empty body: got %d %q", code, reason)
	}
	if code, reason := ParseClose([]byte("\x10\x04why")); code != 4100 || string(reason) != "why" {
		t.Errorf("got %d %q", code, reason)
	}
}

func TestEveryCloseErrorFitsACloseFrame(t *testing.T) {
	for _, e := range []*CloseError{
		errReservedBits, errReservedOpcode, errFragmentControl, errStrayContinue, errInsideMessage, errUnmasked,
		errControlTooLong, errLengthTopBit, errLengthNotMinimal, errCloseBody, errCloseCode, errCloseReason, errText,
		errTooManyFrames, errTooBig,
	} {
		f := AppendClose(nil, e.Code, e.Reason)
		code, reason := int(binary.BigEndian.Uint16(f[2:])), string(f[4:])
		if code != e.Code || reason != e.Reason {
			t.Errorf("%v: sent as %d %q", e, code, reason)
		}
		if strings.IndexFunc(e.Reason, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 || !strings.Contains(e.Error(), e.Reason) {
			t.Errorf("%v: not plain", e)
		}
	}
}
