package websocket

import (
	"testing"
	"unicode/utf8"
)

// completable finds out by trial whether some valid text begins with p. It completes the unfinished rune at the end of p with the
// lowest and highest bytes of the ranges in table 3-7.
func completable(p []byte) bool {
	if utf8.Valid(p) {
		return true
	}
	tails := []byte{0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf}
	tries := [][]byte{p}
	for range utf8.UTFMax - 1 {
		var longer [][]byte
		for _, try := range tries {
			for _, b := range tails {
				next := append(append([]byte(nil), try...), b)
				if utf8.Valid(next) {
					return true
				}
				longer = append(longer, next)
			}
		}
		tries = longer
	}
	return false
}

// checkText compares the validator with unicode/utf8, for p split in two at every offset, and byte by byte.
func checkText(t *testing.T, p []byte) {
	t.Helper()
	end, whole := 0, 0 // end: length of the longest beginning that may still become valid; whole: length of its whole runes
	for end < len(p) && completable(p[whole:end+1]) {
		end++
		if utf8.Valid(p[whole:end]) {
			whole = end
		}
	}
	var single textState
	for i := range p {
		if got, want := single.next(p[i:i+1]), i < end; got != want {
			t.Fatalf("%x: byte %d: got %v, want %v", p, i, got, want)
		} else if !got {
			break
		}
	}
	for cut := range len(p) + 1 {
		var s textState
		if got, want := s.next(p[:cut]), cut <= end; got != want {
			t.Fatalf("%x: first %d bytes: got %v, want %v", p, cut, got, want)
		} else if !got {
			continue
		}
		if got, want := s == textComplete, utf8.Valid(p[:cut]); got != want {
			t.Fatalf("%x: first %d bytes: complete %v, want %v", p, cut, got, want)
		}
		if got, want := s.next(p[cut:]), end == len(p); got != want {
			t.Fatalf("%x: from byte %d: got %v, want %v", p, cut, got, want)
		} else if got && (s == textComplete) != utf8.Valid(p) {
			t.Fatalf("%x: cut at %d: complete %v", p, cut, s == textComplete)
		}
	}
}

func TestTextIsJudgedByteByByte(t *testing.T) {
	for lead := range 256 { // every first byte, with each limit of a range of second bytes
		for _, second := range []byte{0, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff} {
			checkText(t, []byte{'a', byte(lead), second, 0x80, 0xbf, 'z'})
		}
	}
	for _, p := range textSeeds {
		checkText(t, []byte(p))
	}
}

var textSeeds = []string{
	"", "plain", "κόσμε", "😀😀", "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z", "\x00\x7f\xc2\x80\xdf\xbf",
	"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf4\x90\x80\x80",
	"\xed\xa0\x80", "\xc0\xaf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x88\x80\x80\x80", "\xff", "abc\x80", "\xf0\x9f\x98",
	"κόσμε\xed\xa0\x80edited", "eight byte words of ASCII, then \xe2\x82",
}

func FuzzUTF8(f *testing.F) {
	for _, p := range textSeeds {
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 256 {
			return // checkText tries every split, which takes long
		}
		checkText(t, p)
	})
}
