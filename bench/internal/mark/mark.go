// Package mark puts a mark into messages by which a receiver can tell who sent
// it, which one it is, and whether a byte changed:
//
//	{"message":"~DB1 0000002a 00000007 000001f4 5c8e7d6f"}
//	                 run      sender   seq      CRC-32 of what stands before
//
// Fixed-width ASCII passes any JSON encoder unchanged and is found by its tag,
// so any server's envelope around it will do.
package mark

import (
	"bytes"
	"errors"
	"hash/crc32"
)

const (
	tag    = "~DB1 "
	bodyAt = len(tag)
	crcAt  = bodyAt + 3*9
	length = crcAt + 8
)

// Mark is the content of a mark.
type Mark struct {
	Run    uint32 // which run, or which kind of sender within it
	Sender uint32
	Seq    uint32
}

// Errors of Parse.
var (
	ErrNone    = errors.New("a message without a mark")
	ErrDamaged = errors.New("a message whose checksum is wrong")
	ErrTwo     = errors.New("two messages in one frame")
)

// AppendMessage appends a whole message with the mark.
func AppendMessage(dst []byte, m Mark) []byte {
	dst = append(dst, `{"message":"`...)
	start := len(dst)
	dst = append(dst, tag...)
	for _, v := range [3]uint32{m.Run, m.Sender, m.Seq} {
		dst = append(appendHex(dst, v), ' ')
	}
	dst = appendHex(dst, crc32.ChecksumIEEE(dst[start:]))
	return append(dst, `"}`...)
}

// Parse finds the mark in a message.
func Parse(message []byte) (Mark, error) {
	at := bytes.Index(message, []byte(tag))
	if at < 0 {
		return Mark{}, ErrNone
	}
	b := message[at:]
	if len(b) < length {
		return Mark{}, ErrDamaged
	}
	var v [4]uint32
	for i := range v {
		n, ok := parseHex(b[bodyAt+9*i : bodyAt+9*i+8])
		if !ok {
			return Mark{}, ErrDamaged
		}
		v[i] = n
	}
	if crc32.ChecksumIEEE(b[:crcAt]) != v[3] {
		return Mark{}, ErrDamaged
	}
	if bytes.Contains(b[length:], []byte(tag)) {
		return Mark{}, ErrTwo
	}
	return Mark{v[0], v[1], v[2]}, nil
}

func appendHex(dst []byte, v uint32) []byte {
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, digits[v>>shift&15])
	}
	return dst
}

// parseHex takes lower case only: a changed letter is a changed byte.
func parseHex(b []byte) (uint32, bool) {
	var v uint32
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint32(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint32(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
