package protocol_test

import (
	"cmp"
	"strings"
	"testing"

	"dotsconnect/server/protocol"
)

// comparePositions compares positions as the server orders them.
func comparePositions(p, q protocol.Position) int {
	return cmp.Or(cmp.Compare(p.Tag, q.Tag), cmp.Compare(p.Seq, q.Seq), cmp.Compare(p.Index, q.Index))
}

// Clients compare ids as strings, so the order of the strings must be the order of the positions.
func FuzzPosition(f *testing.F) {
	f.Add(uint32(0), uint64(0), uint16(0), uint32(0), uint64(0), uint16(1))
	f.Add(uint32(1), uint64(1<<48-1), uint16(65535), uint32(2), uint64(0), uint16(0))
	f.Add(uint32(7), uint64(63), uint16(0), uint32(7), uint64(64), uint16(0))
	f.Fuzz(func(t *testing.T, tag1 uint32, seq1 uint64, index1 uint16, tag2 uint32, seq2 uint64, index2 uint16) {
		p := protocol.Position{Tag: tag1, Seq: seq1 % (1 << 48), Index: index1}
		q := protocol.Position{Tag: tag2, Seq: seq2 % (1 << 48), Index: index2}
		idP, idQ := string(p.Append(nil)), string(q.Append(nil))
		if len(idP) != protocol.PositionSize {
			t.Fatalf("%+v: the id %q has %d characters", p, idP, len(idP))
		}
		if got, want := strings.Compare(idP, idQ), comparePositions(p, q); got != want {
			t.Fatalf("%q and %q compare as %d, %+v and %+v as %d", idP, idQ, got, p, q, want)
		}
		if again, ok := protocol.ParsePosition(idP); !ok || again != p {
			t.Fatalf("%q: got %+v, %v, want %+v", idP, again, ok, p)
		}
	})
}

// Two different strings must not be the same position, because a client compares strings.
func FuzzParsePosition(f *testing.F) {
	f.Add("5XgwIF-----33V-4")
	f.Add("----\r\n----------")
	f.Add("5XgwIF-----33V+4")
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := protocol.ParsePosition(s)
		inAlphabet := strings.Trim(s, "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz") == ""
		if want := len(s) == protocol.PositionSize && inAlphabet; ok != want {
			t.Fatalf("%q: got %v, want %v", s, ok, want)
		}
		key, isKey := protocol.ParseKey16(s)
		if isKey != ok {
			t.Fatalf("%q: is a key: %v, is a position: %v", s, isKey, ok)
		}
		if ok && (string(p.Append(nil)) != s || string(protocol.AppendKey(nil, key)) != s) {
			t.Fatalf("%q: encoded again it is %q as a position and %q as a key", s, p.Append(nil), protocol.AppendKey(nil, key))
		}
	})
}

func TestHighBitsOfASeqAndATagAreIgnored(t *testing.T) {
	p := protocol.Position{Tag: 1, Seq: 1<<48 + 5, Index: 2}
	if got, ok := protocol.ParsePosition(string(p.Append(nil))); !ok || got != (protocol.Position{Tag: 1, Seq: 5, Index: 2}) {
		t.Errorf("got %+v, %v, want the low 48 bits of the seq", got, ok)
	}
	if got, want := string(protocol.AppendMe(nil, 1<<48+5)), string(protocol.AppendMe(nil, 5)); got != want || len(got) != protocol.MeSize {
		t.Errorf("got the tag %q, want %q", got, want)
	}
}

func TestIDsDoNotAllocate(t *testing.T) {
	dst := make([]byte, 0, protocol.PositionSize)
	p := protocol.Position{Tag: 0x1a2b3c4d, Seq: 1042, Index: 5}
	id := string(p.Append(nil))
	if n := testing.AllocsPerRun(100, func() {
		_ = p.Append(dst)
		_, _ = protocol.ParsePosition(id)
		key, _ := protocol.ParseKey16(id)
		_ = protocol.AppendKey(dst, key)
		_ = protocol.AppendMe(dst, protocol.MeOf(key))
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
