package protocol

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions of this file append the frames of version 2 that the server itself writes: events about the room or the
// connection, and errors. Each appends one whole text frame. room is the name of the room on a connection with many rooms, else "".

// Open is the first event of a room.
type Open struct {
	Room        string   // its name on a connection with many rooms, else ""
	Position    Position // the position before the first publication that follows
	HasPosition bool     // false: the event has no id
	Me          uint64   // the tag of the connection
	Key         [12]byte // its secret
	Heartbeat   int      // seconds of silence after which the server pings
	MaxAge      int      // seconds of silence after which the server closes
	Resumed     *bool    // nil if the client did not ask to resume
	Count       int      // members of the room
}

// Append appends the event {"event":"open",...}.
func (o *Open) Append(dst []byte) []byte {
	begin := len(dst)
	dst = append(dst, `{"event":"open","v":2`...)
	if o.HasPosition {
		dst = appendID(dst, &o.Position)
	}
	dst = appendRoom(dst, o.Room)
	dst = append(dst, `,"me":"`...)
	dst = AppendMe(dst, o.Me)
	dst = append(dst, `","key":"`...)
	dst = AppendKey(dst, o.Key)
	dst = append(dst, `","heartbeat":`...)
	dst = strconv.AppendInt(dst, int64(o.Heartbeat), 10)
	dst = append(dst, `,"max_age":`...)
	dst = strconv.AppendInt(dst, int64(o.MaxAge), 10)
	if o.Resumed != nil {
		dst = append(dst, `,"resumed":`...)
		dst = strconv.AppendBool(dst, *o.Resumed)
	}
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(o.Count), 10)
	return endText(append(dst, '}'), begin)
}

// AppendLive appends the event that follows the publications that were repeated after since or last. fenced is nil unless the
// client sent the key of its former connection (was).
func AppendLive(dst []byte, room string, p *Position, fenced *bool) []byte {
	begin := len(dst)
	dst = append(dst, `{"event":"live"`...)
	dst = appendRoom(appendID(dst, p), room)
	if fenced != nil {
		dst = append(dst, `,"fenced":`...)
		dst = strconv.AppendBool(dst, *fenced)
	}
	return endText(append(dst, '}'), begin)
}

// AppendHeartbeatEvent appends the answer to a heartbeat. p is nil if the answer must not have an id.
func AppendHeartbeatEvent(dst []byte, p *Position) []byte {
	begin := len(dst)
	dst = append(dst, `{"event":"heartbeat"`...)
	dst = appendID(dst, p)
	return endText(append(dst, '}'), begin)
}

// AppendMark appends the event that moves the position of the members of a quiet room.
func AppendMark(dst []byte, room string, p Position) []byte {
	begin := len(dst)
	dst = append(dst, `{"event":"mark"`...)
	dst = appendRoom(appendID(dst, &p), room)
	return endText(append(dst, '}'), begin)
}

// AppendAck appends the acknowledgement of a sender's messages up to ref. p is nil if the event must not have an id. nodeOnly
// says that only members on this node got the messages.
func AppendAck(dst []byte, room string, ref uint64, p *Position, nodeOnly bool) []byte {
	begin := len(dst)
	dst = append(dst, `{"event":"ack","ref":`...)
	dst = strconv.AppendUint(dst, ref, 10)
	dst = appendRoom(appendID(dst, p), room)
	if nodeOnly {
		dst = append(dst, `,"scope":"node"`...)
	}
	return endText(append(dst, '}'), begin)
}

// Reasons of a gap.
const (
	GapSlow    = "slow"    // the member read too slowly
	GapBackend = "backend" // Redis was away
	GapHistory = "history" // the history does not reach back far enough
	GapEpoch   = "epoch"   // the numbering changed
)

// AppendGap appends the event that tells a member that it lost publications, or that the numbering changed. p is the position
// from which the member goes on, or nil if the event must not have an id. lost is the number of lost publications, or negative if
// the server does not know it.
func AppendGap(dst []byte, room string, p *Position, reason string, lost int) []byte {
	begin := len(dst)
	dst = append(dst, `{"event":"gap"`...)
	dst = appendRoom(appendID(dst, p), room)
	dst = append(dst, `,"reason":`...)
	dst = appendString(dst, reason)
	if lost >= 0 {
		dst = append(dst, `,"lost":`...)
		dst = strconv.AppendInt(dst, int64(lost), 10)
	}
	return endText(append(dst, '}'), begin)
}

// Member is a user in the lists of presence.
type Member struct {
	User string
	N    int    // connections of the user
	Info []byte // a JSON value, or nil
}

// The first byte of the rest of an event of presence says which event it is.
const (
	restMembers  = 'm'
	restPresence = 'p'
)

// AppendMembersRest appends the rest of the event members, which AppendPresence turns into a frame: all listed members, and the
// number of all members.
func AppendMembersRest(dst []byte, members []Member, count int) []byte {
	dst = append(dst, restMembers)
	dst = appendMembers(dst, `,"members":[`, members)
	return appendCount(dst, count)
}

// AppendPresenceRest appends the rest of the event presence: the users that came or changed, those that left, and the number of all
// members. Without names it has only that number.
func AppendPresenceRest(dst []byte, names bool, join []Member, leave []string, count int) []byte {
	dst = appendCount(append(dst, restPresence), count)
	if !names {
		return dst
	}
	dst = dst[:len(dst)-1] // the closing brace
	if len(join) > 0 || len(leave) == 0 {
		dst = appendMembers(dst, `,"join":[`, join)
	}
	if len(leave) > 0 {
		for i, user := range leave {
			dst = append(dst, cond(i == 0, `,"leave":[`, `,`)...)
			dst = appendString(dst, user)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// AppendPresence appends an event of presence. p is nil if the event must not have an id.
func AppendPresence(dst []byte, room string, p *Position, rest []byte) []byte {
	begin := len(dst)
	dst = append(dst, cond(rest[0] == restMembers, `{"event":"members"`, `{"event":"presence"`)...)
	dst = appendRoom(appendID(dst, p), room)
	return endText(append(dst, rest[1:]...), begin)
}

func appendMembers(dst []byte, open string, members []Member) []byte {
	dst = append(dst, open...)
	for i := range members {
		m := &members[i]
		dst = append(dst, cond(i == 0, `{"user":`, `,{"user":`)...)
		dst = appendString(dst, m.User)
		dst = append(dst, `,"n":`...)
		dst = strconv.AppendInt(dst, int64(m.N), 10)
		if m.Info != nil {
			dst = append(append(dst, `,"info":`...), m.Info...)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendCount(dst []byte, count int) []byte {
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(count), 10)
	return append(dst, '}')
}

func cond(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// ErrorEvent is the answer to a request that the server did not carry out.
type ErrorEvent struct {
	Code  int    // as in the table of close codes
	Name  string // machine-readable
	Text  string // for the author of the client
	Retry int    // seconds after which the client may try again; 0: not said
	Maybe bool   // the message may have been published nevertheless
	Ref   uint64 // of the request; 0 if it had none
	Room  string // of the request on a connection with many rooms; "" if it named none
}

// Append appends the frame {"error":{...}}.
func (e *ErrorEvent) Append(dst []byte) []byte {
	begin := len(dst)
	dst = e.appendError(append(dst, '{'))
	if e.Ref > 0 {
		dst = append(dst, `,"ref":`...)
		dst = strconv.AppendUint(dst, e.Ref, 10)
	}
	dst = appendRoom(dst, e.Room)
	return endText(append(dst, '}'), begin)
}

// AppendLeft appends the event that a connection with many rooms has left one of them. e is nil if the client asked for it.
func AppendLeft(dst []byte, room string, e *ErrorEvent) []byte {
	begin := len(dst)
	dst = append(dst, `{"event":"left"`...)
	dst = appendRoom(dst, room)
	if e != nil {
		dst = e.appendError(append(dst, ','))
	}
	return endText(append(dst, '}'), begin)
}

// appendError appends the key error and its value.
func (e *ErrorEvent) appendError(dst []byte) []byte {
	dst = append(dst, `"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(e.Code), 10)
	dst = append(dst, `,"name":`...)
	dst = appendString(dst, e.Name)
	dst = append(dst, `,"text":`...)
	dst = appendString(dst, e.Text)
	if e.Retry > 0 {
		dst = append(dst, `,"retry":`...)
		dst = strconv.AppendInt(dst, int64(e.Retry), 10)
	}
	if e.Maybe {
		dst = append(dst, `,"maybe":true`...)
	}
	return append(dst, '}')
}

// appendID appends the key id, with a comma before it. Without a position it appends nothing.
func appendID(dst []byte, p *Position) []byte {
	if p == nil {
		return dst
	}
	dst = append(dst, `,"id":"`...)
	dst = p.Append(dst)
	return append(dst, '"')
}

// appendRoom appends the key room, with a comma before it. Without a name it appends nothing.
func appendRoom(dst []byte, room string) []byte {
	if room == "" {
		return dst
	}
	return appendString(append(dst, `,"room":`...), room)
}

// appendString appends a JSON string. Bytes that are not UTF-8 become replacement characters, so the frame is valid in any case.
func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // the error reports only the replacement
	return dst
}
