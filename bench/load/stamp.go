package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// A message carries its run, its sender, its number, and the time at which it
// was due. They are written in ASCII characters that no JSON encoder changes,
// with a fixed width:
//
//	{"message":"~rrrIIIIIIIIttttttpad…"}
//	            run  |       |
//	                 sender and number
//	                         intended time
//
// All numbers are in base 64 (RFC 4648 section 5). The run has three digits.
// Sender (21 bits) and number (27 bits) have eight digits together. The
// intended time has six: the lower 36 bits of its microseconds. The receiver
// gets the upper bits from the time of arrival. So even a message of 32 bytes
// has room for a stamp, and parsing a stamp takes a tenth of the time of
// reading the message from the kernel.
//
// A receiver finds the stamp by its tag, so it does not matter which envelope a
// server puts around it. The size of a message follows from its sender and
// number, so the receiver also knows the pad and finds a changed byte without a
// checksum.
const (
	tag      = '~'
	runAt    = 1
	numberAt = runAt + 3
	timeAt   = numberAt + 8
	stampLen = timeAt + 6

	envelope = len(`{"message":""}`) // the bytes of a message that do not belong to the payload

	runBits    = 18
	seqBits    = 27
	senderBits = 21
	timeBits   = 36
)

// stamp identifies a message and has the time at which it was due. intended is
// in nanoseconds, but always a multiple of a microsecond.
type stamp struct {
	run, sender, seq uint32
	intended         int64
}

// put writes the stamp, encoded, into b.
func (s stamp) put(b *[stampLen]byte) {
	b[0] = tag
	put64(b[runAt:numberAt], uint64(s.run))
	put64(b[numberAt:timeAt], uint64(s.sender)<<seqBits|uint64(s.seq))
	put64(b[timeAt:], uint64(s.intended/1000)&(1<<timeBits-1))
}

// readStamp parses the stamp at the start of b. at is the time when the message
// arrived.
func readStamp(b []byte, at int64) (s stamp, ok bool) {
	_ = b[stampLen-1]
	run, ok1 := get64(b[runAt:numberAt])
	number, ok2 := get64(b[numberAt:timeAt])
	us, ok3 := get64(b[timeAt:stampLen])
	// Of all times with these lower bits, take the one nearest to the arrival.
	// This time is correct for messages that take less than nine hours, half of
	// the range.
	const half = 1 << (timeBits - 1)
	now := at / 1000
	age := (now-int64(us)+half)&(1<<timeBits-1) - half
	return stamp{uint32(run), uint32(number >> seqBits), uint32(number & (1<<seqBits - 1)), (now - age) * 1000}, ok1 && ok2 && ok3
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// digits has the value of each byte as a digit, and 0xff for bytes that are not
// digits.
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

// find parses the first stamp in message, and returns the bytes after its pad.
// found is false if message has no stamp. damage is not empty if the stamp or
// its pad is damaged.
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

// memo remembers a message that was parsed. All members of a room get the same
// bytes, and comparing a message with a memo costs a third of parsing it.
type memo struct {
	text  [160]byte
	size  int
	rest  int // position of the first byte after the stamp and its pad
	stamp stamp
}

// remembered returns the memo in which a message is stored if it was parsed
// before, or nil if the message is too short or too long for one. It computes
// the index of the memo from digits of the stamp that differ between messages.
// It assumes that the stamp is at the same position as in the last message.
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
		return s, nil, true, fmt.Sprintf("the stamp ends after %d bytes", len(b))
	}
	s, ok := readStamp(b, at)
	rest = b[stampLen:]
	if !ok {
		return s, rest, true, fmt.Sprintf("the stamp is %q", b[:stampLen])
	}
	if s.run != t.run {
		return s, rest, true, "" // a message of another run, whose pad is not known
	}
	want := t.pads[t.sizeOf(s.sender, s.seq)]
	if !bytes.HasPrefix(rest, want) || len(rest) > len(want) && rest[len(want)] != '"' {
		return s, rest, true, fmt.Sprintf("number %d of sender %d: the bytes after the stamp differ from the bytes that were sent", s.seq, s.sender)
	}
	return s, rest[len(want):], true, ""
}

// NewRunID returns a random number for a run, never 0. Each message carries it,
// so that two runs on one server can tell their messages apart.
func NewRunID() uint32 { return 1 + rand.Uint32N(1<<runBits-1) }
