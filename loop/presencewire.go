package loop

import "encoding/binary"

// A publication is: flags · name of the node (8 bytes) · number · members of the room on the node · users: length · name ·
// connections · length · info. The numbers are varints.
const (
	farFull     = 1 << iota // all users of the node; the others are gone
	farAsks                 // all other nodes must send all their users
	farEnds                 // the node has no watchers any more
	farNameless             // the node has too many users to name them
)

// appendFar appends what comes before the users.
func appendFar(dst []byte, flags byte, self, number uint64, members int) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, flags), self)
	return binary.AppendUvarint(binary.AppendUvarint(dst, number), uint64(members))
}

// append appends a user with its connections on this node.
func (u *user) append(value []byte) []byte {
	value = append(binary.AppendUvarint(value, uint64(len(u.User))), u.User...)
	value = binary.AppendUvarint(value, uint64(u.own))
	return append(binary.AppendUvarint(value, uint64(len(u.Info))), u.Info...)
}

// farReader reads the value of a publication.
type farReader struct {
	rest []byte
	bad  bool // the value is too short
}

func (r *farReader) take(n uint64) (part []byte) {
	if r.bad = r.bad || n > uint64(len(r.rest)); r.bad {
		return make([]byte, min(n, 8))
	}
	part, r.rest = r.rest[:n], r.rest[n:]
	return part
}

func (r *farReader) byte() byte     { return r.take(1)[0] }
func (r *farReader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *farReader) text() []byte   { return r.take(r.uvarint()) }

// count reads a number of members.
func (r *farReader) count() int {
	x := r.uvarint()
	r.bad = r.bad || x > 1<<30
	return int(x & (1<<30 - 1))
}

func (r *farReader) uvarint() uint64 {
	x, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return x
}
