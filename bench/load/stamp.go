package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// A message carries its sender, its number, and the time at which it was due,
// in ASCII of fixed width that no JSON encoder changes:
//
//	{"message":"~rrrIIIIIIIIttttttpad…"}
//	            run  |       |
//	                 sender and number
//	                         intended time
//
// All numbers are in base 64 (RFC 4648 section 5): three digits for the run,
// eight for sender and number (21 and 27 bits), six for the intended time in
// microseconds, whose upper bits follow from the time of arrival. So a message
// of 32 bytes has room for a stamp, and a receiver parses it in a tenth of the
// time that it takes to read it from the kernel.
//
// The stamp is found by its tag, so the envelope that a server puts around it
// does not matter. The pad is known, so a changed byte is found without a
// checksum: each message's size follows from its sender and number.
const (
	tag      = '~'
	runAt    = 1
	numberAt = runAt + 3
	timeAt   = numberAt + 8
	stampLen = timeAt + 6

	envelope = len(`{"message":""}`) // the part of a size that is not the payload

	runBits    = 18
	seqBits    = 27
	senderBits = 21
	timeBits   = 36
)

// stamp is the stamp of a message. intended is in nanoseconds, and a multiple
// of a microsecond.
type stamp struct {
	run, sender, seq uint32
	intended         int64
}

// put writes the stamp into b.
func (s stamp) put(b *[stampLen]byte) {
	b[0] = tag
	put64(b[runAt:numberAt], uint64(s.run))
	put64(b[numberAt:timeAt], uint64(s.sender)<<seqBits|uint64(s.seq))
	put64(b[timeAt:], uint64(s.intended/1000)&(1<<timeBits-1))
}

// readStamp parses a stamp of a message that arrived at the given time.
func readStamp(b []byte, at int64) (s stamp, ok bool) {
	_ = b[stampLen-1]
	run, ok1 := get64(b[runAt:numberAt])
	number, ok2 := get64(b[numberAt:timeAt])
	us, ok3 := get64(b[timeAt:stampLen])
	// Take the nearest time with these lower bits: an echo cannot be older
	// than half of their range, nine hours.
	const half = 1 << (timeBits - 1)
	now := at / 1000
	age := (now-int64(us)+half)&(1<<timeBits-1) - half
	return stamp{uint32(run), uint32(number >> seqBits), uint32(number & (1<<seqBits - 1)), (now - age) * 1000}, ok1 && ok2 && ok3
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// digits is the value of each digit, and 0xff for other bytes.
var digits = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte(alphabet) {
		t[c] = byte(i)
	}
	return t
}()

func put64(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = alphabet[v&63]
		v >>= 6
	}
}

func get64(b []byte) (v uint64, ok bool) {
	var bad byte
	for _, c := range b {
		d := digits[c]
		bad |= d
		v = v<<6 | uint64(d&63)
	}
	return v, bad&0xc0 == 0
}

// find parses the next stamp in a message and returns the bytes after it.
// found is false if there is none; damage describes a damaged stamp.
func (t *templates) find(message []byte, at int64) (s stamp, rest []byte, found bool, damage string) {
	m := t.remembered(message)
	if m != nil && bytes.Equal(message, m.text[:m.size]) {
		return m.stamp, message[m.rest:], true, ""
	}
	s, rest, found, damage = t.read(message, at)
	if found && damage == "" && s.run == t.run {
		t.tagAt = bytes.IndexByte(message, tag)
		if m = t.remembered(message); m != nil {
			m.size = copy(m.text[:], message)
			m.stamp, m.rest = s, len(message)-len(rest)
		}
	}
	return s, rest, found, damage
}

// memo is a message that was read. All members of a room get the same bytes,
// and to compare them costs a third of parsing them.
type memo struct {
	text  [160]byte
	size  int
	rest  int // the bytes after the stamp and its pad begin here
	stamp stamp
}

// remembered returns the memo slot of a message, nil if it has none. It uses
// digits of the stamp, at its position in the last message, that differ
// between senders and between messages of one sender.
func (t *templates) remembered(message []byte) *memo {
	if len(message) < t.tagAt+stampLen || len(message) > len(t.memory[0].text) {
		return nil
	}
	b := message[t.tagAt:]
	h := uint(b[numberAt+1])*5 + uint(b[numberAt+2])*31 + uint(b[numberAt+3])*7 + uint(b[numberAt+7]) + uint(b[timeAt+5])*13
	return &t.memory[h%uint(len(t.memory))]
}

func (t *templates) read(message []byte, at int64) (s stamp, rest []byte, found bool, damage string) {
	i := bytes.IndexByte(message, tag)
	if i < 0 {
		return s, nil, false, ""
	}
	b := message[i:]
	if len(b) < stampLen {
		return s, nil, true, fmt.Sprintf("the stamp is cut after %d bytes", len(b))
	}
	s, ok := readStamp(b, at)
	rest = b[stampLen:]
	if !ok {
		return s, rest, true, fmt.Sprintf("the stamp reads %q", b[:stampLen])
	}
	if s.run != t.run {
		return s, rest, true, "" // foreign; its pad cannot be checked
	}
	want := t.pads[t.sizeOf(s.sender, s.seq)]
	if !bytes.HasPrefix(rest, want) || len(rest) > len(want) && rest[len(want)] != '"' {
		return s, rest, true, fmt.Sprintf("number %d of sender %d has other bytes after the stamp than were sent", s.seq, s.sender)
	}
	return s, rest[len(want):], true, ""
}

// NewRunID makes the number of a run, so that two generators on one server can
// distinguish their messages. It is not 0.
func NewRunID() uint32 { return 1 + rand.Uint32N(1<<runBits-1) }
