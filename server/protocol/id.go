package protocol

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// alphabet has the 64 characters of ids, tags and keys in the order of their ASCII codes. So two ids compare as strings in the
// same way as the positions that they stand for.
const alphabet = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"

var base64ID = base64.NewEncoding(alphabet).WithPadding(base64.NoPadding)

// Position is a place in the order of a lane. Clients see it as an id of PositionSize characters, and take it as opaque.
type Position struct {
	Tag   uint32 // stands for the numbering: it differs between epochs and between lanes
	Seq   uint64 // of the batch in the lane; 48 bits
	Index uint16 // of the publication in its batch
}

// The sizes of the encoded forms, in characters.
const (
	PositionSize = 16
	KeySize      = 16 // the key of a connection
	MeSize       = 8  // the tag of a connection
)

const seqMask = 1<<48 - 1

// Append appends the id of the position. Bits of Seq above the 48th are ignored.
func (p Position) Append(dst []byte) []byte {
	var b [12]byte
	binary.BigEndian.PutUint32(b[:4], p.Tag)
	binary.BigEndian.PutUint64(b[4:], p.Seq&seqMask<<16|uint64(p.Index))
	return base64ID.AppendEncode(dst, b[:])
}

// ParsePosition is the inverse of Append. Each string of 16 characters of the alphabet is a position.
func ParsePosition(s string) (p Position, ok bool) {
	b, ok := ParseKey16(s)
	if !ok {
		return Position{}, false
	}
	rest := binary.BigEndian.Uint64(b[4:])
	return Position{Tag: binary.BigEndian.Uint32(b[:4]), Seq: rest >> 16, Index: uint16(rest)}, true
}

// AppendMe appends the public tag of a connection: the low 48 bits of me.
func AppendMe(dst []byte, me uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], me)
	return base64ID.AppendEncode(dst, b[2:])
}

// AppendKey appends the secret key of a connection.
func AppendKey(dst []byte, key [12]byte) []byte {
	return base64ID.AppendEncode(dst, key[:])
}

// ParseKey16 is the inverse of AppendKey.
func ParseKey16(s string) (key [12]byte, ok bool) {
	if len(s) != KeySize {
		return key, false
	}
	// The decoder skips line breaks, so a string that contains one gives fewer bytes.
	n, err := base64ID.Decode(key[:], []byte(s))
	if err != nil || n != len(key) {
		return [12]byte{}, false
	}
	return key, true
}

// MeOf returns the public tag of the connection that has this key: the first 48 bits of the SHA-256 of the key's 12 bytes. The
// tag does not reveal the key.
func MeOf(key [12]byte) uint64 {
	sum := sha256.Sum256(key[:])
	return binary.BigEndian.Uint64(sum[:]) >> 16
}
