package load

import (
	"bytes"
	"regexp"
)

// pattern is a template of the messages that a server sends to the members of
// a room: {payload} stands for the stamp and its pad, {room} for the name of the
// room, and {number} for one or more digits. All other bytes stand for
// themselves.
type pattern struct {
	before, after []piece
	named         bool // it has {room}
}

type piece struct {
	text string // fixed bytes; or the name of what the piece stands for
	kind pieceKind
}

type pieceKind uint8

const (
	fixed pieceKind = iota
	roomName
	number
)

var placeholder = regexp.MustCompile(`\{room\}|\{number\}|\{payload\}`)

func newPattern(template string) pattern {
	var p pattern
	into := &p.before
	add := func(text string, kind pieceKind) {
		if text != "" {
			*into = append(*into, piece{text, kind})
		}
	}
	from := 0
	for _, at := range placeholder.FindAllStringIndex(template, -1) {
		add(template[from:at[0]], fixed)
		switch name := template[at[0]:at[1]]; name {
		case "{room}":
			add(name, roomName)
			p.named = true
		case "{number}":
			add(name, number)
		default:
			into = &p.after
		}
		from = at[1]
	}
	add(template[from:], fixed)
	return p
}

// match reports whether b is what the pieces stand for, in a room.
func match(pieces []piece, b []byte, room string) bool {
	for _, p := range pieces {
		n := len(p.text)
		switch p.kind {
		case number:
			n = len(b) - len(bytes.TrimLeft(b, "0123456789"))
			if n == 0 {
				return false
			}
			b = b[n:]
			continue
		case roomName:
			p.text, n = room, len(room)
		}
		if len(b) < n || string(b[:n]) != p.text {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}
