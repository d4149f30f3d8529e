package protocol

import (
	"slices"
	"strconv"

	"dotsconnect/server/websocket"
)

// A publication of version 2 has its id, and, if its sender asked for an acknowledgement, the sender's tag and ref. The value
// comes last, so that it is one piece of the frame. As in version 1, the sizes are exact.

const (
	idOpen      = `{"id":"`
	fromOpen    = `"from":"`
	refOpen     = `","ref":`
	messageOpen = `"message":`

	idPart      = len(idOpen) + PositionSize + len(`",`)
	fromPart    = len(fromOpen) + MeSize + len(refOpen) + len(`,`) // without the digits of the ref
	messagePart = len(messageOpen) + len(`}`)
)

// SizeV2 returns the number of bytes that AppendV2 appends for a value of the given number of bytes.
func SizeV2(value int, ref uint64) int { return SizeRaw(idPart + sizeMessage(value, ref)) }

// SizeV2Local returns the number of bytes that AppendV2Local appends for a value of the given number of bytes.
func SizeV2Local(value int, ref uint64) int { return SizeRaw(len(`{`) + sizeMessage(value, ref)) }

// AppendV2 appends the text frame {"id":ID,"message":VALUE}, or {"id":ID,"from":ME,"ref":REF,"message":VALUE} if ref is not 0.
// The value must come from DecodeV2: it is valid JSON and is sent unchanged.
func AppendV2(dst []byte, p Position, me, ref uint64, value []byte) []byte {
	dst = websocket.AppendHeader(dst, websocket.OpText, idPart+sizeMessage(len(value), ref))
	dst = append(dst, idOpen...)
	dst = p.Append(dst)
	dst = append(dst, `",`...)
	return appendMessage(dst, me, ref, value)
}

// AppendV2Local appends the frame of AppendV2 without the id. Publications that were delivered on this node alone have this form,
// because they have no place in the common order.
func AppendV2Local(dst []byte, me, ref uint64, value []byte) []byte {
	dst = websocket.AppendHeader(dst, websocket.OpText, len(`{`)+sizeMessage(len(value), ref))
	dst = append(dst, '{')
	return appendMessage(dst, me, ref, value)
}

// appendMessage appends the keys from, ref and message, and the closing brace.
func appendMessage(dst []byte, me, ref uint64, value []byte) []byte {
	if ref > 0 {
		dst = append(dst, fromOpen...)
		dst = AppendMe(dst, me)
		dst = append(dst, refOpen...)
		dst = strconv.AppendUint(dst, ref, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, messageOpen...)
	dst = append(dst, value...)
	return append(dst, '}')
}

// sizeMessage returns the number of bytes that appendMessage appends.
func sizeMessage(value int, ref uint64) int {
	if ref > 0 {
		value += fromPart + digits(ref)
	}
	return value + messagePart
}

// digits returns the number of decimal digits of n.
func digits(n uint64) int {
	count := 1
	for ; n >= 10; n /= 10 {
		count++
	}
	return count
}

// endText turns the bytes of dst from begin on into a text frame: it moves them to make room for the header. The caller writes
// the payload first because it does not know its length.
func endText(dst []byte, begin int) []byte {
	n := len(dst) - begin
	header := websocket.HeaderSize(n)
	dst = slices.Grow(dst, header)[:len(dst)+header]
	copy(dst[begin+header:], dst[begin:begin+n])
	websocket.AppendHeader(dst[:begin], websocket.OpText, n)
	return dst
}
