package websocket

import "unicode/utf8"

// textState is an incremental UTF-8 validator in one byte: it tells which bytes may come next (Unicode standard, table 3-7).
//
// Text arrives in pieces that may end inside a rune. RFC 6455 section 8.1 lets an endpoint fail at the first byte that no valid
// text can have at this place. utf8.Valid checks the whole runes, and skips ASCII eight bytes at a time. The states below check
// only the bytes of a rune that is split between two pieces, so they are written for readability, not for speed.
type textState uint8

const (
	textComplete textState = iota // between runes; the zero value
	textTail1                     // one more byte in 80..BF
	textTail2                     // two more bytes in 80..BF
	textTail3                     // three more bytes in 80..BF
	textAfterE0                   // A0..BF, then one more byte: excludes overlong forms of three bytes
	textAfterED                   // 80..9F, then one more byte: excludes surrogates
	textAfterF0                   // 90..BF, then two more bytes: excludes overlong forms of four bytes
	textAfterF4                   // 80..8F, then two more bytes: excludes everything above U+10FFFF
	textInvalid
)

// next advances over p, and reports whether the text can still become valid. After false the state must not be used again.
func (t *textState) next(p []byte) bool {
	for *t != textComplete {
		if len(p) == 0 {
			return true
		}
		if *t = t.after(p[0]); *t == textInvalid {
			return false
		}
		p = p[1:]
	}
	whole := len(p) - brokenTail(p)
	if !utf8.Valid(p[:whole]) {
		return false
	}
	for _, b := range p[whole:] {
		*t = t.after(b) // cannot fail, because the tail is a valid beginning of a rune
	}
	return true
}

// brokenTail returns the length of the unfinished rune at the end of p. It is 0 to 3.
func brokenTail(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		b := p[len(p)-n]
		if b < utf8.RuneSelf {
			return 0
		}
		if utf8.RuneStart(b) {
			if utf8.FullRune(p[len(p)-n:]) {
				return 0 // a whole rune, or invalid bytes that utf8.Valid finds
			}
			return n
		}
	}
	return 0
}

// after returns the state after the byte b.
func (t textState) after(b byte) textState {
	low, high, then := byte(0x80), byte(0xbf), textComplete
	switch t {
	case textTail1:
	case textTail2:
		then = textTail1
	case textTail3:
		then = textTail2
	case textAfterE0:
		low, then = 0xa0, textTail1
	case textAfterED:
		high, then = 0x9f, textTail1
	case textAfterF0:
		low, then = 0x90, textTail2
	case textAfterF4:
		high, then = 0x8f, textTail2
	default:
		return afterLead(b)
	}
	if b < low || b > high {
		return textInvalid
	}
	return then
}

// afterLead returns the state after the first byte of a rune of several bytes. It is called only with lead bytes that brokenTail
// has found, so b is C2 to F4.
func afterLead(b byte) textState {
	switch {
	case b < 0xe0:
		return textTail1
	case b == 0xe0:
		return textAfterE0
	case b == 0xed:
		return textAfterED
	case b < 0xf0:
		return textTail2
	case b == 0xf0:
		return textAfterF0
	case b < 0xf4:
		return textTail3
	default:
		return textAfterF4
	}
}
