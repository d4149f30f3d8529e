package websocket

import (
	"encoding/binary"
	"math"
)

// Limits of a Parser, shared by all connections and immutable; another one may be given at each call. A value of 0 or less stands for the default.
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

// Parser is the state of one connection's incoming frames. The zero value is ready.
//
// A frame that lies whole in what was read, the common case, is unmasked where it lies and handed out without a copy. Only
// what is unfinished when the bytes end is kept, unmasked, until the message is whole. A server holds a Parser for every
// connection, so between frames it is a nil pointer.
type Parser struct {
	kept *unfinished // nil: the peer owes nothing
}

// unfinished is a frame that has begun, or a message of which frames are still to come.
type unfinished struct {
	body    chunks // the unfinished message
	control []byte // of a control frame that came between its fragments (RFC 6455 section 5.4), or alone
	remain  int    // payload bytes of the current frame still to come
	frames  int32  // frames of the unfinished message; 0 between messages
	key     uint32 // masking key, little endian, turned to the next byte

	head    [maxHeaderSize]byte // an unfinished header
	headLen uint8

	inFrame bool      // a header is complete, its payload is not
	first   byte      // of the current frame: FIN and opcode
	message Opcode    // of the unfinished message
	text    textState // of the unfinished message
}

// Next parses p up to the end of the next frame, so it finds one event at most. n is how much of p it consumed: less than
// len(p) only with an event. The payload is the whole message, or a control frame's; it is valid until the next call and
// may alias p, which is unmasked in place.
//
// An error is the peer's violation and final: the connection must be closed with it and the Parser not used again. Events
// of earlier calls stand.
func (s *Parser) Next(p []byte, lim *Limits) (n int, ev Event, payload []byte, err *CloseError) {
	if s.kept == nil {
		var u unfinished // on the stack: most frames are whole
		n, ev, payload, err = u.next(p, lim)
		if u.partial() {
			s.kept = new(unfinished)
			*s.kept = u
		}
		return n, ev, payload, err
	}
	n, ev, payload, err = s.kept.next(p, lim)
	if !s.kept.partial() {
		s.kept = nil
	}
	return n, ev, payload, err
}

// Partial reports whether the peer owes bytes: a frame or a fragmented message is unfinished.
func (s *Parser) Partial() bool { return s.kept != nil }

// Buffered is the memory in bytes that the unfinished message or frame holds beside the Parser itself.
func (s *Parser) Buffered() int {
	if s.kept == nil {
		return 0
	}
	return s.kept.body.reserved() + cap(s.kept.control)
}

func (s *unfinished) partial() bool { return s.inFrame || s.headLen > 0 || s.frames > 0 }

func (s *unfinished) next(p []byte, lim *Limits) (n int, ev Event, payload []byte, err *CloseError) {
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
	whole := s.whole(piece)
	s.key = unmask(piece, s.key)
	s.remain -= m
	if err = s.check(piece); err != nil {
		return n, None, nil, err
	}
	if !whole {
		s.keep(piece, lim)
	}
	if s.remain > 0 {
		return n, None, nil, nil
	}
	s.inFrame = false
	if ev = s.event(); ev == Fragment {
		return n, ev, nil, nil
	}
	if payload = piece; !whole {
		payload = s.taken()
	}
	if !s.isControl() {
		s.body, s.frames = chunks{}, 0
	}
	return n, ev, payload, nil
}

// whole reports whether a piece is all that there is of a message or control frame.
func (s *unfinished) whole(piece []byte) bool {
	switch {
	case len(piece) < s.remain:
		return false
	case s.isControl():
		return len(s.control) == 0
	default:
		return s.first&finBit != 0 && s.body.size == 0
	}
}

// readHeader consumes header bytes of p, at most to the end of the header; s.inFrame tells whether it is complete. Of a
// header that is refused it consumes nothing.
func (s *unfinished) readHeader(p []byte, lim *Limits) (n int, err *CloseError) {
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
func (s *unfinished) parseHeader(h []byte, lim *Limits) (size int, err *CloseError) {
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
	if op&controlBit == 0 && length > uint64(max(lim.maxMessage()-s.body.size, 0)) {
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
func (s *unfinished) checkFirst(b byte, lim *Limits) *CloseError {
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

// keep stores a piece of the current frame's payload.
func (s *unfinished) keep(piece []byte, lim *Limits) {
	if s.isControl() {
		s.control = append(s.control, piece...)
		return
	}
	most := s.body.size + len(piece) + s.remain // what the final frame announces
	if s.first&finBit == 0 {
		most = max(most, lim.maxMessage())
	}
	s.body.append(piece, most)
}

// check judges a piece of the payload, unmasked: text and close reasons are the only ones with rules (RFC 6455 sections
// 5.5.1, 5.6 and 8.1). A violation is found in the call that brings it.
func (s *unfinished) check(piece []byte) *CloseError {
	if s.isControl() {
		if Opcode(s.first&opcodeBits) != OpClose {
			return nil
		}
		if len(s.control) > 0 {
			piece = append(s.control, piece...)
		}
		return checkClose(piece, s.remain == 0)
	}
	if s.message != OpText {
		return nil
	}
	if !s.text.next(piece) {
		return errText
	}
	if s.remain == 0 && s.first&finBit != 0 && s.text != textComplete {
		return errText
	}
	return nil
}

// taken is the payload that was kept, the caller's from here on.
func (s *unfinished) taken() (payload []byte) {
	if s.isControl() {
		payload, s.control = s.control, nil
		return payload
	}
	return s.body.join()
}

// event is what the current frame is at its end.
func (s *unfinished) event() Event {
	switch op := Opcode(s.first & opcodeBits); {
	case op == OpClose:
		return Close
	case op == OpPing:
		return Ping
	case op == OpPong:
		return Pong
	case s.first&finBit == 0:
		return Fragment
	case s.message == OpText:
		return Text
	default:
		return Binary
	}
}

// isControl reports whether the current frame is a control frame (RFC 6455 section 5.5).
func (s *unfinished) isControl() bool {
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
