package websocket

import (
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The close codes of RFC 6455 section 7.4.1 that this package uses.
const (
	codeProtocolError = 1002
	codeNoStatus      = 1005 // never sent; stands for an empty close body
	codeInvalidData   = 1007
	codePolicy        = 1008
	codeTooBig        = 1009
)

// maxReason is the number of bytes that a control frame has for the reason, after the code (RFC 6455 section 5.5.1).
const maxReason = maxControl - 2

// CloseError holds the code and the reason with which a connection must be closed. Reason is plain ASCII of at most 123 bytes in
// the form "name: detail".
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return "websocket: close " + strconv.Itoa(e.Code) + ": " + e.Reason
}

// The errors of a Parser. They are declared once, so that a flood of bad frames allocates nothing.
var (
	errReservedBits     = &CloseError{codeProtocolError, "protocol error: reserved bits set although no extension was negotiated"}
	errReservedOpcode   = &CloseError{codeProtocolError, "protocol error: reserved opcode"}
	errFragmentControl  = &CloseError{codeProtocolError, "protocol error: fragmented control frame"}
	errStrayContinue    = &CloseError{codeProtocolError, "protocol error: continuation without a message"}
	errInsideMessage    = &CloseError{codeProtocolError, "protocol error: new message inside a fragmented one"}
	errUnmasked         = &CloseError{codeProtocolError, "protocol error: unmasked frame"}
	errControlTooLong   = &CloseError{codeProtocolError, "protocol error: control frame over 125 bytes"}
	errLengthTopBit     = &CloseError{codeProtocolError, "protocol error: length of 2^63 or more"}
	errLengthNotMinimal = &CloseError{codeProtocolError, "protocol error: length not in its shortest form"}
	errCloseBody        = &CloseError{codeProtocolError, "protocol error: close body of one byte"}
	errCloseCode        = &CloseError{codeProtocolError, "protocol error: close code not allowed"}
	errCloseReason      = &CloseError{codeInvalidData, "invalid UTF-8: close reason"}
	errText             = &CloseError{codeInvalidData, "invalid UTF-8: text message"}
	errTooManyFrames    = &CloseError{codePolicy, "policy: too many fragments in one message (see --max-fragments)"}
	errTooBig           = &CloseError{codeTooBig, "too big: message over the limit (see --max-message)"}
)

// codeOnWire reports whether a code may be sent in a close frame. It may if it is defined for endpoints (RFC 6455 section 7.4.1,
// and the IANA registry up to 1014), or belongs to libraries and applications (section 7.4.2). 1004 is reserved; 1005, 1006 and
// 1015 are only for reporting; all other codes are unassigned.
func codeOnWire(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	default:
		return false
	}
}

// AppendClose appends a whole close frame (RFC 6455 section 5.5.1). A code that may not be sent, such as 0 or 1005 from
// ParseClose, gives a frame with an empty body. The reason is cut to 123 bytes at a rune boundary. Invalid UTF-8 in it is
// replaced, because a peer must fail a connection whose close frame has invalid UTF-8.
func AppendClose(dst []byte, code int, reason string) []byte {
	if !codeOnWire(code) {
		return AppendHeader(dst, OpClose, 0)
	}
	reason = strings.ToValidUTF8(reason, string(utf8.RuneError))
	if len(reason) > maxReason {
		end := maxReason
		for !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end]
	}
	dst = AppendHeader(dst, OpClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// ParseClose splits the payload of a Close event, which Parser has validated. For an empty payload the code is 1005 (RFC 6455
// section 7.1.5). The reason shares the memory of the payload.
func ParseClose(payload []byte) (code int, reason []byte) {
	if len(payload) < 2 {
		return codeNoStatus, nil
	}
	return int(binary.BigEndian.Uint16(payload)), payload[2:]
}

// checkClose checks the part of a close frame's payload that has arrived (RFC 6455 section 5.5.1). It starts from the beginning
// with every piece: there are at most 125 bytes, so it does not need to keep a state.
func checkClose(body []byte, whole bool) *CloseError {
	if len(body) < 2 {
		return nil // the check of the header has refused a body of exactly one byte
	}
	if code, _ := ParseClose(body); !codeOnWire(code) {
		return errCloseCode
	}
	var reason textState
	if !reason.next(body[2:]) || whole && reason != textComplete {
		return errCloseReason
	}
	return nil
}
