package protocol

import (
	"slices"
	"strconv"

	"dotsconnect/server/websocket"
)

// MessageV2 is a publication as members of version 2 get it. It has its id, the name of the room on a connection with many rooms,
// and the sender's tag and ref if the sender asked for an acknowledgement. The value comes last, so that it is one piece of the
// frame. As in version 1, the sizes are exact.
type MessageV2 struct {
	Position    Position
	HasPosition bool   // false: the publication was delivered on this node alone, and has no place in the common order
	Room        string // "": not said
	Me, Ref     uint64 // of the sender; said if Ref is not 0
	Value       []byte // valid JSON, sent unchanged
}

const (
	idOpen      = `"id":"`
	roomOpen    = `"room":`
	fromOpen    = `"from":"`
	refOpen     = `","ref":`
	messageOpen = `"message":`

	idPart      = len(idOpen) + PositionSize + len(`",`)
	roomPart    = len(roomOpen) + len(`,`)                         // without the quoted name
	fromPart    = len(fromOpen) + MeSize + len(refOpen) + len(`,`) // without the digits of the ref
	messagePart = len(`{`) + len(messageOpen) + len(`}`)
)

// Size returns the number of bytes that Append appends.
func (m *MessageV2) Size() int { return SizeRaw(m.objectSize()) }

// Append appends the text frame {"id":ID,"room":ROOM,"from":ME,"ref":REF,"message":VALUE}, without the keys that m does not have.
func (m *MessageV2) Append(dst []byte) []byte {
	dst = websocket.AppendHeader(dst, websocket.OpText, m.objectSize())
	return m.AppendObject(dst)
}

// SetPosition writes another position into a frame that Append has made of a message with a position.
func SetPosition(frame []byte, p Position) {
	header := 2
	switch frame[1] {
	case 126:
		header = 4
	case 127:
		header = 10
	}
	p.Append(frame[:header+len(`{`)+len(idOpen)])
}

// AppendObject appends the frame of Append without its header.
func (m *MessageV2) AppendObject(dst []byte) []byte {
	dst = append(dst, '{')
	if m.HasPosition {
		dst = append(dst, idOpen...)
		dst = m.Position.Append(dst)
		dst = append(dst, `",`...)
	}
	if m.Room != "" {
		dst = append(dst, roomOpen...)
		dst = appendString(dst, m.Room)
		dst = append(dst, ',')
	}
	if m.Ref > 0 {
		dst = append(dst, fromOpen...)
		dst = AppendMe(dst, m.Me)
		dst = append(dst, refOpen...)
		dst = strconv.AppendUint(dst, m.Ref, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, messageOpen...)
	dst = append(dst, m.Value...)
	return append(dst, '}')
}

func (m *MessageV2) objectSize() int {
	n := messagePart + len(m.Value)
	if m.HasPosition {
		n += idPart
	}
	if m.Room != "" {
		var quoted [6*MaxRoomBytes + 2]byte
		n += roomPart + len(appendString(quoted[:0], m.Room))
	}
	if m.Ref > 0 {
		n += fromPart + digits(m.Ref)
	}
	return n
}

// digits returns the number of decimal digits of n.
func digits(n uint64) int {
	count := 1
	for ; n >= 10; n /= 10 {
		count++
	}
	return count
}

// endText turns the bytes of dst from begin on into a text frame: it moves them to make room for the header. The caller writes
// the payload first because it does not know its length.
func endText(dst []byte, begin int) []byte {
	n := len(dst) - begin
	header := websocket.HeaderSize(n)
	dst = slices.Grow(dst, header)[:len(dst)+header]
	copy(dst[begin+header:], dst[begin:begin+n])
	websocket.AppendHeader(dst[:begin], websocket.OpText, n)
	return dst
}
