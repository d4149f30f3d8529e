package protocol

import (
	"bytes"
	"cmp"
	"hash/maphash"

	"github.com/go-json-experiment/json/jsontext"
)

// fill turns the values of an object into a request. It returns a text that says what is wrong with the request, or "". In a bad
// request it fills in the ref and the room too, if they can be read.
func (d *Decoder) fill(r *Request) (wrong string) {
	values := &d.requests.values
	var wrongRef, wrongRoom string
	r.Ref, wrongRef = refOf(values[keyRef])
	if value := values[keyRoom]; value != nil {
		r.Room, wrongRoom = d.roomName(value, textRoom)
	}
	key, more := d.asked()
	switch {
	case more:
		return textTwoKeys
	case key == keyOther:
		return textNoKey
	}
	r.Kind = RequestKind(key)
	value := values[key]
	switch key {
	case keyMessage:
		r.Value = value
		return cmp.Or(wrongRef, wrongRoom)
	case keyMembers:
		if value.Kind() != jsontext.KindTrue {
			return textMembers
		}
		return wrongRoom
	case keyJoin:
		r.Room, wrong = d.roomName(value, textJoin)
		return cmp.Or(wrong, d.fillJoin(r))
	case keyLeave:
		r.Room, wrong = d.roomName(value, textLeave)
	default:
		r.Room = ""
		r.Token, wrong = d.text(value, textToken)
	}
	return wrong
}

// asked returns the key that says what the request asks for, or keyOther if it has no such key. more reports whether it has two.
func (d *Decoder) asked() (key requestKey, more bool) {
	for k := keyMessage; k <= keyToken; k++ {
		if d.requests.values[k] == nil {
			continue
		}
		if key != keyOther {
			return key, true
		}
		key = k
	}
	return key, false
}

// fillJoin fills in the options of a join.
func (d *Decoder) fillJoin(r *Request) (wrong string) {
	values := &d.requests.values
	r.Slow = SlowGap
	if value := values[keySince]; value != nil {
		if r.Since, wrong = d.text(value, textSince); wrong != "" {
			return wrong
		}
	}
	if value := values[keyLast]; value != nil {
		n, ok := parseInteger(value)
		if !ok {
			return textLast
		}
		r.Last = int(min(n, MaxLast))
	}
	if value := values[keyPresence]; value != nil {
		n, ok := parseInteger(value)
		if !ok || n > maxPresence {
			return textPresence
		}
		r.Presence = int(n)
	}
	if value := values[keySlow]; value != nil {
		text, _ := d.text(value, "")
		if r.Slow = slowOf(text); r.Slow == "" {
			return textSlow
		}
	}
	return ""
}

// refOf reads a ref; without one it returns 0.
func refOf(value jsontext.Value) (ref uint64, wrong string) {
	if value == nil {
		return 0, ""
	}
	n, ok := parseInteger(value)
	if !ok || n == 0 || n > MaxRef {
		return 0, textRef
	}
	return n, ""
}

// parseInteger reads decimal digits. It returns MaxRef+1 for numbers over MaxRef. It refuses other spellings of an integer, such
// as 1e3 and 7.0, because JSON serializers write integers as digits.
func parseInteger[Text ~[]byte | ~string](text Text) (n uint64, ok bool) {
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+uint64(c-'0'), MaxRef+1)
	}
	return n, len(text) > 0
}

// text returns the text of a JSON string. For a value of another type it returns notString, which says what is wrong.
func (d *Decoder) text(value jsontext.Value, notString string) (text, wrong string) {
	if value.Kind() != jsontext.KindString {
		return "", notString
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), ""
	}
	plain, _ := jsontext.AppendUnquote(nil, value) // not into the scratch space, which stays small
	return string(plain), ""
}

// roomNames is a cache of valid names of rooms. It saves an allocation for each message that names its room.
type roomNames [64]string

var roomSeed = maphash.MakeSeed()

// roomName returns the name of a room, or a text that says what is wrong with it: notString for a value of another type.
func (d *Decoder) roomName(value jsontext.Value, notString string) (name, wrong string) {
	const longest = MaxRoomBytes*len(`\u0061`) + len(`""`)
	switch {
	case value.Kind() != jsontext.KindString:
		return "", notString
	case len(value) > longest:
		return "", errLong.Error() // this also keeps the scratch space small
	}
	text := d.unquote(value)
	cached := &d.requests.rooms[maphash.Bytes(roomSeed, text)%uint64(len(d.requests.rooms))]
	if *cached == string(text) && len(text) > 0 {
		return *cached, ""
	}
	name = string(text)
	if err := CheckRoom(name); err != nil {
		return "", err.Error()
	}
	*cached = name
	return name, ""
}
