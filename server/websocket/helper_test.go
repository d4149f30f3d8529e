package websocket

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// testKey has four different bytes, so that a test notices a wrong rotation of the key.
const testKey = "\x37\xfa\x21\x3d"

// frame returns a masked client frame, encoded byte by byte and independently of the code under test. first holds FIN, RSV and
// the opcode.
func frame(first byte, payload string) string {
	var b strings.Builder
	b.WriteByte(first)
	switch n := len(payload); {
	case n < 126:
		b.WriteByte(0x80 | byte(n))
	case n < 1<<16:
		b.WriteByte(0x80 | 126)
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(n)))
	default:
		b.WriteByte(0x80 | 127)
		b.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	b.WriteString(testKey)
	for i := range len(payload) {
		b.WriteByte(payload[i] ^ testKey[i%4])
	}
	return b.String()
}

// First bytes of frames: of whole messages, of first and later fragments, and of control frames.
const (
	text, textMore     = 0x81, 0x01
	binar, binarMore   = 0x82, 0x02
	contEnd, contMore  = 0x80, 0x00
	closed, ping, pong = 0x88, 0x89, 0x8a
)

// header64 returns a header with a 64-bit length, without a payload.
func header64(first byte, length uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, length)) + testKey
}

// delivery is one event with a copy of its payload.
type delivery struct {
	ev      Event
	payload string
}

func (d delivery) String() string {
	name := [...]string{"none", "text", "binary", "ping", "pong", "close", "fragment"}[d.ev]
	if len(d.payload) > 40 {
		return fmt.Sprintf("%s(%d bytes)", name, len(d.payload))
	}
	return fmt.Sprintf("%s(%q)", name, d.payload)
}

// outcome is the complete result of parsing a stream.
type outcome struct {
	deliveries []delivery
	err        *CloseError
	partial    bool
}

func (o outcome) String() string {
	var parts []string
	for _, d := range o.deliveries {
		parts = append(parts, d.String())
	}
	if o.err != nil {
		parts = append(parts, fmt.Sprint(o.err.Code))
	}
	if o.partial {
		parts = append(parts, "...")
	}
	return strings.Join(parts, " ")
}

func (o outcome) equal(other outcome) bool {
	return slices.Equal(o.deliveries, other.deliveries) && o.err == other.err && o.partial == other.partial
}

// parse parses a stream that arrives split at the given offsets. On the way it checks the rules that hold for every stream.
func parse(t testing.TB, stream string, lim *Limits, cuts ...int) outcome {
	t.Helper()
	var s Parser
	var out outcome
	start := 0
	for _, end := range append(cuts, len(stream)) {
		chunk := []byte(stream[start:end])
		start = end
		for {
			n, ev, payload, err := s.Next(chunk, lim)
			if n < 0 || n > len(chunk) || ev == None && err == nil && n != len(chunk) || err != nil && ev != None {
				t.Fatalf("Next(%d bytes) = %d, %d, %v", len(chunk), n, ev, err)
			}
			if err != nil {
				out.err = err
				return out
			}
			if ev == None {
				break
			}
			out.deliveries = append(out.deliveries, delivery{ev, string(payload)})
			chunk = chunk[n:]
		}
		most := lim.maxMessage() + maxControl
		most += most/8 + 32 // Go rounds the two allocations up, by an eighth at most
		if got := s.Buffered(); got > most || got > 0 && !s.Partial() {
			t.Fatalf("parser holds %d bytes, partial %v", got, s.Partial())
		}
	}
	out.partial = s.Partial()
	return out
}

// everyByte returns the offsets that split a stream of n bytes after every byte.
func everyByte(n int) []int {
	var cuts []int
	for i := 1; i < n; i++ {
		cuts = append(cuts, i)
	}
	return cuts
}

// parseAllWays parses a stream whole, byte by byte, and split in two at every offset, and checks that all results are the same.
func parseAllWays(t *testing.T, stream string, lim *Limits) outcome {
	t.Helper()
	want := parse(t, stream, lim)
	if got := parse(t, stream, lim, everyByte(len(stream))...); !got.equal(want) {
		t.Errorf("byte by byte: got %v, want %v", got, want)
	}
	for cut := range len(stream) + 1 {
		if got := parse(t, stream, lim, cut); !got.equal(want) {
			t.Errorf("cut at %d: got %v, want %v", cut, got, want)
		}
	}
	return want
}
