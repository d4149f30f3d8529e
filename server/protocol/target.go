package protocol

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"dotsconnect/server/websocket"
)

// Space is a name space of rooms. A chat room and a raw room with the same name are two rooms: their members speak different
// protocols and must never meet.
type Space uint8

// The name spaces that an address can have.
const (
	Chat Space = iota // /ws/chat/ROOM/: JSON envelopes, see DecodeV1
	Raw               // /ws/raw/ROOM/: messages are relayed as they are
)

// String returns the name of the space in addresses and keys.
func (s Space) String() string {
	if s == Raw {
		return "raw"
	}
	return "chat"
}

// parseSpace is the inverse of String.
func parseSpace(word string) (s Space, ok bool) {
	switch word {
	case "chat":
		return Chat, true
	case "raw":
		return Raw, true
	}
	return 0, false
}

// MaxRoomBytes limits the name of a room, counted after percent-decoding. Names are keys of maps and parts of log lines on every
// node, so they must be short; 128 bytes hold a UUID, a path of ids or 42 CJK characters.
const MaxRoomBytes = 128

// Target is the room and the protocol version that the address of a connection asks for.
type Target struct {
	Space   Space
	Room    string  // decoded name; all characters are literal, so "*" and ".." are names too
	Version int     // version of the protocol: 1 or 2; a raw room has version 1 only
	V2      Options // of version 2; zero in version 1
	Many    bool    // the connection has many rooms; the address names none
}

// Key returns the name by which the room is known after the handshake: "chat/ROOM" or "raw/ROOM". Room names contain no slash, so
// two rooms never share a key.
func (t Target) Key() string {
	return t.Space.String() + "/" + t.Room
}

// ParseTarget reads the path and the query of a request target, both as they were on the wire ("/ws/chat/caf%C3%A9/", "v=1").
//
// ok reports whether the path is a WebSocket address at all; if not, the request is plain HTTP (404 if there is no such page).
// For an invalid WebSocket address ok is true, and the text of err is one sentence that names the broken rule, for the body of a
// 400. The fixed parts of an address are compared byte by byte: only the room name is percent-decoded. Dot segments such as ".."
// are room names, and do not change the path.
func ParseTarget(rawPath, rawQuery string) (t Target, ok bool, err *websocket.HeadError) {
	rest, ok := strings.CutPrefix(rawPath, "/ws")
	if !ok {
		return Target{}, false, nil
	}
	if rest == "" || rest == "/" {
		return parseMany(rawQuery)
	}
	word, rawRoom, _ := strings.Cut(rest[1:], "/")
	space, known := parseSpace(word)
	rawRoom = strings.TrimSuffix(rawRoom, "/")
	if rest[0] != '/' || !known || strings.Contains(rawRoom, "/") {
		return Target{}, false, nil
	}
	room, rule := decodeRoom(rawRoom)
	if rule == nil {
		rule = CheckRoom(room)
	}
	if rule != nil {
		return Target{}, true, refuse(rule.Error())
	}
	t = Target{Space: space, Room: room}
	t.Version, err = parseVersion(rawQuery)
	switch {
	case t.Version == 2 && space == Raw:
		err = refuse("v must be 1 for a raw room; leave v out")
	case t.Version == 2:
		t.V2, err = parseOptions(rawQuery)
	}
	if err != nil {
		return Target{}, true, err
	}
	return t, true, nil
}

// parseMany reads the query of the address /ws/, at which a connection joins rooms by requests.
func parseMany(rawQuery string) (t Target, ok bool, err *websocket.HeadError) {
	t = Target{Many: true}
	switch t.Version, err = parseVersion(rawQuery); {
	case err != nil:
		return Target{}, true, err
	case t.Version != 2:
		return Target{}, true, refuse("a connection with many rooms needs version 2: connect to /ws/?v=2, or to /ws/chat/ROOM/ for one room")
	}
	if t.V2, err = parseOptions(rawQuery); err != nil {
		return Target{}, true, err
	}
	return t, true, nil
}

// ParseKey reads a key that Target.Key has made. Unlike ParseTarget, it does not percent-decode the name of the room: if
// decoding is needed, the caller has done it.
func ParseKey(key string) (Target, error) {
	word, room, _ := strings.Cut(key, "/")
	space, ok := parseSpace(word)
	if !ok {
		return Target{}, errSpace
	}
	if err := CheckRoom(room); err != nil {
		return Target{}, err
	}
	return Target{Space: space, Room: room, Version: 1}, nil
}

// The error of each rule is one sentence, without the offending name: it goes into a response body, which must not contain a
// stranger's bytes.
var (
	errSpace    = errors.New(`a room is written "chat/NAME" or "raw/NAME"`)
	errEmpty    = errors.New("the room name is empty")
	errLong     = errors.New("the room name is longer than " + strconv.Itoa(MaxRoomBytes) + " bytes")
	errUTF8     = errors.New("the room name is not valid UTF-8")
	errControl  = errors.New("the room name contains a control character")
	errSlash    = errors.New("the room name contains a slash")
	errEscape   = errors.New("the room name has a percent sign without two hex digits after it")
	errRawBytes = errors.New("the room name has a byte that must be percent-encoded")
)

// CheckRoom returns an error if a decoded room name breaks a rule. A name has 1 to MaxRoomBytes bytes of valid UTF-8, without a
// slash and without control characters (C0, DEL and C1, which could forge log lines or control a terminal).
func CheckRoom(name string) error {
	switch {
	case name == "":
		return errEmpty
	case len(name) > MaxRoomBytes:
		return errLong
	case !utf8.ValidString(name):
		return errUTF8
	}
	for _, r := range name {
		switch {
		case r < ' ', r >= 0x7f && r < 0xa0:
			return errControl
		case r == '/':
			return errSlash
		}
	}
	return nil
}

// decodeRoom undoes percent-encoding once. A plus sign stays a plus sign: it means a space only in queries. Bytes that a URI
// cannot contain are refused, because their meaning would be a guess; every client library encodes them (RFC 3986, section 2).
func decodeRoom(raw string) (string, error) {
	if len(raw) > 3*MaxRoomBytes {
		return "", errLong // the decoded name would be too long in any case
	}
	name := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '%':
			if i+2 >= len(raw) {
				return "", errEscape
			}
			b, err := strconv.ParseUint(raw[i+1:i+3], 16, 8)
			if err != nil {
				return "", errEscape
			}
			name = append(name, byte(b))
			i += 2
		case c <= ' ' || c >= 0x7f || c == '#' || c == '?':
			return "", errRawBytes
		default:
			name = append(name, c)
		}
	}
	return string(name), nil
}

// parseVersion looks for the key v in a query; without it the version is 1. A client that asks for another version must be
// refused: if it got version 1 without notice, it would wait for frames that never come.
func parseVersion(rawQuery string) (version int, err *websocket.HeadError) {
	for pair := range strings.SplitSeq(rawQuery, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if !spelledInQuery(key, "v") {
			continue
		}
		asked := 0
		switch {
		case spelledInQuery(value, "1"):
			asked = 1
		case spelledInQuery(value, "2"):
			asked = 2
		}
		if asked == 0 || version != 0 && asked != version {
			return 0, refuse("v must be 1 or 2; leave v out for 1")
		}
		version = asked
	}
	return max(version, 1), nil
}

func refuse(text string) *websocket.HeadError {
	return &websocket.HeadError{Status: http.StatusBadRequest, Text: text}
}
