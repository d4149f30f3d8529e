package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// BadFrame is the error for a message that breaks the protocol. Reason is printable ASCII of at most 110 bytes and follows
// "bad_frame: " in the reason of a close: the author of a client reads it in a browser's console. It contains offsets and at most
// one character of the message, so it can be logged.
type BadFrame struct {
	Reason string
}

func (e *BadFrame) Error() string { return e.Reason }

// Reasons without a position. Distinguish them with errors.Is.
var (
	ErrBinary    = &BadFrame{"binary message; v1 speaks JSON in text messages"}
	ErrEmpty     = &BadFrame{"empty message"}
	ErrNoMessage = &BadFrame{`no key "message"`}
	ErrByteOrder = &BadFrame{"begins with a byte order mark"}
	ErrString    = &BadFrame{`a string other than "heartbeat"`}
	ErrNumber    = &BadFrame{"a number, not an object"}
	ErrArray     = &BadFrame{"an array, not an object"}
	ErrNull      = &BadFrame{"null, not an object"}
	ErrBoolean   = &BadFrame{"a boolean, not an object"}

	// Of version 2, in which a message may be an array of requests.
	ErrBinaryV2  = &BadFrame{"binary message; v2 speaks JSON in text messages"}
	ErrNoRequest = &BadFrame{"an empty array"}
	ErrRequests  = &BadFrame{"an array of more than " + strconv.Itoa(MaxRequests) + " requests"}
	ErrElement   = &BadFrame{"an array with a value that is not an object"}
)

// notObject describes the value that was found instead of the envelope.
func notObject(kind jsontext.Kind) *BadFrame {
	switch kind {
	case jsontext.KindString:
		return ErrString
	case jsontext.KindNumber:
		return ErrNumber
	case jsontext.KindBeginArray:
		return ErrArray
	case jsontext.KindNull:
		return ErrNull
	default: // true and false; objects never reach this function
		return ErrBoolean
	}
}

// notJSON turns an error of the JSON reader into a BadFrame. It takes only the offset from the error and writes the rest itself,
// so that the reasons stay the same when the library changes its texts.
func notJSON(p []byte, err error) *BadFrame {
	var syntax *jsontext.SyntacticError
	at := len(p)
	if errors.As(err, &syntax) {
		at = min(int(syntax.ByteOffset), len(p))
	}
	rest := p[at:]
	if len(rest) == 0 || errors.Is(err, io.ErrUnexpectedEOF) {
		return &BadFrame{"not JSON: ends too early, at byte " + strconv.Itoa(len(p))}
	}
	r, size := utf8.DecodeRune(rest)
	switch {
	case bytes.HasPrefix(rest, []byte("NaN")), bytes.HasPrefix(rest, []byte("Infinity")):
		return &BadFrame{"not JSON: NaN or Infinity at byte " + strconv.Itoa(at)}
	case loneSurrogate(rest):
		return &BadFrame{"not JSON: half a surrogate pair at byte " + strconv.Itoa(at)}
	case r == '\\':
		return &BadFrame{"not JSON: bad escape at byte " + strconv.Itoa(at)}
	case r == utf8.RuneError && size == 1:
		return &BadFrame{"not JSON: invalid UTF-8 at byte " + strconv.Itoa(at)}
	}
	return &BadFrame{fmt.Sprintf("not JSON: unexpected %+q at byte %d", r, at)}
}

// loneSurrogate reports whether rest begins with the escape of a surrogate. The JSON reader stops at a surrogate only if the
// other half of the pair is missing.
func loneSurrogate(rest []byte) bool {
	if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' {
		return false
	}
	unit, err := strconv.ParseUint(string(rest[2:6]), 16, 16)
	return err == nil && unit >= 0xd800 && unit <= 0xdfff
}
