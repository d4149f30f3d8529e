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
	for _, room := range []string{"", "lobby", `say "hi"\`, strings.Repeat("\u00e9", 64)} {
		for _, ref := range []uint64{0, 1, 9, 10, 99, 100, 1<<53 - 1} {
			for _, around := range []int{3, 30, 60, 90, 113, 1<<16 - 70, 1<<16 - 37, 1<<16 - 12} {
				for n := max(1, around-30); n <= around+30; n++ {
					for _, has := range []bool{false, true} {
						m := protocol.MessageV2{HasPosition: has, Room: room, Me: 1, Ref: ref, Value: value[:n]}
						if got, want := m.Size(), len(m.Append(nil)); got != want {
							t.Errorf("room %q, ref %d, %d bytes, with a position %v: size %d, want %d", room, ref, n, has, got, want)
						}
					}
				}
			}
		}
	}
}

func TestAPositionIsSetInPlace(t *testing.T) {
	p := protocol.Position{Tag: 0x1a2b3c4d, Seq: 1042, Index: 5}
	for _, n := range []int{1, 50, 88, 89, 200, 65_480, 65_520, 70_000} {
		m := protocol.MessageV2{HasPosition: true, Me: 7, Ref: 9, Value: bytes.Repeat([]byte("7"), n)}
		got := m.Append(nil)
		protocol.SetPosition(got, p)
		m.Position = p
		if want := m.Append(nil); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %.60q, want %.60q", n, got, want)
		}
	}
}

func TestLongFramesOfVersion2HaveLongHeaders(t *testing.T) {
	p := protocol.Position{Tag: 0x1a2b3c4d, Seq: 1042, Index: 5}
	for _, n := range []int{1, 88, 89, 65_498, 65_499, 70_000} {
		value := strings.Repeat("7", n)
		text := `{"id":"5XgwIF-----33V-4","message":` + value + `}`
		want := protocol.AppendRaw(nil, false, []byte(text))
		m := protocol.MessageV2{Position: p, HasPosition: true, Value: []byte(value)}
		if got := m.Append(nil); !bytes.Equal(got, want) {
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
	m := protocol.MessageV2{Position: p, HasPosition: true, Room: "lobby", Me: 5, Ref: 1234, Value: value}
	message := make([]byte, 0, m.Size())
	event := make([]byte, 0, 256)
	yes := true
	open := protocol.Open{HasPosition: true, Heartbeat: 25, MaxAge: 60, Resumed: &yes, Count: 812}
	failure := protocol.ErrorEvent{Code: 4104, Name: "backend_unavailable", Text: "later", Retry: 2, Maybe: true, Ref: 7}
	if n := testing.AllocsPerRun(100, func() {
		_ = m.Append(message)
		_ = open.Append(event)
		_ = protocol.AppendLive(event, "lobby", &p, &yes)
		_ = protocol.AppendHeartbeatEvent(event, &p)
		_ = protocol.AppendMark(event, "lobby", p)
		_ = protocol.AppendAck(event, "lobby", 7, &p, true)
		_ = protocol.AppendGap(event, "lobby", &p, protocol.GapSlow, 3)
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
	m := protocol.MessageV2{Position: p, HasPosition: true, Me: 99, Ref: 1234, Value: value}
	frame := make([]byte, 0, m.Size())
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		frame = m.Append(frame[:0])
	}
}
