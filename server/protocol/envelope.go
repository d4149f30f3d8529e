package protocol

// The envelope of version 1 is a JSON object with the key "message"; its value
// goes to the room as the sender wrote it, byte for byte. So nothing is decoded
// into Go values and nothing is encoded again: numbers keep their digits, and a
// message costs one validating pass and no allocation (0.1 to 0.2 µs for a chat
// line of 128 bytes; a hand-written scanner for plain strings won 25 ns and was
// not worth a second grammar).
//
// The pass is jsontext's, over the caller's bytes in place. It refuses what
// would break a browser in the room or what two parsers would read differently:
// NaN and Infinity, invalid UTF-8, half surrogate pairs, text after the value.
// Two things it cannot do for us are done here. Nesting is measured before the
// pass, because the pass recurses. Duplicate names are let through with the last
// one winning, as JSON.parse has it, because finding them costs a map.

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Input is what a valid message asks for.
type Input uint8

// The inputs of version 1.
const (
	Message   Input = iota // {"message":X}: publish X in the room
	Heartbeat              // "heartbeat": a sign of life, no reply
)

// MaxDepth is how many arrays and objects a value may nest: 128 arrays inside
// each other pass, 129 do not. The envelope around the value is not counted.
// Receivers parse recursively too, and no person writes such a message by hand.
const MaxDepth = 128

// deepest is the largest limit that NewDecoder takes. It stays clear of the
// 10,000 levels at which jsontext itself gives up.
const deepest = 8192

// Decoder reads the messages of clients. It belongs to one goroutine, which
// reuses it for all its connections. Between calls it holds on to the last
// message's bytes; it never writes to them.
type Decoder struct {
	json    *jsontext.Decoder
	options []jsontext.Options
	source  bytes.Buffer // a view of the message; jsontext reads a bytes.Buffer in place
	name    []byte       // scratch for strings with escapes

	maxDepth int // of a value, so one more with the envelope
	tooDeep  *BadFrame
}

// NewDecoder returns a decoder for values that nest at most maxDepth levels,
// 1 to 8192; MaxDepth is the protocol's figure.
func NewDecoder(maxDepth int) *Decoder {
	if maxDepth < 1 || maxDepth > deepest {
		panic(fmt.Sprintf("protocol: nesting limit %d is not within 1 to %d", maxDepth, deepest))
	}
	return &Decoder{
		json:     jsontext.NewDecoder(new(bytes.Buffer)),
		options:  []jsontext.Options{jsontext.AllowDuplicateNames(true)},
		maxDepth: maxDepth,
		tooDeep:  &BadFrame{fmt.Sprintf("nested deeper than %d levels", maxDepth)},
	}
}

// DecodeV1 reads one text message. For a Message, value is the part of p that
// holds the value, without white space around it: it lives as long as p does.
// An error is a *BadFrame.
func (d *Decoder) DecodeV1(p []byte) (in Input, value []byte, err error) {
	if value, bad := d.decode(p); bad != nil {
		return 0, nil, bad
	} else if value != nil {
		return Message, value, nil
	}
	return Heartbeat, nil, nil
}

// decode returns a nil value for a heartbeat. It returns the concrete error type
// so that a nil one cannot become an error on the way.
func (d *Decoder) decode(p []byte) ([]byte, *BadFrame) {
	trimmed := bytes.TrimLeft(p, whiteSpace)
	switch {
	case len(trimmed) == 0:
		return nil, ErrEmpty
	case bytes.HasPrefix(trimmed, []byte("\ufeff")):
		return nil, ErrByteOrder
	case d.nestsTooDeep(trimmed):
		return nil, d.tooDeep
	}
	d.source = *bytes.NewBuffer(p)
	d.json.Reset(&d.source, d.options...)
	if trimmed[0] != '{' {
		return nil, d.readHeartbeat(p)
	}
	value, err := d.readEnvelope()
	if err != nil {
		return nil, notJSON(p, err)
	}
	if bad := d.checkEnd(p); bad != nil {
		return nil, bad
	}
	if value == nil {
		return nil, ErrNoMessage
	}
	return value, nil
}

// readEnvelope reads the object and returns the value of its last "message", or
// nil if there is none. The names of one object can be as many as a message has
// room for, so what is done for each is little.
func (d *Decoder) readEnvelope() (value []byte, err error) {
	if _, err := d.json.ReadToken(); err != nil { // the brace
		return nil, err
	}
	for d.json.PeekKind() == jsontext.KindString {
		name, err := d.json.ReadValue()
		if err != nil {
			return nil, err
		}
		isMessage := d.spells(name, `"message"`)
		member, err := d.json.ReadValue()
		if err != nil {
			return nil, err
		}
		if isMessage {
			value = member
		}
	}
	_, err = d.json.ReadToken() // the brace, or the error that PeekKind met
	return value, err
}

// readHeartbeat reads a message that is no object. What is not the one string
// that means something is refused by what it is, or by why it is not JSON.
func (d *Decoder) readHeartbeat(p []byte) *BadFrame {
	value, err := d.json.ReadValue()
	if err != nil {
		return notJSON(p, err)
	}
	if bad := d.checkEnd(p); bad != nil {
		return bad
	}
	if !d.spells(value, `"heartbeat"`) {
		return notObject(value.Kind())
	}
	return nil
}

// spells reports whether a valid JSON value is the string that quoted writes
// without escapes. Clients may escape any character: "mess\u0061ge" counts.
func (d *Decoder) spells(value jsontext.Value, quoted string) bool {
	if string(value) == quoted {
		return true
	}
	if value[0] != '"' || bytes.IndexByte(value, '\\') < 0 {
		return false
	}
	const longestEscape = len(`\u0061`)
	if len(value) > longestEscape*len(quoted) {
		return false // also keeps the scratch small
	}
	name, err := jsontext.AppendUnquote(d.name[:0], value)
	d.name = name
	return err == nil && string(name) == quoted[1:len(quoted)-1]
}

// whiteSpace is JSON's idea of it (RFC 8259, section 2), not Unicode's.
const whiteSpace = " \t\r\n"

// checkEnd makes sure that the value was all: a second one would be lost without
// a word otherwise.
func (d *Decoder) checkEnd(p []byte) *BadFrame {
	rest := bytes.TrimLeft(p[d.json.InputOffset():], whiteSpace)
	if len(rest) == 0 {
		return nil
	}
	return &BadFrame{fmt.Sprintf("text after the JSON value, at byte %d", len(p)-len(rest))}
}

// nestsTooDeep reports whether p opens more arrays and objects inside each other
// than a value and its envelope may. It is exact for JSON and never holds a
// message back that would have passed; for other text it may speak before the
// reader does, with the same end. Two cheap upper bounds spare usual messages
// the walk: half the length, and the number of opening brackets.
func (d *Decoder) nestsTooDeep(p []byte) bool {
	limit := d.maxDepth + 1
	if len(p) < 2*limit || bytes.Count(p, []byte{'['})+bytes.Count(p, []byte{'{'}) <= limit {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case inString && c == '\\':
			i++ // whatever it escapes, a quote above all
		case c == '"':
			inString = !inString
		case inString:
		case c == '[', c == '{':
			if depth++; depth > limit {
				return true
			}
		case c == ']', c == '}':
			depth--
		}
	}
	return false
}
