package client

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes, RFC 6455 section 5.2.
const (
	opContinuation = 0x0
	OpText         = 0x1
	OpBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const (
	maxHeaderBytes  = 14
	maxControlBytes = 125
)

// maskKey is the masking key of every frame. Random keys would protect proxies
// against attackers who choose the bytes on the wire, but there is no proxy
// between a generator and its server.
var maskKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// AppendFrame appends a final, masked frame to dst.
func AppendFrame(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n <= 125:
		dst = append(dst, 0x80|byte(n))
	case n <= 0xffff:
		dst = append(dst, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, maskKey[:]...)
	for i, b := range payload {
		dst = append(dst, b^maskKey[i&3])
	}
	return dst
}

type frame struct {
	fin     bool
	op      byte
	payload []byte
}

// parseFrame parses the frame at the start of b (RFC 6455 section 5.2). It
// returns the frame and its length in bytes, or 0 if b ends before the frame
// does.
func parseFrame(b []byte, maxPayload int) (frame, int, error) {
	if len(b) < 2 {
		return frame{}, 0, nil
	}
	f := frame{fin: b[0]&0x80 != 0, op: b[0] & 0x0f}
	if err := checkHead(f, b[0], b[1]); err != nil {
		return f, 0, err
	}
	n, at := uint64(b[1]&0x7f), 2
	switch n {
	case 126:
		if at = 4; len(b) < at {
			return f, 0, nil
		}
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if at = 10; len(b) < at {
			return f, 0, nil
		}
		n = binary.BigEndian.Uint64(b[2:])
	}
	if n > uint64(maxPayload) {
		return f, 0, fmt.Errorf("a frame of %d bytes, above the limit of %d", n, maxPayload)
	}
	if len(b)-at < int(n) {
		return f, 0, nil
	}
	f.payload = b[at : at+int(n)]
	return f, at + int(n), nil
}

func checkHead(f frame, b0, b1 byte) error {
	if b0&0x70 != 0 {
		return errors.New("a reserved bit is set")
	}
	if b1&0x80 != 0 {
		return errors.New("a masked frame from the server")
	}
	switch f.op {
	case opContinuation, OpText, OpBinary:
	case opClose, opPing, opPong:
		if !f.fin || b1 > maxControlBytes {
			return errors.New("a control frame that is fragmented or longer than 125 bytes")
		}
	default:
		return fmt.Errorf("reserved opcode %d", f.op)
	}
	return nil
}
