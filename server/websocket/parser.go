package websocket

import (
	"encoding/binary"
	"math"
)

// Limits of a Parser. They are immutable and shared by all connections. Each call of Next may use other limits. A value of 0 or
// less stands for the default.
type Limits struct {
	// MaxMessage is the size of the largest message in bytes, summed over its fragments: 64 KiB by default. It also limits the
	// memory for the unfinished message of a connection. A larger message ends the connection with 1009.
	MaxMessage int

	// MaxFragments is the largest number of frames in one message: 1024 by default. Each frame costs work for its header and
	// may be empty, so without this limit a message could go on without end. More frames end the connection with 1008.
	MaxFragments int
}

// Event is the result of Parser.Next.
type Event uint8

// The events. Messages and control frames come in the order in which they end.
const (
	None     Event = iota // nothing is complete
	Text                  // a text message, valid UTF-8
	Binary                // a binary message
	Ping                  // a ping, to be answered with its payload
	Pong                  // a pong
	Close                 // a close frame with a valid body: see ParseClose
	Fragment              // a frame that does not end its message: nothing is delivered, but the caller may count it
)

// Parser is the state of one connection's incoming frames. The zero value is ready.
//
// Usually the bytes that were read contain a complete frame; the Parser unmasks it there and returns it without a copy. Only an
// unfinished frame or message is copied and kept until the message is complete. A server has a Parser for every connection, so
// between messages a Parser is only a nil pointer.
type Parser struct {
	kept *unfinished // nil: nothing is unfinished
}

// unfinished is a frame that has begun, or a message that needs more frames.
type unfinished struct {
	body    chunks // the unfinished message
	control []byte // payload of a control frame, which may come between fragments (RFC 6455 section 5.4)
	remain  int    // payload bytes of the current frame that are still to come
	frames  int32  // frames of the unfinished message so far; 0 between messages
	key     uint32 // masking key, little endian, rotated for the next byte

	head    [maxHeaderSize]byte // the bytes of an unfinished header
	headLen uint8

	inFrame bool      // a header is complete, but its payload is not
	first   byte      // first byte of the current frame: FIN and opcode
	message Opcode    // opcode of the unfinished message
	text    textState // state of the unfinished message, if it is a text
}

// Next parses p up to the end of the next frame, so it returns at most one event. n is the number of bytes of p that it
// consumed. Without an event and an error, n is len(p). The payload is that of the whole message or of the control frame. It is
// valid until the next call and may share the memory of p, which Next unmasks in place.
//
// An error is a violation by the peer, and final: the connection must be closed with this error, and the Parser must not be
// used again. Events of earlier calls remain valid.
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

// Partial reports whether a frame or a fragmented message is unfinished, so that the peer still has to send bytes.
func (s *Parser) Partial() bool { return s.kept != nil }

// Buffered returns the memory of the unfinished message or frame in bytes, without the Parser itself.
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

// whole reports whether a piece of payload is a complete message or control frame.
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

// readHeader consumes header bytes of p, at most to the end of the header. Afterwards s.inFrame says whether the header is
// complete. If it refuses a header, it consumes no byte of this header.
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

// parseHeader checks the bytes of a header that have arrived, in their order (RFC 6455 section 5.2). If the header is complete,
// it stores it in s and returns its size. Otherwise it returns 0.
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
		if length > maxControl { // section 5.5: the limit of a control frame
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
	// The comparison is unsigned, and uses the number of bytes that the message may still get. So neither a length nor a sum
	// can overflow.
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
	default: // a control frame does not change the message
	}
	return size + maskKeySize, nil
}

// checkFirst checks the first byte of a frame.
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

// payloadLength reads the length from a header of at least two bytes. It also returns the header's size without the masking key,
// or 0 if the length is incomplete or not allowed (RFC 6455 section 5.2).
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
	most := s.body.size + len(piece) + s.remain // exact in a final frame, whose header announces the size
	if s.first&finBit == 0 {
		most = max(most, lim.maxMessage())
	}
	s.body.append(piece, most)
}

// check checks a piece of unmasked payload: only texts and close frames have rules (RFC 6455 sections 5.5.1, 5.6 and 8.1). It
// finds a violation as soon as the piece that contains it has arrived.
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

// taken returns the stored payload. It then belongs to the caller.
func (s *unfinished) taken() (payload []byte) {
	if s.isControl() {
		payload, s.control = s.control, nil
		return payload
	}
	return s.body.join()
}

// event returns the event of the current frame at its end.
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
	return min(l.MaxFragments, math.MaxInt32) // Parser counts frames in 32 bits
}
