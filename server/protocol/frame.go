package protocol

import "dotsconnect/server/websocket"

// A publication is encoded once for all members: the same bytes, with the frame header, are written to every connection of the
// room. The sizes are exact, so the frame is the only allocation of a publication.

const (
	envelopeHead = `{"message":`
	envelopeTail = `}`
	envelopeSize = len(envelopeHead) + len(envelopeTail)
)

// SizeV1 returns the number of bytes that AppendV1 appends for a value of n bytes.
func SizeV1(n int) int { return SizeRaw(n + envelopeSize) }

// AppendV1 appends the text frame {"message":VALUE}. The value must come from DecodeV1: it is valid JSON and is sent unchanged.
func AppendV1(dst, value []byte) []byte {
	dst = websocket.AppendHeader(dst, websocket.OpText, len(value)+envelopeSize)
	dst = append(dst, envelopeHead...)
	dst = append(dst, value...)
	return append(dst, envelopeTail...)
}

// SizeRaw returns the number of bytes that AppendRaw appends for a message of n bytes.
func SizeRaw(n int) int { return websocket.HeaderSize(n) + n }

// AppendRaw appends a message as one frame of its kind, even if the message arrived in fragments.
func AppendRaw(dst []byte, binary bool, value []byte) []byte {
	op := websocket.OpText
	if binary {
		op = websocket.OpBinary
	}
	dst = websocket.AppendHeader(dst, op, len(value))
	return append(dst, value...)
}
