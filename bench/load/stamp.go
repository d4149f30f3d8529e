package load

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"dotsconnect/bench/client"
)

// A message carries who sent it, which one it is, and when it should have been
// sent, in ASCII of fixed width that no JSON encoder touches:
//
//	{"message":"~DB1 0000002a 00000007 000001f4 0000045c8e7d6f3b abcdef…"}
//	                 run      sender   seq      intended, ns     pad
//
// It is found by its tag, so the envelope that a server puts around it does not
// matter. The pad is known, so a changed byte is found without a checksum: each
// message's size follows from its sender and number.
const (
	tag      = "~DB1 "
	before   = `{"message":"`
	after    = `"}`
	runAt    = len(tag)
	senderAt = runAt + 9
	seqAt    = senderAt + 9
	timeAt   = seqAt + 9
	stampLen = timeAt + 16
	overhead = len(before) + stampLen + len(after)
)

type stamp struct {
	run, sender, seq uint32
	intended         int64
}

// pad is what messages are filled up with: a blank, then letters whose order
// would show a byte that is missing.
func pad(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	if n > 0 {
		b[0] = ' '
	}
	return b
}

// templates are rendered and masked frames, one for each size, into which the
// stamp of a message is written. Rendering each message anew would cost the
// generator more than sending it.
type templates struct {
	run    uint32
	sizes  []int
	frames [][]byte
	pad    []byte
	text   [stampLen]byte // the stamp in the clear
}

func newTemplates(run uint32, sizes []int) *templates {
	t := &templates{run: run, sizes: sizes}
	longest := 0
	for _, n := range sizes {
		longest = max(longest, n)
	}
	t.pad = pad(longest - overhead)
	for _, n := range sizes {
		message := append([]byte(before), make([]byte, stampLen)...)
		message = append(message, t.pad[:n-overhead]...)
		t.frames = append(t.frames, client.AppendFrame(nil, client.OpText, append(message, after...)))
	}
	return t
}

// sizeOf is which of the sizes a message has.
func (t *templates) sizeOf(sender, seq uint32) int {
	if len(t.sizes) == 1 {
		return 0
	}
	return int((sender*0x9e3779b1 + seq*0x85ebca6b) >> 8 % uint32(len(t.sizes)))
}

// frame is the frame of a message, valid until the next call.
func (t *templates) frame(s stamp) []byte {
	which := t.sizeOf(s.sender, s.seq)
	f := t.frames[which]
	text := append(t.text[:0], tag...)
	for _, v := range [3]uint32{s.run, s.sender, s.seq} {
		text = append(appendHex(text, uint64(v), 8), ' ')
	}
	appendHex(text, uint64(s.intended), 16)
	// RFC 6455 section 5.3: the four bytes before the payload are the mask.
	payloadAt := len(f) - t.sizes[which]
	mask := f[payloadAt-4 : payloadAt]
	for i, b := range t.text {
		at := len(before) + i
		f[payloadAt+at] = b ^ mask[at&3]
	}
	return f
}

// find reads the stamp of a message: found is false if it has none, and damage
// says what is wrong with one that it has.
func (t *templates) find(message []byte) (s stamp, found bool, damage string) {
	at := bytes.Index(message, []byte(tag))
	if at < 0 {
		return s, false, ""
	}
	b := message[at:]
	if len(b) < stampLen {
		return s, true, fmt.Sprintf("the stamp is cut after %d bytes", len(b))
	}
	run, ok1 := parseHex(b[runAt : runAt+8])
	sender, ok2 := parseHex(b[senderAt : senderAt+8])
	seq, ok3 := parseHex(b[seqAt : seqAt+8])
	intended, ok4 := parseHex(b[timeAt : timeAt+16])
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return s, true, fmt.Sprintf("the stamp reads %q", b[:stampLen])
	}
	s = stamp{uint32(run), uint32(sender), uint32(seq), int64(intended)}
	if s.run != t.run {
		return s, true, "" // foreign; its pad is not ours to judge
	}
	want := t.pad[:t.sizes[t.sizeOf(s.sender, s.seq)]-overhead]
	if rest := b[stampLen:]; !bytes.HasPrefix(rest, want) || len(rest) > len(want) && rest[len(want)] != '"' {
		return s, true, fmt.Sprintf("number %d of sender %d has other bytes behind the stamp than were sent", s.seq, s.sender)
	}
	return s, true, ""
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	const hex = "0123456789abcdef"
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hex[v>>shift&15])
	}
	return dst
}

// nibbles is the value of each lower case digit; a changed letter is a changed
// byte.
var nibbles = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	return t
}()

func parseHex(b []byte) (v uint64, ok bool) {
	var bad byte
	for _, c := range b {
		n := nibbles[c]
		bad |= n
		v = v<<4 | uint64(n&15)
	}
	return v, bad&0xf0 == 0
}

// runID makes the number of a run from a time and a process, so that two
// generators on one server tell their messages apart.
func runID(now int64, pid int) uint32 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(now))
	binary.LittleEndian.PutUint64(b[8:], uint64(pid))
	h := uint32(2166136261) // FNV-1a
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}
