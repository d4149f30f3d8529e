package websocket

import (
	"math"
	"strings"
	"testing"
)

func TestParserDeliversWhatIsValid(t *testing.T) {
	small := &Limits{MaxMessage: 300, MaxFragments: 4}
	long := strings.Repeat("ä", 100)
	for _, test := range []struct{ name, stream, want string }{
		{"nothing", "", ""},
		{"a text", frame(text, "hi"), `text("hi")`},
		{"a binary message", frame(binar, "\xff\x00"), `binary("\xff\x00")`},
		{"an empty text is a message", frame(text, ""), `text("")`},
		{"an empty binary message is one too", frame(binar, ""), `binary("")`},
		{"lengths of 125 and 126", frame(text, long[:124]) + frame(binar, long[:126]), "text(124 bytes) binary(126 bytes)"},
		{"fragments are joined", frame(textMore, "a") + frame(contMore, "b") + frame(contEnd, "c"),
			`fragment("") fragment("") text("abc")`},
		{"a rune across fragments", frame(textMore, "\xf0\x9f") + frame(contMore, "\x98") + frame(contEnd, "\x80"),
			`fragment("") fragment("") text("😀")`},
		{"empty fragments", frame(textMore, "") + frame(contMore, "") + frame(contEnd, ""), `fragment("") fragment("") text("")`},
		{"a message after empty fragments", frame(textMore, "") + frame(contEnd, "x"), `fragment("") text("x")`},
		{"a binary message may be cut anywhere", frame(binarMore, "\xf0") + frame(contEnd, "\xf0"), `fragment("") binary("\xf0\xf0")`},
		{"a ping between fragments", frame(textMore, "a") + frame(ping, "p") + frame(contEnd, "b"),
			`fragment("") ping("p") text("ab")`},
		{"control frames between fragments and inside a rune",
			frame(textMore, "\xc3") + frame(pong, "\xff") + frame(ping, "") + frame(contMore, "\xa4") + frame(ping, "q") + frame(contEnd, "!"),
			`fragment("") pong("\xff") ping("") fragment("") ping("q") text("ä!")`},
		{"a control frame between empty fragments", frame(textMore, "") + frame(ping, "p") + frame(contEnd, ""),
			`fragment("") ping("p") text("")`},
		{"a control frame of 125 bytes", frame(ping, long[:125]), "ping(125 bytes)"},
		{"a message of exactly the limit", frame(binar, strings.Repeat("x", 300)), "binary(300 bytes)"},
		{"a fragmented message of exactly the limit", frame(textMore, long) + frame(contEnd, long[:100]), `fragment("") text(300 bytes)`},
		{"a message of exactly the number of fragments", frame(textMore, "") + frame(contMore, "") + frame(contMore, "") + frame(contEnd, ""),
			`fragment("") fragment("") fragment("") text("")`},
		{"the count of fragments starts again", frame(textMore, "") + frame(contMore, "") + frame(contEnd, "") + frame(textMore, "") + frame(contMore, "") + frame(contEnd, ""),
			`fragment("") fragment("") text("") fragment("") fragment("") text("")`},
		{"the count of bytes starts again", frame(binar, strings.Repeat("x", 300)) + frame(binar, strings.Repeat("x", 300)),
			"binary(300 bytes) binary(300 bytes)"},
		{"a close without body", frame(closed, ""), `close("")`},
		{"a close with a code", frame(closed, "\x03\xe8"), `close("\x03\xe8")`},
		{"a close with a reason", frame(closed, "\x03\xe8schön"), `close("\x03\xe8schön")`},
		{"a close inside a message", frame(textMore, "a") + frame(closed, ""), `fragment("") close("") ...`},
		{"half a header", "\x81", "..."},
		{"half a length", "\x81\xfe\x01", "..."},
		{"half a key", "\x81\x81\x01\x02", "..."},
		{"half a payload", frame(text, "ab")[:7], "..."},
		{"half a rune is not a violation yet", frame(text, "ab\xf0\x9f\x98\x80")[:10], "..."},
		{"half a message", frame(text, "hi") + frame(textMore, "ab"), `text("hi") fragment("") ...`},
		{"half a close reason", frame(closed, "\x03\xe8ab\xc3\xa4")[:11], "..."},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := parseAllWays(t, test.stream, small).String(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestParserRefusesViolations(t *testing.T) {
	small := &Limits{MaxMessage: 300, MaxFragments: 3}
	for _, test := range []struct {
		name   string
		stream string // ends with the byte that shows the violation
		want   *CloseError
	}{
		{"RSV1", "\xc1", errReservedBits},
		{"RSV2", "\xa2", errReservedBits},
		{"RSV3 on a control frame", "\x99", errReservedBits},
		{"opcode 3", "\x83", errReservedOpcode},
		{"opcode 7, not final", "\x07", errReservedOpcode},
		{"opcode 11", "\x8b", errReservedOpcode},
		{"opcode 15", "\x8f", errReservedOpcode},
		{"an unmasked text", "\x81\x02", errUnmasked},
		{"an unmasked empty ping", "\x89\x00", errUnmasked},
		{"a fragmented ping", "\x09", errFragmentControl},
		{"a fragmented close", "\x08", errFragmentControl},
		{"a ping of 126 bytes", "\x89\xfe", errControlTooLong},
		{"a close with a 64-bit length", "\x88\xff", errControlTooLong},
		{"a stray continuation", "\x80", errStrayContinue},
		{"a stray continuation that is not final", "\x00", errStrayContinue},
		{"a continuation after the end of a message", frame(textMore, "a") + frame(contEnd, "b") + "\x80", errStrayContinue},
		{"a text inside a fragmented message", frame(textMore, "a") + "\x81", errInsideMessage},
		{"a fragment inside a fragmented message", frame(binarMore, "a") + frame(ping, "") + "\x02", errInsideMessage},
		{"a text inside an empty fragmented message", frame(textMore, "") + "\x81", errInsideMessage},

		{"length 2^63", header64(binar, 1<<63)[:10], errLengthTopBit},
		{"length 2^64-1", header64(text, math.MaxUint64)[:10], errLengthTopBit},
		{"length 2^63-1", header64(binar, math.MaxInt64)[:10], errTooBig},
		{"length 2^63-1 after a fragment", frame(textMore, "abc") + header64(contEnd, math.MaxInt64)[:10], errTooBig},
		{"length 2^63 after a fragment", frame(textMore, "abc") + header64(contMore, 1<<63)[:10], errLengthTopBit},
		{"a small length in 16 bits", "\x81\xfe\x00\x7d", errLengthNotMinimal},
		{"a 16-bit length in 64 bits", header64(text, math.MaxUint16)[:10], errLengthNotMinimal},
		{"length 0 in 64 bits", header64(text, 0)[:10], errLengthNotMinimal},
		{"a message over the limit", "\x81\xfe\x01\x2d", errTooBig},
		{"fragments over the limit together", frame(binarMore, strings.Repeat("x", 200)) + frame(contMore, strings.Repeat("x", 100)) + "\x80\x81", errTooBig},
		{"one fragment too many", frame(binarMore, "") + frame(contMore, "") + frame(contMore, "") + "\x00", errTooManyFrames},
		{"an end that is one fragment too many", frame(textMore, "") + frame(contMore, "") + frame(ping, "") + frame(contMore, "") + "\x80", errTooManyFrames},

		{"a close body of one byte", "\x88\x81", errCloseBody},
		{"a surrogate in a close reason", frame(closed, "\x03\xe8\xed\xa0\x80")[:10], errCloseReason},
		{"a close reason that ends inside a rune", frame(closed, "\x03\xe8ab\xc3"), errCloseReason},
		{"a bad byte in a text", frame(text, "abc\xffdef")[:10], errText},
		{"a text that ends inside a rune", frame(text, "ab\xe2\x82"), errText},
		{"an overlong slash", frame(text, "\xc0\xaf")[:7], errText},
		{"a surrogate", frame(text, "\xed\xa0\x80")[:8], errText},
		{"above U+10FFFF", frame(text, "\xf4\x90\x80\x80")[:8], errText},
		{"a bad byte in a fragment, long before its end", frame(textMore, "abc\xff"+strings.Repeat("x", 90))[:10], errText},
		{"a rune broken by a fragment", frame(textMore, "\xe2\x82") + frame(contMore, "xx")[:7], errText},
		{"a rune broken by a ping does not hide", frame(textMore, "\xe2\x82") + frame(ping, "\xac") + frame(contMore, "x"), errText},
		{"a message that ends inside a rune by an empty fragment", frame(textMore, "\xe2\x82") + frame(contEnd, ""), errText},
		{"HTTP after the upgrade", "G", errReservedBits},
		{"binary is not judged, the next text is", frame(binar, "\xff") + frame(text, "\xff"), errText},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := parseAllWays(t, test.stream, small)
			if got.err != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if whole := parse(t, test.stream[:len(test.stream)-1], small); whole.err != nil {
				t.Errorf("refused before the violation: %v", whole.err)
			}
			if later := parseAllWays(t, test.stream+"\xff\x00more", small); later.err != test.want {
				t.Errorf("with more bytes: got %v, want %v", later, test.want)
			}
		})
	}
}

func TestParserJudgesEachCloseCode(t *testing.T) {
	for code := range 1 << 16 {
		want := code >= 1000 && code <= 1014 && (code < 1004 || code > 1006) || code >= 3000 && code < 5000
		out := parse(t, frame(closed, string([]byte{byte(code >> 8), byte(code)})+"why"), &Limits{})
		if got := out.err == nil; got != want {
			t.Fatalf("code %d: got %v, want accepted %v", code, out, want)
		}
		if !want && out.err != errCloseCode {
			t.Fatalf("code %d: got %v, want 1002", code, out.err)
		}
	}
}

func TestParserFindsTheFirstOfTwoViolations(t *testing.T) {
	lim := &Limits{MaxMessage: 100, MaxFragments: 1}
	for _, test := range []struct {
		name, stream string
		want         *CloseError
	}{
		{"reserved bits on an empty frame", "\xc1\x80" + testKey, errReservedBits},
		{"a reserved opcode before its 1 MB", header64(0x83, 1<<20), errReservedOpcode},
		{"reserved bits before the missing mask", "\xc1\x00", errReservedBits},
		{"missing mask before the length", "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", errUnmasked},
		{"too many fragments before the missing mask", frame(textMore, "") + "\x80\x00", errTooManyFrames},
		{"close code before the reason", frame(closed, "\x00\x00\xff"), errCloseCode},
		{"bad text before the next frame's bad header", frame(text, "\xff") + "\xff\xff", errText},
		{"a form that is not minimal before a size over the limit", "\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff", errLengthNotMinimal},
	} {
		if got := parseAllWays(t, test.stream, lim); got.err != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got.err, test.want)
		}
	}
}

func TestParserDeliversWhatCameBeforeAViolation(t *testing.T) {
	got := parseAllWays(t, frame(text, "one")+frame(ping, "")+frame(text, "two")+"\x81\x00", &Limits{})
	if want := `text("one") ping("") text("two") 1002`; got.String() != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParserCountsMessagesOf64KiBByDefault(t *testing.T) {
	for _, test := range []struct {
		size int
		want *CloseError
	}{{64 << 10, nil}, {64<<10 + 1, errTooBig}} {
		stream := frame(binar, strings.Repeat("x", test.size))
		if got := parse(t, stream, &Limits{}, 1, 5, 12, 15, 40_000); got.err != test.want {
			t.Errorf("%d bytes: got %v, want %v", test.size, got.err, test.want)
		}
	}
	fragments := frame(textMore, "") + strings.Repeat(frame(contMore, ""), 1023)
	if got := parse(t, fragments, &Limits{}); got.err != nil || !got.partial {
		t.Errorf("1024 fragments: %v", got.err)
	}
	if got := parse(t, fragments+frame(contEnd, ""), &Limits{}); got.err != errTooManyFrames {
		t.Errorf("1025 fragments: got %v, want %v", got.err, errTooManyFrames)
	}
}

func TestUnmaskTurnsTheKeyWhereverItIsCut(t *testing.T) {
	plain := strings.Repeat("0123456789abcdef", 10)
	key := uint32(0x3d21fa37) // testKey, little endian
	for size := range len(plain) {
		masked := []byte(frame(text, plain[:size]))
		masked = masked[len(masked)-size:]
		for cut := range size + 1 {
			got := append([]byte(nil), masked...)
			unmask(got[cut:], unmask(got[:cut], key))
			if string(got) != plain[:size] {
				t.Fatalf("size %d cut at %d: got %q", size, cut, got)
			}
		}
	}
}
