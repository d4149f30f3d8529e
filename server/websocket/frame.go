package websocket

import (
	"encoding/binary"
	"math"
)

// Opcode is the type of a frame (RFC 6455 section 5.2). The values 3 to 7 and 11 to 15 are reserved.
type Opcode uint8

// The opcodes of RFC 6455 section 11.8; 8 and above are control frames.
const (
	OpContinuation Opcode = 0
	OpText         Opcode = 1
	OpBinary       Opcode = 2
	OpClose        Opcode = 8
	OpPing         Opcode = 9
	OpPong         Opcode = 10
)

// The bits of a frame's first two bytes (RFC 6455 section 5.2).
const (
	finBit     = 0x80
	rsvBits    = 0x70
	opcodeBits = 0x0f
	controlBit = 0x08 // bit of the opcode
	maskBit    = 0x80
	lengthBits = 0x7f

	length16 = 126 // the length is in the next 2 bytes
	length64 = 127 // the length is in the next 8 bytes
)

const (
	maxControl    = 125      // bytes, RFC 6455 section 5.5
	maxHeaderSize = 14       // bytes: 2 fixed ones, a 64-bit length, and a masking key
	maskKeySize   = 4        // bytes
	defaultFrames = 1024     // default of Limits.MaxFragments
	defaultBytes  = 64 << 10 // default of Limits.MaxMessage
)

// HeaderSize returns the number of bytes that AppendHeader appends for a payload of n bytes.
func HeaderSize(n int) int {
	switch {
	case n <= maxControl:
		return 2
	case n <= math.MaxUint16:
		return 4
	default:
		return 10
	}
}

// AppendHeader appends the header of an unmasked, final frame. The caller appends the payload of n bytes next (RFC 6455 section
// 5.2). A server never masks (section 5.1), so one encoded frame serves every member of a room.
func AppendHeader(dst []byte, op Opcode, n int) []byte {
	dst = append(dst, finBit|byte(op))
	switch HeaderSize(n) {
	case 2:
		return append(dst, byte(n))
	case 4:
		return binary.BigEndian.AppendUint16(append(dst, length16), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, length64), uint64(n))
	}
}

// AppendControl appends a whole ping or pong. A payload over 125 bytes cannot be sent (RFC 6455 section 5.5) and would be a bug
// in the caller; the payload of a received ping always fits.
func AppendControl(dst []byte, op Opcode, payload []byte) []byte {
	if len(payload) > maxControl {
		panic("websocket: control frame over 125 bytes")
	}
	return append(AppendHeader(dst, op, len(payload)), payload...)
}
