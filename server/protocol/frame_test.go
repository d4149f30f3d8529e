package protocol_test

import (
	"bytes"
	"strings"
	"testing"

	"dotsconnect/server/protocol"
)

// chatLine is the usual message of 128 bytes.
var chatLine = `{"message":"` + strings.Repeat("a line of chat ", 7) + `goodbye!!"}`

func TestFramesCarryTheEnvelopeAndTheValueUnchanged(t *testing.T) {
	for _, test := range []struct{ value, want string }{
		{`"hi"`, "\x81\x10" + `{"message":"hi"}`},
		{`1`, "\x81\x0d" + `{"message":1}`},
		{strings.Repeat("7", 113), "\x81\x7d" + `{"message":` + strings.Repeat("7", 113) + `}`},
		{strings.Repeat("7", 114), "\x81\x7e\x00\x7e" + `{"message":` + strings.Repeat("7", 114) + `}`},
		{strings.Repeat("7", 1<<16), "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x0c" + `{"message":` + strings.Repeat("7", 1<<16) + `}`},
	} {
		got := protocol.AppendV1([]byte("before"), []byte(test.value))
		if string(got) != "before"+test.want {
			t.Errorf("%.20q: got %.60q, want %.60q", test.value, got, "before"+test.want)
		}
	}
}

func TestRawFramesKeepTheirKind(t *testing.T) {
	for _, test := range []struct {
		binary      bool
		value, want string
	}{
		{false, "hi", "\x81\x02hi"},
		{true, "\x00\xff", "\x82\x02\x00\xff"},
		{false, "", "\x81\x00"},
		{true, "", "\x82\x00"},
	} {
		if got := protocol.AppendRaw(nil, test.binary, []byte(test.value)); string(got) != test.want {
			t.Errorf("%q: got %q, want %q", test.value, got, test.want)
		}
	}
}

func TestFrameSizesAreExact(t *testing.T) {
	value := bytes.Repeat([]byte("7"), 1<<16+200)
	for _, around := range []int{0, 113, 125, 1<<16 - 12, 1 << 16} {
		for n := max(0, around-3); n <= around+3; n++ {
			if got, want := protocol.SizeV1(n), len(protocol.AppendV1(nil, value[:n])); got != want {
				t.Errorf("SizeV1(%d) = %d, want %d", n, got, want)
			}
			if got, want := protocol.SizeRaw(n), len(protocol.AppendRaw(nil, true, value[:n])); got != want {
				t.Errorf("SizeRaw(%d) = %d, want %d", n, got, want)
			}
		}
	}
}

func TestAFrameOfTheRightSizeIsNotMoved(t *testing.T) {
	value := []byte(`"hello"`)
	frame := make([]byte, 0, protocol.SizeV1(len(value)))
	raw := make([]byte, 0, protocol.SizeRaw(len(value)))
	if n := testing.AllocsPerRun(100, func() {
		_ = protocol.AppendV1(frame, value)
		_ = protocol.AppendRaw(raw, false, value)
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkDecodeV1(b *testing.B) {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for name, text := range map[string]string{
		"chat line":    chatLine,
		"accents":      `{"message":"` + strings.Repeat("é€ ", 18) + `"}`,
		"object":       `{"message":{"user":"ann","text":"hello, how are you all today?","ts":1712345678901,"tags":["a","b"]}}`,
		"heartbeat":    `"heartbeat"`,
		"text, 64 KiB": `{"message":"` + strings.Repeat("x", 65_000) + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			p := []byte(text)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := decoder.DecodeV1(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendV1(b *testing.B) {
	value := []byte(chatLine[11 : len(chatLine)-1])
	frame := make([]byte, 0, protocol.SizeV1(len(value)))
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		frame = protocol.AppendV1(frame[:0], value)
	}
}

func BenchmarkParseTarget(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := protocol.ParseTarget("/ws/chat/caf%C3%A9/", "v=1"); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
