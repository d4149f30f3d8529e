package websocket

import (
	"strings"
	"testing"
	"unsafe"
)

func TestParserIsSmall(t *testing.T) {
	if got := unsafe.Sizeof(Parser{}); got > 8 {
		t.Errorf("Parser has %d bytes, want 8", got)
	}
}

func TestParserAllocatesNothingForCompleteFrames(t *testing.T) {
	stream := frame(text, "schön") + frame(binar, strings.Repeat("x", 5000)) + frame(ping, "p") + frame(text, "") + frame(closed, "\x03\xe8bye")
	p := make([]byte, len(stream))
	lim := &Limits{}
	var s Parser
	events := 0
	allocs := testing.AllocsPerRun(100, func() {
		copy(p, stream)
		for rest := p; len(rest) > 0; {
			n, ev, _, err := s.Next(rest, lim)
			if err != nil || ev == None {
				t.Fatal(ev, err)
			}
			rest = rest[n:]
			events++
		}
	})
	if allocs != 0 || events != 101*5 {
		t.Errorf("got %v allocations and %d events", allocs, events)
	}
}

func TestParserAllocatesNothingForViolations(t *testing.T) {
	bad := []byte("\x81\x00")
	lim := &Limits{}
	if allocs := testing.AllocsPerRun(100, func() {
		var s Parser
		if _, _, _, err := s.Next(bad, lim); err == nil {
			t.Fatal("unmasked frame accepted")
		}
	}); allocs != 0 {
		t.Errorf("got %v allocations", allocs)
	}
}

func TestParserHandsOutCompleteFramesInPlace(t *testing.T) {
	lim := &Limits{}
	for _, test := range []struct {
		name string
		cut  int // offset at which the stream is split in two
	}{{"whole", 0}, {"after half a header", 3}, {"after the header", 6}} {
		p := []byte(frame(text, "abc") + "next")
		var s Parser
		if _, ev, _, err := s.Next(p[:test.cut], lim); ev != None || err != nil {
			t.Fatal(ev, err)
		}
		_, _, payload, _ := s.Next(p[test.cut:], lim)
		if len(payload) != 3 || &payload[0] != &p[6] || cap(payload) != 3 {
			t.Errorf("%s: got %q, want the bytes themselves and no more", test.name, payload)
		}
	}
}

func TestParserBuffersWhatArrivedNotWhatWasAnnounced(t *testing.T) {
	lim := &Limits{MaxMessage: 1 << 30}
	stream := []byte(header64(binar, 1<<29) + strings.Repeat("x", 100_000))
	var s Parser
	for fed := 0; fed < len(stream); fed += 1000 {
		if _, _, _, err := s.Next(stream[fed:min(fed+1000, len(stream))], lim); err != nil {
			t.Fatal(err)
		}
		if got, most := s.Buffered(), max(firstChunk, 2*(fed+1000)); got > most {
			t.Fatalf("holds %d bytes after %d arrived, want at most %d", got, fed+1000, most)
		}
	}
}

func TestParserReservesASmallMessageExactly(t *testing.T) {
	var s Parser
	stream := []byte(frame(text, strings.Repeat("x", 1000)))
	if _, _, _, err := s.Next(stream[:10], &Limits{}); err != nil || s.Buffered() != 1000 {
		t.Errorf("holds %d bytes (%v), want 1000", s.Buffered(), err)
	}
}

func TestParserNeverHoldsMoreThanTheLargestMessage(t *testing.T) {
	lim := &Limits{MaxMessage: 10_000}
	stream := frame(textMore, strings.Repeat("x", 6000)) + frame(contMore, strings.Repeat("x", 4000))
	var s Parser
	for i := range len(stream) {
		if _, _, _, err := s.Next([]byte(stream[i:i+1]), lim); err != nil {
			t.Fatal(err)
		}
		if s.Buffered() > 10_000 {
			t.Fatalf("holds %d bytes", s.Buffered())
		}
	}
}

func TestParserCopiesLittleForManySmallFragments(t *testing.T) {
	lim := &Limits{}
	first, more := frame(textMore, strings.Repeat("x", 60)), frame(contMore, strings.Repeat("x", 60))
	allocs := testing.AllocsPerRun(10, func() {
		var s Parser
		_, _, _, err := s.Next([]byte(first), lim)
		for range 1000 {
			if err != nil {
				t.Fatal(err)
			}
			_, _, _, err = s.Next([]byte(more), lim)
		}
	})
	if allocs > 1001+15 { // a copy of each piece by this test, a chunk for each doubling, and the list of chunks
		t.Errorf("got %v allocations for 1001 fragments", allocs)
	}
}

func TestParserKeepsNothingBetweenMessages(t *testing.T) {
	lim := &Limits{}
	for _, stream := range []string{
		frame(text, "abc"), frame(textMore, "abc") + frame(contEnd, "d"), frame(ping, "p"),
		frame(textMore, "") + frame(ping, "p") + frame(contEnd, ""),
	} {
		var s Parser
		for i := range len(stream) {
			if _, _, _, err := s.Next([]byte(stream[i:i+1]), lim); err != nil {
				t.Fatal(err)
			}
			if last := i == len(stream)-1; s.Partial() == last {
				t.Fatalf("after byte %d of %q: partial %v", i+1, stream, s.Partial())
			}
		}
		if s.Buffered() != 0 || s.kept != nil {
			t.Errorf("holds %d bytes after %q", s.Buffered(), stream)
		}
	}
}
