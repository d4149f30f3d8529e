package websocket

import (
	"encoding/binary"
	"math"
)

// Limits of a Parser, shared by all connections and immutable. A value of 0 or less stands for the default.
type Limits struct {
	// MaxMessage is the largest message in bytes, the sum of its fragments: 64 KiB by default. It is also what half a
	// message can make the server hold for one connection. More ends the connection with 1009.
	MaxMessage int

	// MaxFragments is the largest number of frames in one message: 1024 by default. Each costs a header's work and may
	// be empty, so without it a message could go on for ever. More ends the connection with 1008.
	MaxFragments int
}

// Event is what Parser.Next found.
type Event uint8

// What Next may find. Messages and control frames come in the order in which they ended.
const (
	None     Event = iota // nothing is complete
	Text                  // a text message, valid UTF-8
	Binary                // a binary message
	Ping                  // a ping, to be answered with its payload
	Pong                  // a pong
	Close                 // a close frame with a valid body: see ParseClose
	Fragment              // a frame that does not end its message: nothing to deliver, but one to count
)

// firstBuffer is the most that is reserved on the word of a header alone; beyond it the buffer grows with what arrived.
const firstBuffer = 4 << 10

// Parser is the state of one connection's incoming frames. The zero value is ready.
//
// A frame that lies whole in what was read, the common case, is unmasked where it lies and handed out without a copy. Only
// what is unfinished when the bytes end is copied, unmasked, into a buffer that is given up with the message. The buffer
// holds the message so far and, behind it, the part of a control frame that came in between (RFC 6455 section 5.4): one
// buffer is enough, because a control frame never lies inside another frame.
//
// It is 64 bytes because a server holds one for every connection: no pointers but the buffer's, header bytes inline.
type Parser struct {
	buf    []byte // the unfinished message, then ctl bytes of an unfinished control frame; nil between messages
	remain int    // payload bytes of the current frame still to come
	frames int32  // frames of the unfinished message; 0 between messages
	key    uint32 // masking key, little endian, turned to the next byte

	head    [maxHeaderSize]byte // an unfinished header
	headLen uint8

	inFrame bool      // a header is complete, its payload is not
	first   byte      // of the current frame: FIN and opcode
	message Opcode    // of the unfinished message
	text    textState // of the unfinished message
	ctl     uint8     // bytes of buf that belong to an unfinished control frame
}

// Next parses p up to the end of the next frame, so it finds one event at most. n is how much of p it consumed: less than
// len(p) only with an event. The payload is the whole message, or a control frame's; it is valid until the next call and
// may alias p, which is unmasked in place.
//
// An error is the peer's violation and final: the connection must be closed with it and the Parser not used again. Events
// of earlier calls stand.
func (s *Parser) Next(p []byte, lim *Limits) (n int, ev Event, payload []byte, err *CloseError) {
	if !s.inFrame {
		n, err = s.readHeader(p, lim)
		if err != nil || !s.inFrame {
			return n, None, nil, err
		}
		p = p[n:]
	}
	m := min(len(p), s.remain)
	piece := p[:m:m] // capped: a caller that appends to a payload must not write into the next frame
	n += m

	body, fresh := s.take(piece, lim)
	if err = s.check(body, fresh); err != nil || s.remain > 0 {
		return n, None, nil, err
	}
	s.inFrame = false
	ev = s.finish()
	if ev == Fragment {
		return n, ev, nil, nil
	}
	return n, ev, body, nil
}

// Partial reports whether the peer owes bytes: a frame or a fragmented message is unfinished.
func (s *Parser) Partial() bool {
	return s.inFrame || s.headLen > 0 || s.frames > 0
}

// Buffered is the memory in bytes that the unfinished message or frame holds beside the Parser itself.
func (s *Parser) Buffered() int {
	return cap(s.buf)
}

// readHeader consumes header bytes of p, at most to the end of the header; s.inFrame tells whether it is complete. Of a
// header that is refused it consumes nothing.
func (s *Parser) readHeader(p []byte, lim *Limits) (n int, err *CloseError) {
	kept := int(s.headLen)
	h := p
	if kept > 0 {
		h = s.head[:kept+copy(s.head[kept:], p)]
	}
	size, err := s.parseHeader(h, lim)
	if err != nil {
		return 0, err
	}
	if size == 0 {
		if kept == 0 {
			copy(s.head[:], p)
		}
		s.headLen = uint8(len(h))
		return len(p), nil
	}
	s.headLen = 0
	s.inFrame = true
	return size - kept, nil
}

// parseHeader judges the bytes of a header in their order, as many as have come (RFC 6455 section 5.2). It returns the
// header's size once it is complete and has been taken over into s, else 0.
func (s *Parser) parseHeader(h []byte, lim *Limits) (size int, err *CloseError) {
	if len(h) == 0 {
		return 0, nil
	}
	if err := s.checkFirst(h[0], lim); err != nil {
		return 0, err
	}
	if len(h) < 2 {
		return 0, nil
	}
	if h[1]&maskBit == 0 { // section 5.1: a client must mask
		return 0, errUnmasked
	}
	op := Opcode(h[0] & opcodeBits)
	if op&controlBit != 0 {
		length := h[1] & lengthBits
		if length > maxControl { // section 5.5
			return 0, errControlTooLong
		}
		if op == OpClose && length == 1 { // section 5.5.1: a body begins with a code of two bytes
			return 0, errCloseBody
		}
	}
	length, size, err := payloadLength(h)
	if size == 0 {
		return 0, err
	}
	// Compared as unsigned and against what is left, so that no length and no sum can overflow.
	if op&controlBit == 0 && length > uint64(lim.maxMessage()-len(s.buf)) {
		return 0, errTooBig
	}
	if len(h) < size+maskKeySize {
		return 0, nil
	}
	s.key = binary.LittleEndian.Uint32(h[size:])
	s.first = h[0]
	s.remain = int(length)
	switch op {
	case OpText, OpBinary:
		s.message = op
		s.frames = 1
	case OpContinuation:
		s.frames++
	default: // a control frame leaves the message alone
	}
	return size + maskKeySize, nil
}

// checkFirst judges a frame's first byte.
func (s *Parser) checkFirst(b byte, lim *Limits) *CloseError {
	if b&rsvBits != 0 { // section 5.2: zero unless an extension was negotiated
		return errReservedBits
	}
	switch op := Opcode(b & opcodeBits); op {
	case OpText, OpBinary:
		if s.frames > 0 { // section 5.4: fragments of two messages must not be interleaved
			return errInsideMessage
		}
	case OpContinuation:
		if s.frames == 0 { // section 5.4
			return errStrayContinue
		}
		if int(s.frames) >= lim.maxFragments() {
			return errTooManyFrames
		}
	case OpClose, OpPing, OpPong:
		if b&finBit == 0 { // section 5.4
			return errFragmentControl
		}
	default: // section 5.2
		return errReservedOpcode
	}
	return nil
}

// payloadLength reads the length of a header of at least two bytes, and the header's size without the masking key: 0 if
// the length is not complete or not allowed (RFC 6455 section 5.2).
func payloadLength(h []byte) (length uint64, size int, err *CloseError) {
	switch short := h[1] & lengthBits; short {
	default:
		return uint64(short), 2, nil
	case length16:
		if len(h) < 4 {
			return 0, 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(h[2:]))
		if length < length16 {
			return 0, 0, errLengthNotMinimal
		}
		return length, 4, nil
	case length64:
		if len(h) < 10 {
			return 0, 0, nil
		}
		length = binary.BigEndian.Uint64(h[2:])
		if length>>63 != 0 {
			return 0, 0, errLengthTopBit
		}
		if length < 1<<16 {
			return 0, 0, errLengthNotMinimal
		}
		return length, 10, nil
	}
}

// take unmasks a piece of the current frame's payload. It returns the unit so far, which is the message or the control
// frame, and the part of it that is fresh. Where nothing came before and nothing is missing both are the piece itself.
func (s *Parser) take(piece []byte, lim *Limits) (body, fresh []byte) {
	whole := len(piece) == s.remain
	control := s.control()
	if whole && (control && s.ctl == 0 || !control && s.first&finBit != 0 && len(s.buf) == 0) {
		s.remain = 0
		s.key = unmask(piece, s.key)
		return piece, piece
	}
	s.reserve(len(piece), lim)
	s.remain -= len(piece)
	s.buf = append(s.buf, piece...)
	fresh = s.buf[len(s.buf)-len(piece):]
	s.key = unmask(fresh, s.key)
	if control {
		s.ctl += uint8(len(piece))
		return s.buf[len(s.buf)-int(s.ctl) : len(s.buf) : len(s.buf)], fresh
	}
	return s.buf, fresh
}

// reserve makes room for n more bytes of the current frame. It doubles, so that many small pieces cost little copying, but
// never reserves more than the message can come to: what the final frame announces, or else the largest message.
func (s *Parser) reserve(n int, lim *Limits) {
	need := len(s.buf) + n
	if need <= cap(s.buf) {
		return
	}
	announced := len(s.buf) + s.remain
	most := announced
	if s.first&finBit == 0 {
		most = max(announced, lim.maxMessage())
	}
	size := min(most, max(need, 2*cap(s.buf), min(announced, firstBuffer)))
	grown := make([]byte, len(s.buf), size)
	copy(grown, s.buf)
	s.buf = grown
}

// check judges the payload as far as it has come: text and close reasons are the only ones with rules (RFC 6455
// sections 5.5.1, 5.6 and 8.1). It looks at what is fresh, so a violation is found in the call that brings it.
func (s *Parser) check(body, fresh []byte) *CloseError {
	if s.control() {
		if Opcode(s.first&opcodeBits) == OpClose {
			return checkClose(body, s.remain == 0)
		}
		return nil
	}
	if s.message != OpText {
		return nil
	}
	if !s.text.next(fresh) {
		return errText
	}
	if s.remain == 0 && s.first&finBit != 0 && s.text != textComplete {
		return errText
	}
	return nil
}

// finish ends the current frame and gives up what it held. The caller's body stays readable: the buffer is either the
// caller's now, or not written to before the next call.
func (s *Parser) finish() Event {
	switch Opcode(s.first & opcodeBits) {
	case OpClose:
		s.dropControl()
		return Close
	case OpPing:
		s.dropControl()
		return Ping
	case OpPong:
		s.dropControl()
		return Pong
	default:
		if s.first&finBit == 0 {
			return Fragment
		}
		s.buf = nil
		s.frames = 0
		if s.message == OpText {
			return Text
		}
		return Binary
	}
}

// dropControl takes a finished control frame off the end of the buffer.
func (s *Parser) dropControl() {
	s.buf = s.buf[:len(s.buf)-int(s.ctl)]
	s.ctl = 0
	if s.frames == 0 {
		s.buf = nil
	}
}

// control reports whether the current frame is a control frame (RFC 6455 section 5.5).
func (s *Parser) control() bool {
	return s.first&controlBit != 0
}

func (l *Limits) maxMessage() int {
	if l.MaxMessage <= 0 {
		return defaultBytes
	}
	return l.MaxMessage
}

func (l *Limits) maxFragments() int {
	if l.MaxFragments <= 0 {
		return defaultFrames
	}
	return min(l.MaxFragments, math.MaxInt32) // Parser counts in 32 bits
}
