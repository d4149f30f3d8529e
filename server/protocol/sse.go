package protocol

import (
	"bytes"
	"strconv"
)

// Server-Sent Events (the stream of an EventSource) carry the objects of version 2, one in each event. The id of the object is also the id
// of the event, so that an EventSource that reconnects names it in Last-Event-ID. A line of the stream ends at CR or LF. In JSON these
// bytes are white space, so they become spaces, and the length of a value does not change.

const (
	sseID    = "id: "
	sseData  = "data: "
	sseEnd   = "\n\n"
	sseRetry = "retry: "

	// SSEComment is an event without content. It keeps a stream open that has nothing to say.
	SSEComment = ":" + sseEnd

	// sseEnded comes before the code in the id of the last event of a stream that must not be opened again.
	sseEnded = "end-"
)

// SizeSSE returns the number of bytes that AppendSSE appends.
func (m *MessageV2) SizeSSE() int {
	n := len(sseData) + m.objectSize() + len(sseEnd)
	if m.HasPosition {
		n += len(sseID) + PositionSize + len("\n")
	}
	return n
}

// AppendSSE appends the publication as an event with the object of AppendObject.
func (m *MessageV2) AppendSSE(dst []byte) []byte {
	if m.HasPosition {
		dst = appendSSEID(dst, &m.Position)
	}
	dst = append(dst, sseData...)
	begin := len(dst)
	dst = m.AppendObject(dst)
	joinLines(dst[begin:])
	return append(dst, sseEnd...)
}

// AppendSSEFrame appends the object of a text frame, made by another function of this package, as an event. p is the id of the object, or
// nil.
func AppendSSEFrame(dst []byte, p *Position, frame []byte) []byte {
	dst = appendSSEID(dst, p)
	dst = append(dst, sseData...)
	dst = append(dst, TextOf(frame)...)
	return append(dst, sseEnd...)
}

// AppendSSEOpen appends the first event of a stream: that of AppendOpen without what concerns only clients that send. A client whose
// connection breaks reconnects after retry milliseconds.
func AppendSSEOpen(dst []byte, o *Open, retry int) []byte {
	dst = appendSSERetry(dst, retry)
	var p *Position
	if o.HasPosition {
		p = &o.Position
		dst = appendSSEID(dst, p)
	} else {
		dst = append(dst, sseID+"none\n"...) // a client that comes back with it is not resumed, and is told so
	}
	dst = append(dst, sseData+`{"event":"open","v":2`...)
	dst = appendID(dst, p)
	if o.Resumed != nil {
		dst = append(dst, `,"resumed":`...)
		dst = strconv.AppendBool(dst, *o.Resumed)
	}
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(o.Count), 10)
	return append(dst, `}`+sseEnd...)
}

// AppendSSERetry appends a stream's last event, after which the client reconnects in retry milliseconds. comment is for people who read
// the stream.
func AppendSSERetry(dst []byte, retry int, comment string) []byte {
	dst = appendSSERetry(dst, retry)
	return append(append(append(dst, ": "...), comment...), sseEnd...)
}

// AppendSSEError appends a stream's last event, an error. The client reconnects after retry milliseconds. If retry is 0, the client must
// not come back: it names the id of this event if it does (IsSSEEnd).
func AppendSSEError(dst []byte, e *ErrorEvent, retry int) []byte {
	if retry > 0 {
		dst = appendSSERetry(dst, retry)
	} else {
		dst = append(strconv.AppendInt(append(dst, sseID+sseEnded...), int64(e.Code), 10), '\n')
	}
	return AppendSSEFrame(dst, nil, e.Append(nil))
}

// IsSSEEnd reports whether the value of Last-Event-ID is that of a stream that must not be opened again.
func IsSSEEnd(lastEventID string) bool {
	return len(lastEventID) == len(sseEnded)+4 && lastEventID[:len(sseEnded)] == sseEnded
}

func appendSSERetry(dst []byte, retry int) []byte {
	return append(strconv.AppendInt(append(dst, sseRetry...), int64(retry), 10), '\n')
}

func appendSSEID(dst []byte, p *Position) []byte {
	if p == nil {
		return dst
	}
	return append(p.Append(append(dst, sseID...)), '\n')
}

// joinLines replaces the ends of lines by spaces.
func joinLines(text []byte) {
	for _, end := range []byte("\r\n") {
		for at := bytes.IndexByte(text, end); at >= 0; at = bytes.IndexByte(text, end) {
			text[at] = ' '
			text = text[at+1:]
		}
	}
}

// TextOf returns the text of a text frame that a function of this package has made.
func TextOf(frame []byte) []byte {
	switch frame[1] { // its length, or a mark for a longer one (RFC 6455 section 5.2)
	case 126:
		return frame[4:]
	case 127:
		return frame[10:]
	}
	return frame[2:]
}
