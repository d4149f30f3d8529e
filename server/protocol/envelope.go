package protocol

// The envelope of version 1 is a JSON object with the key "message"; the value of this key goes to the room as the sender wrote
// it, byte for byte. So nothing is decoded into Go values and nothing is encoded again: numbers keep their digits, and a message
// costs one validating pass and no allocation (0.1 to 0.2 µs for a chat line of 128 bytes). A hand-written scanner for plain
// strings would save 25 ns more, but it would be a second grammar, so there is none.
//
// jsontext makes that pass, in place over the caller's bytes. It refuses text that would break a browser in the room, or that two
// parsers would read differently: NaN and Infinity, invalid UTF-8, half surrogate pairs, and text after the value. This file also
// measures the nesting before the pass, because the pass recurses. And it accepts duplicate names and uses the last one, as
// JSON.parse does, because finding duplicates would cost a map.

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Input is the kind of a valid message.
type Input uint8

// The inputs of version 1.
const (
	Message   Input = iota // {"message":X}: publish X in the room
	Heartbeat              // "heartbeat": a sign of life, no reply
)

// MaxDepth limits how deep the arrays and objects of a value may nest: 128 arrays inside each other pass, 129 do not. The
// envelope around the value does not count. There is a limit because receivers parse recursively too. Messages that people
// write do not reach it.
const MaxDepth = 128

// deepest is the largest limit that NewDecoder takes. It is well below the 10,000 levels at which jsontext itself gives up.
const deepest = 8192

// Decoder reads the messages of clients. It belongs to one goroutine, which reuses it for all its connections. Between calls it
// keeps a reference to the last message's bytes; it never writes to them.
type Decoder struct {
	json    *jsontext.Decoder
	options []jsontext.Options
	source  bytes.Buffer // the message itself; jsontext reads it in place
	name    []byte       // scratch space for strings with escapes

	maxDepth int // nesting limit for a value; with the envelope it is one more
	tooDeep  *BadFrame

	requests requestReader // used by version 2 only
}

// NewDecoder returns a decoder for values that nest at most maxDepth levels. maxDepth is 1 to 8192; the protocol uses MaxDepth.
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

// DecodeV1 reads one text message. For a Message, value is the part of p that holds the value, without white space around it; it
// shares the memory of p. An error is a *BadFrame.
func (d *Decoder) DecodeV1(p []byte) (in Input, value []byte, err error) {
	if value, bad := d.decode(p); bad != nil {
		return 0, nil, bad
	} else if value != nil {
		return Message, value, nil
	}
	return Heartbeat, nil, nil
}

// decode returns the value of the message, or nil for a heartbeat. Its error has the concrete type, so that a nil pointer cannot
// become a non-nil error.
func (d *Decoder) decode(p []byte) ([]byte, *BadFrame) {
	first, bad := d.start(p, 1)
	if bad != nil {
		return nil, bad
	}
	if first != '{' {
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

// start makes p the text to read, and returns its first byte after white space. levels is the number of objects and arrays around
// a value.
func (d *Decoder) start(p []byte, levels int) (first byte, bad *BadFrame) {
	trimmed := bytes.TrimLeft(p, whiteSpace)
	switch {
	case len(trimmed) == 0:
		return 0, ErrEmpty
	case bytes.HasPrefix(trimmed, []byte("\ufeff")):
		return 0, ErrByteOrder
	case nestsDeeper(trimmed, d.maxDepth+levels):
		return 0, d.tooDeep
	}
	d.source = *bytes.NewBuffer(p)
	d.json.Reset(&d.source, d.options...)
	return trimmed[0], nil
}

// readEnvelope reads the object, and returns the value of its last "message", or nil if there is none. The names of an object may
// fill a whole message, so the work for each name is small.
func (d *Decoder) readEnvelope() (value []byte, err error) {
	if _, err := d.json.ReadToken(); err != nil { // the opening brace
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
	_, err = d.json.ReadToken() // the closing brace, or the error that PeekKind found
	return value, err
}

// readHeartbeat reads a message that is not an object, and refuses it unless it is the heartbeat. The reason of the refusal names
// the kind of the JSON value, or the error in the text.
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

// spells reports whether a valid JSON value is the string quoted, however the value is escaped. Clients may escape any character:
// "mess\u0061ge" counts as "message".
func (d *Decoder) spells(value jsontext.Value, quoted string) bool {
	if string(value) == quoted {
		return true
	}
	if value[0] != '"' || bytes.IndexByte(value, '\\') < 0 {
		return false
	}
	const longestEscape = len(`\u0061`)
	if len(value) > longestEscape*len(quoted) {
		return false // this also keeps the scratch space small
	}
	name, err := jsontext.AppendUnquote(d.name[:0], value)
	d.name = name
	return err == nil && string(name) == quoted[1:len(quoted)-1]
}

// whiteSpace is white space as defined by JSON (RFC 8259, section 2), not by Unicode.
const whiteSpace = " \t\r\n"

// checkEnd checks that the text ends after the value: otherwise a second value would be lost silently.
func (d *Decoder) checkEnd(p []byte) *BadFrame {
	rest := bytes.TrimLeft(p[d.json.InputOffset():], whiteSpace)
	if len(rest) == 0 {
		return nil
	}
	return &BadFrame{fmt.Sprintf("text after the JSON value, at byte %d", len(p)-len(rest))}
}

// nestsDeeper reports whether arrays and objects in p nest deeper than limit. For JSON the result is exact, so no valid message is
// refused. Text that is not JSON may be refused here, before the reader refuses it. Two cheap upper bounds save the walk for usual
// messages: half the length, and the number of opening brackets.
func nestsDeeper(p []byte, limit int) bool {
	if len(p) < 2*limit || bytes.Count(p, []byte{'['})+bytes.Count(p, []byte{'{'}) <= limit {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case inString && c == '\\':
			i++ // skips the escaped character, which may be a quote
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
