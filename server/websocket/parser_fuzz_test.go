package websocket

import (
	"strings"
	"testing"
)

// streamSeeds are the first inputs for every fuzz target that parses frames.
var streamSeeds = []string{
	frame(text, "hello") + frame(binar, "\x00\xff") + frame(ping, "p") + frame(closed, "\x03\xe8bye"),
	frame(textMore, "h\xc3") + frame(ping, "") + frame(contMore, "\xa4") + frame(pong, "x") + frame(contEnd, ""),
	frame(text, strings.Repeat("long ", 40)) + frame(text, strings.Repeat("ä", 200)),
	frame(binarMore, "abc") + header64(contEnd, 1<<63-1),
	frame(binarMore, "abc") + header64(contEnd, 1<<63),
	frame(text, "\xed\xa0\x80") + frame(text, ""),
	frame(closed, "\x03\xed\xff") + frame(closed, "\x00"),
	"\xc1\x80" + testKey,
	"\x81\xfe\x00\x05" + testKey + "hello",
	"GET /ws/chat/lobby/ HTTP/1.1\r\nHost: x\r\n\r\n",
}

// FuzzParser checks that the result of a stream does not depend on the segments in which it arrives. The function parse also
// checks the rules that hold for every stream. Each byte of cuts is the length of a segment.
func FuzzParser(f *testing.F) {
	for i, stream := range streamSeeds {
		f.Add([]byte(stream), []byte{byte(i), 1, 5, 0, 3}, uint16(300*i), uint8(i))
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte, maxMessage uint16, maxFragments uint8) {
		lim := &Limits{MaxMessage: int(maxMessage), MaxFragments: int(maxFragments)}
		want := parse(t, string(stream), lim)
		if got := parse(t, string(stream), lim, everyByte(len(stream))...); !got.equal(want) {
			t.Errorf("byte by byte: got %v, want %v", got, want)
		}
		if got := parse(t, string(stream), lim, segments(cuts, len(stream))...); !got.equal(want) {
			t.Errorf("in segments: got %v, want %v", got, want)
		}
	})
}

// segments turns lengths into offsets below n.
func segments(lengths []byte, n int) []int {
	var cuts []int
	at := 0
	for _, length := range lengths {
		if at += int(length); at > n {
			break
		}
		cuts = append(cuts, at)
	}
	return cuts
}

// FuzzParserReturnsWhatWasEncoded encodes a valid sequence of frames, and expects the parser to return the same messages. The
// input is a list of steps of two bytes each: the kind of frame and its size.
func FuzzParserReturnsWhatWasEncoded(f *testing.F) {
	f.Add([]byte("\x00\x05\x01\x81\x02\x10\x04\x20\x03\x02\x04\x05\x02\x03\x05\x00"), []byte{7, 1})
	f.Add([]byte("\x04\x09\x02\x00\x04\x01\x03\xff\x04\x07\x05\x00\x00\xff"), []byte{1})
	f.Fuzz(func(t *testing.T, script, cuts []byte) {
		var e encoder
		for ; len(script) >= 2; script = script[2:] {
			e.step(script[0]%6, int(script[1]))
		}
		e.want.partial = e.open != None
		stream := e.stream.String()
		got := parse(t, stream, &Limits{MaxMessage: 1 << 20, MaxFragments: 1 << 20}, segments(cuts, len(stream))...)
		if !got.equal(e.want) {
			t.Errorf("got  %v\nwant %v", got, e.want)
		}
	})
}

type encoder struct {
	stream strings.Builder
	want   outcome

	open    Event  // kind of the unfinished fragmented message: Text or Binary; None if there is none
	message string // the whole fragmented message
	sent    int    // number of bytes of message that were encoded so far
}

func (e *encoder) step(what byte, size int) {
	const sample = "aä€😀" // the runes have 1 to 4 bytes, so that splits fall inside of them
	switch {
	case what == 2:
		e.add(ping, Ping, strings.Repeat("p", size%126))
	case what == 3:
		e.add(pong, Pong, strings.Repeat("\xff", size%126))
	case e.open == None && what == 0:
		e.add(text, Text, strings.Repeat(sample, size*size/64))
	case e.open == None && what != 4:
		e.add(binar, Binary, strings.Repeat(sample, size))
	case what == 5: // the last fragment of a message
		e.stream.WriteString(frame(contEnd, e.message[e.sent:]))
		e.want.deliveries = append(e.want.deliveries, delivery{e.open, e.message})
		e.open = None
	default: // the first or another fragment of a message
		first := byte(contMore)
		if e.open == None {
			e.open, e.message, e.sent = Binary, strings.Repeat(sample, size), 0
			first = binarMore
			if size%2 == 0 {
				e.open, first = Text, textMore
			}
		}
		n := min(size/3, len(e.message)-e.sent)
		e.stream.WriteString(frame(first, e.message[e.sent:e.sent+n]))
		e.want.deliveries = append(e.want.deliveries, delivery{Fragment, ""})
		e.sent += n
	}
}

// add encodes a whole message or control frame.
func (e *encoder) add(first byte, ev Event, payload string) {
	e.stream.WriteString(frame(first, payload))
	e.want.deliveries = append(e.want.deliveries, delivery{ev, payload})
}
