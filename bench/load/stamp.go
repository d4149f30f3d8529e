package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"dotsconnect/bench/client"
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
// A receiver finds the stamp by its tag. The size of a message follows from its
// sender and number, so the receiver also knows the pad. The bytes around it
// follow from the server's template. And the intended time must be the one at
// which this message was due (sends.go). So the receiver knows every byte of a
// message, and finds any changed, missing or added byte without a checksum.
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
	late             int64 // how long after its intended time the message was sent; -1: not known
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
	return stamp{uint32(run), uint32(number >> seqBits), uint32(number & (1<<seqBits - 1)), (now - age) * 1000, -1}, ok1 && ok2 && ok3
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

// finding says what find has found in a message.
type finding uint8

const (
	unstamped  finding = iota // the message has no stamp
	otherRun                  // the message belongs to another run
	unreadable                // the stamp is damaged, so nobody knows which message this was
	damaged                   // the stamp is right, but other bytes are damaged
	intact
)

// find parses a message: its stamp, and whether all of its bytes are those that
// the server should have sent. damage describes the damage.
func (t *templates) find(op byte, message []byte, at int64) (s stamp, f finding, damage string) {
	i := t.index(message)
	if i >= 0 && op == client.OpText {
		if m := &t.memory[i]; string(message) == string(m.text[:m.size]) {
			return m.stamp, intact, ""
		}
		if m := &t.memory[i^1]; string(message) == string(m.text[:m.size]) {
			return m.stamp, intact, ""
		}
	}
	s, f, damage = t.read(message, at)
	switch {
	case f != intact:
	case op != client.OpText:
		f, damage = damaged, fmt.Sprintf("number %d of sender %d: a binary message, although a text was sent", s.seq, s.sender)
	default:
		t.tagAt = bytes.IndexByte(message, tag)
		if i = t.index(message); i >= 0 {
			m := &t.memory[i]
			t.memory[i^1] = *m
			m.size, m.stamp = copy(m.text[:], message), s
		}
	}
	return s, f, damage
}

// memo remembers a message that was parsed. All members of a room get the same
// bytes, and comparing a message with a memo costs a third of parsing it.
type memo struct {
	text  [160]byte
	size  int
	stamp stamp
}

// index returns the index of the memo in which a message is stored if it was
// parsed before, or -1 if the message is too short or too long for one. The memo
// beside it, at index^1, has an earlier message with the same index. The index
// is a hash of the sender and the number; the stamp is assumed to be at the same
// position as in the last message.
func (t *templates) index(message []byte) int {
	if len(message) < t.tagAt+stampLen || len(message) > len(t.memory[0].text) {
		return -1
	}
	number := binary.LittleEndian.Uint64(message[t.tagAt+numberAt:])
	return int(number * 0x9e3779b97f4a7c15 >> 32 % uint64(len(t.memory)))
}

func (t *templates) read(message []byte, at int64) (s stamp, f finding, damage string) {
	i := bytes.IndexByte(message, tag)
	if i < 0 {
		return s, unstamped, ""
	}
	b := message[i:]
	if len(b) < stampLen {
		return s, unreadable, fmt.Sprintf("the stamp ends after %d bytes", len(b))
	}
	s, ok := readStamp(b, at)
	switch {
	case !ok:
		return s, unreadable, fmt.Sprintf("the stamp is %q", b[:stampLen])
	case s.run != t.run:
		return s, otherRun, ""
	}
	if t.sent != nil {
		if s.late, ok = t.sent(s); !ok {
			return s, unreadable, fmt.Sprintf("the stamp %q says number %d of sender %d, due %d us after boot, but no such message was sent",
				b[:stampLen], s.seq, s.sender, s.intended/1000)
		}
	}
	want, rest, room := t.pads[t.sizeOf(s.sender, s.seq)], b[stampLen:], ""
	if t.receive.named && int(s.sender) < len(t.roomOf) {
		room = t.room(t.roomOf[s.sender])
	}
	switch {
	case !bytes.HasPrefix(rest, want):
		damage = "the bytes after the stamp differ from the bytes that were sent"
	case !match(t.receive.before, message[:i], room):
		damage = fmt.Sprintf("the bytes before the stamp are %.100q", message[:i])
	case !match(t.receive.after, rest[len(want):], room):
		damage = fmt.Sprintf("the bytes after the text are %.100q", rest[len(want):])
	default:
		return s, intact, ""
	}
	return s, damaged, fmt.Sprintf("number %d of sender %d: %s", s.seq, s.sender, damage)
}

// NewRunID returns a random number for a run, never 0. Each message carries it,
// so that two runs on one server can tell their messages apart.
func NewRunID() uint32 { return 1 + rand.Uint32N(1<<runBits-1) }
