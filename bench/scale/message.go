package main

import (
	"bytes"
	"strconv"
)

// A message carries its run, its sender and its number. They are hexadecimal,
// with a fixed width:
//
//	{"message":"~scale 0000002a 00000007 00000001"}
//
// The server must relay a message byte for byte. To check this, a receiver
// builds the message from the parsed fields and compares all bytes.
const (
	prefix   = `{"message":"~scale `
	suffix   = `"}`
	runAt    = len(prefix)
	senderAt = runAt + 9
	seqAt    = senderAt + 9
	length   = seqAt + 8 + len(suffix)
)

type message struct{ run, sender, seq uint32 }

// appendTo appends the text of the message to dst.
func (m message) appendTo(dst []byte) []byte {
	dst = append(dst, prefix...)
	dst = append(appendHex(dst, m.run), ' ')
	dst = append(appendHex(dst, m.sender), ' ')
	return append(appendHex(dst, m.seq), suffix...)
}

// parseMessage parses a message and checks all of its bytes. scratch is a
// buffer for the comparison; the last result is that buffer, which may have
// grown.
func parseMessage(b, scratch []byte) (m message, ok bool, _ []byte) {
	if len(b) != length {
		return m, false, scratch
	}
	for _, f := range []struct {
		at   int
		into *uint32
	}{{runAt, &m.run}, {senderAt, &m.sender}, {seqAt, &m.seq}} {
		v, err := strconv.ParseUint(string(b[f.at:f.at+8]), 16, 32)
		if err != nil {
			return m, false, scratch
		}
		*f.into = uint32(v)
	}
	scratch = m.appendTo(scratch[:0])
	return m, bytes.Equal(b, scratch), scratch
}

func appendHex(dst []byte, v uint32) []byte {
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, digits[v>>shift&15])
	}
	return dst
}
