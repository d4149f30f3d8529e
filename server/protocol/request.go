package protocol

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// A client of version 2 sends "heartbeat", a request, or an array of requests. A request is an object, and one of five keys says
// what the client asks for. As in version 1, the text is read in place and in one pass, and the last of duplicate names counts.
//
// An error in a request concerns this request alone, so the request is handed out as RequestBad and the others are carried out.
// A text is refused as a whole if it cannot be divided into requests.

// RequestKind is the kind of a request.
type RequestKind uint8

// The kinds of requests.
const (
	RequestBad       RequestKind = iota // not understood; Text says why
	RequestMessage                      // {"message":X}: publish X
	RequestJoin                         // {"join":ROOM}
	RequestLeave                        // {"leave":ROOM}
	RequestMembers                      // {"members":true}: list the members
	RequestToken                        // {"token":T}: replace the token
	RequestHeartbeat                    // "heartbeat": a sign of life that is answered
)

// Request is one request of a client. Keys that a kind does not have are ignored, even if their values are wrong.
type Request struct {
	Kind  RequestKind
	Value []byte // of a message, as the sender wrote it; shares the memory of the text
	Ref   uint64 // of a message or a bad request; 0 if it has no ref, or a wrong one
	Room  string // "" if the request does not name a room; in a bad request also if the name is wrong
	Token string // of RequestToken
	Text  string // of a bad request: says what is wrong with it, in printable ASCII of at most 110 bytes

	// Of a join; they mean the same as in Options.
	Since    string
	Last     int
	Presence int
	Slow     string
}

// MaxRequests limits the number of requests in one text.
const MaxRequests = 128

// MaxRef is the largest ref: the largest integer that JavaScript can count to.
const MaxRef = 1<<53 - 1

// Texts of bad requests.
const (
	textNoKey    = `none of the keys "message", "join", "leave", "members" and "token"`
	textTwoKeys  = `two of the keys "message", "join", "leave", "members" and "token"`
	textRef      = `"ref" is not an integer from 1 to 9007199254740991`
	textRoom     = `"room" is not a string`
	textJoin     = `"join" is not a string`
	textLeave    = `"leave" is not a string`
	textMembers  = `"members" is not true`
	textToken    = `"token" is not a string`
	textSince    = `"since" is not a string`
	textLast     = `"last" is not an integer of 0 or more`
	textPresence = `"presence" is not 0, 1 or 2`
	textSlow     = `"slow" is not "close", "gap" or "latest"`
)

// requestKey is a key of a request that has a meaning. The first five are in the order of the kinds that they ask for.
type requestKey uint8

const (
	keyOther requestKey = iota
	keyMessage
	keyJoin
	keyLeave
	keyMembers
	keyToken
	keyRef
	keyRoom
	keySince
	keyLast
	keyPresence
	keySlow
	keyCount
)

// requestReader is the part of a Decoder that reads requests.
type requestReader struct {
	values [keyCount]jsontext.Value // of the request that is being read; nil if a key is missing
	list   []Request                // the requests of a text
	rooms  roomNames
}

// DecodeV2 reads one text message, and calls the function each for one request after the other until the function returns false.
// It checks the whole text first: if it returns an error, it has not called the function. The error is a *BadFrame. The function
// must not keep the request, but it may keep the request's strings; and it must not use d.
func (d *Decoder) DecodeV2(p []byte, each func(*Request) bool) error {
	list := &d.requests.list
	*list = (*list)[:0]
	bad := d.readRequests(p)
	for i := range *list {
		if bad != nil || !each(&(*list)[i]) {
			break
		}
	}
	clear(*list) // releases the strings
	if bad != nil {
		return bad
	}
	return nil
}

// readRequests reads a text into the list.
func (d *Decoder) readRequests(p []byte) (bad *BadFrame) {
	levels := 1
	if bytes.HasPrefix(bytes.TrimLeft(p, whiteSpace), []byte{'['}) {
		levels = 2
	}
	first, bad := d.start(p, levels)
	if bad != nil {
		return bad
	}
	var err error
	switch first {
	case '{':
		err = d.readRequest()
	case '[':
		bad, err = d.readArray()
	default:
		d.requests.list = append(d.requests.list, Request{Kind: RequestHeartbeat})
		return d.readHeartbeat(p)
	}
	switch {
	case err != nil:
		return notJSON(p, err)
	case bad != nil:
		return bad
	}
	return d.checkEnd(p)
}

// readArray reads an array of requests. It stops at the first value that makes the text bad.
func (d *Decoder) readArray() (bad *BadFrame, err error) {
	if _, err := d.json.ReadToken(); err != nil { // the opening bracket
		return nil, err
	}
	for {
		switch kind := d.json.PeekKind(); {
		case kind == jsontext.KindEndArray && len(d.requests.list) == 0:
			return ErrNoRequest, nil
		case kind == jsontext.KindEndArray, kind == jsontext.KindEndObject, kind == jsontext.KindInvalid:
			_, err := d.json.ReadToken() // the closing bracket, or the error: a closing brace, or what PeekKind found
			return nil, err
		case kind != jsontext.KindBeginObject:
			return ErrElement, nil
		case len(d.requests.list) == MaxRequests:
			return ErrRequests, nil
		}
		if err := d.readRequest(); err != nil {
			return nil, err
		}
	}
}

// readRequest reads an object and appends it to the list. The names of an object may fill a whole message, so the work for each
// name is small.
func (d *Decoder) readRequest() error {
	values := &d.requests.values
	*values = [keyCount]jsontext.Value{}
	if _, err := d.json.ReadToken(); err != nil { // the opening brace
		return err
	}
	for d.json.PeekKind() == jsontext.KindString {
		name, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		key := d.keyOf(name)
		if values[key], err = d.json.ReadValue(); err != nil {
			return err
		}
	}
	if _, err := d.json.ReadToken(); err != nil { // the closing brace, or the error that PeekKind found
		return err
	}
	d.requests.list = append(d.requests.list, Request{})
	r := &d.requests.list[len(d.requests.list)-1]
	switch wrong := d.fill(r); {
	case wrong != "":
		*r = Request{Kind: RequestBad, Ref: r.Ref, Room: r.Room, Text: wrong}
	case r.Kind != RequestMessage:
		r.Ref = 0
	}
	return nil
}

// keyOf returns the key that a valid JSON string spells, however it is escaped.
func (d *Decoder) keyOf(name jsontext.Value) requestKey {
	const longest = len(`"presence"`) * len(`\u0070`)
	if len(name) > longest {
		return keyOther // this also keeps the scratch space small
	}
	switch string(d.unquote(name)) {
	case "message":
		return keyMessage
	case "join":
		return keyJoin
	case "leave":
		return keyLeave
	case "members":
		return keyMembers
	case "token":
		return keyToken
	case "ref":
		return keyRef
	case "room":
		return keyRoom
	case "since":
		return keySince
	case "last":
		return keyLast
	case "presence":
		return keyPresence
	case "slow":
		return keySlow
	}
	return keyOther
}

// unquote returns the text of a valid JSON string: a part of the string itself, or, if it has escapes, the scratch space of d.
func (d *Decoder) unquote(quoted jsontext.Value) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	d.name, _ = jsontext.AppendUnquote(d.name[:0], quoted) // cannot fail, because the string was checked
	return d.name
}
