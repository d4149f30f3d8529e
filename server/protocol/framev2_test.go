package protocol_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"dotsconnect/server/protocol"
)

func TestFrameSizesOfVersion2AreExact(t *testing.T) {
	value := bytes.Repeat([]byte("7"), 1<<16+200)
	p := protocol.Position{Tag: 1, Seq: 2, Index: 3}
	refs := []uint64{0, 1, 9, 10, 99, 100, 1<<53 - 1}
	for _, ref := range refs {
		for _, around := range []int{3, 30, 60, 90, 113, 1<<16 - 70, 1<<16 - 37, 1<<16 - 12} {
			for n := max(1, around-30); n <= around+30; n++ {
				if got, want := protocol.SizeV2(n, ref), len(protocol.AppendV2(nil, p, 1, ref, value[:n])); got != want {
					t.Errorf("SizeV2(%d, %d) = %d, want %d", n, ref, got, want)
				}
				if got, want := protocol.SizeV2Local(n, ref), len(protocol.AppendV2Local(nil, 1, ref, value[:n])); got != want {
					t.Errorf("SizeV2Local(%d, %d) = %d, want %d", n, ref, got, want)
				}
			}
		}
	}
}

func TestLongFramesOfVersion2HaveLongHeaders(t *testing.T) {
	p := protocol.Position{Tag: 0x1a2b3c4d, Seq: 1042, Index: 5}
	for _, n := range []int{1, 88, 89, 65_498, 65_499, 70_000} {
		value := strings.Repeat("7", n)
		text := `{"id":"5XgwIF-----33V-4","message":` + value + `}`
		want := protocol.AppendRaw(nil, false, []byte(text))
		if got := protocol.AppendV2(nil, p, 0, 0, []byte(value)); !bytes.Equal(got, want) {
			t.Errorf("value of %d bytes: got %.60q, want %.60q", n, got, want)
		}
		long := protocol.ErrorEvent{Code: 4500, Name: "bad_frame", Text: value}
		want = protocol.AppendRaw([]byte("x"), false, []byte(`{"error":{"code":4500,"name":"bad_frame","text":"`+value+`"}}`))
		if got := long.Append([]byte("x")); !bytes.Equal(got, want) {
			t.Errorf("text of %d bytes: got %.60q, want %.60q", n, got, want)
		}
	}
}

func TestFramesOfVersion2DoNotAllocate(t *testing.T) {
	value := []byte(`"hello"`)
	p := protocol.Position{Tag: 1, Seq: 2, Index: 3}
	global := make([]byte, 0, protocol.SizeV2(len(value), 1234))
	local := make([]byte, 0, protocol.SizeV2Local(len(value), 1234))
	event := make([]byte, 0, 256)
	yes := true
	open := protocol.Open{HasPosition: true, Heartbeat: 25, MaxAge: 60, Resumed: &yes, Count: 812}
	failure := protocol.ErrorEvent{Code: 4104, Name: "backend_unavailable", Text: "later", Retry: 2, Maybe: true, Ref: 7}
	if n := testing.AllocsPerRun(100, func() {
		_ = protocol.AppendV2(global, p, 5, 1234, value)
		_ = protocol.AppendV2Local(local, 5, 1234, value)
		_ = open.Append(event)
		_ = protocol.AppendLive(event, &p, &yes)
		_ = protocol.AppendHeartbeatEvent(event, &p)
		_ = protocol.AppendMark(event, p)
		_ = protocol.AppendAck(event, 7, &p, true)
		_ = protocol.AppendGap(event, &p, protocol.GapSlow, 3)
		_ = failure.Append(event)
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

// An error may quote text from elsewhere. Its frame must be valid JSON and valid UTF-8 in any case.
func FuzzErrorEvent(f *testing.F) {
	f.Add(4500, "bad_frame", "no key \"message\"", 0, false, uint64(0))
	f.Add(-1, "\xff\x00", "\u2028</script>\ud7ff", 60, true, uint64(1<<53-1))
	f.Fuzz(func(t *testing.T, code int, name, text string, retry int, maybe bool, ref uint64) {
		e := protocol.ErrorEvent{Code: code, Name: name, Text: text, Retry: retry, Maybe: maybe, Ref: ref}
		payload := payloadOf(e.Append(nil))
		var got struct {
			Error struct {
				Code       int
				Name, Text string
				Retry      int
				Maybe      bool
			}
			Ref uint64
		}
		if err := json.Unmarshal(payload, &got); err != nil || !utf8.Valid(payload) {
			t.Fatalf("%q: %v", payload, err)
		}
		valid := func(s string) string { return string([]rune(s)) } // each bad byte becomes one replacement character
		if got.Error.Code != code || got.Error.Name != valid(name) || got.Error.Text != valid(text) ||
			got.Error.Retry != max(retry, 0) || got.Error.Maybe != maybe || got.Ref != ref {
			t.Fatalf("%+v became %q", e, payload)
		}
	})
}

// payloadOf returns the payload of an unmasked frame.
func payloadOf(frame []byte) []byte {
	switch frame[1] {
	case 126:
		return frame[4:]
	case 127:
		return frame[10:]
	}
	return frame[2:]
}

func BenchmarkAppendV2(b *testing.B) {
	value := []byte(chatLine[11 : len(chatLine)-1])
	p := protocol.Position{Tag: 0x1a2b3c4d, Seq: 1042, Index: 5}
	frame := make([]byte, 0, protocol.SizeV2(len(value), 1234))
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		frame = protocol.AppendV2(frame[:0], p, 99, 1234, value)
	}
}
