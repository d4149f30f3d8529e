package protocol

import (
	"encoding/hex"
	"net/url"
	"strings"

	"dotsconnect/server/websocket"
)

// Options are the settings of a client of version 2 for its room, from the query of the address. A join has some of them too.
type Options struct {
	Since    string // id behind which the client goes on; "": from now on. It may be any text: see ParsePosition
	Last     int    // number of the newest publications to repeat if Since does not work; at most MaxLast
	Presence int    // 0: no presence; 1: events, and the client is listed; 2: events, and the client is only counted
	Echo     bool   // the client gets its own messages too
	Slow     string // what happens if the client reads too slowly: SlowClose, SlowGap or SlowLatest
	Batch    bool   // frames may be arrays
	Was      string // key of the client's former connection, or ""
}

// MaxLast limits the number of publications that a client can ask for with last. A larger number counts as MaxLast.
const MaxLast = 1000

const maxPresence = 2

// The values of the option slow.
const (
	SlowClose  = "close"  // the connection is closed; the default on the socket of one room
	SlowGap    = "gap"    // the backlog is dropped, and an event says so; the default of a join
	SlowLatest = "latest" // only the newest publication waits
)

// slowOf returns the constant for a value of slow, or "" if there is no such value.
func slowOf(value string) string {
	for _, slow := range [...]string{SlowClose, SlowGap, SlowLatest} {
		if value == slow {
			return slow // not value, which may be a part of a long query
		}
	}
	return ""
}

// The keys of a query that have a meaning in version 2, besides v.
const (
	optionSince = iota
	optionLast
	optionPresence
	optionEcho
	optionSlow
	optionBatch
	optionWas
	optionCount
)

var optionNames = [optionCount]string{"since", "last", "presence", "echo", "slow", "batch", "was"}

// parseOptions reads the query of an address of version 2. Other keys are ignored. If a key is repeated, its last value counts.
func parseOptions(rawQuery string) (Options, *websocket.HeadError) {
	var raw [optionCount]string // not decoded, so that repeated keys leave no garbage
	var given [optionCount]bool
	for pair := range strings.SplitSeq(rawQuery, "&") {
		key, value, _ := strings.Cut(pair, "=")
		for i, name := range optionNames {
			if spelledInQuery(key, name) {
				raw[i], given[i] = value, true
				break
			}
		}
	}
	o := Options{Since: parseSince(raw[optionSince]), Echo: true, Slow: SlowClose}
	for option, name := range optionNames {
		if !given[option] {
			continue
		}
		value, err := url.QueryUnescape(raw[option])
		if err != nil {
			value = "%" // a value that each key but since refuses
		}
		if want := o.set(option, value); want != "" {
			return Options{}, refuse(name + " must be " + want)
		}
	}
	return o, nil
}

// set sets an option, or returns a text that says which values it takes. An empty value of was counts as a missing key, so that a
// client can write the same address before it has a key.
func (o *Options) set(option int, value string) (want string) {
	switch n, ok := parseInteger(value); option {
	case optionLast:
		if !ok {
			return "an integer of 0 or more"
		}
		o.Last = int(min(n, MaxLast))
	case optionPresence:
		if !ok || n > maxPresence {
			return "0, 1 or 2"
		}
		o.Presence = int(n)
	case optionEcho, optionBatch:
		if value != "0" && value != "1" {
			return "0 or 1"
		}
		if option == optionEcho {
			o.Echo = value == "1"
		} else {
			o.Batch = value == "1"
		}
	case optionSlow:
		if o.Slow = slowOf(value); o.Slow == "" {
			return "close, gap or latest"
		}
	case optionWas:
		if _, ok := ParseKey16(value); !ok && value != "" {
			return "a key: 16 of the characters - 0-9 A-Z _ a-z"
		}
		o.Was = strings.Clone(value) // without the rest of the query
	}
	return ""
}

// parseSince never refuses a value. A client whose value is not an id gets resumed:false and a new id; a client that got a 400
// would try again with the same value. A value that is too long for an id is cut to a length that is still too long.
func parseSince(raw string) string {
	const longest = PositionSize + 1
	raw = raw[:min(len(raw), longest*len("%41"))]
	value, err := url.QueryUnescape(raw)
	if err != nil {
		value = raw // a percent sign is not in the alphabet of ids
	}
	return strings.Clone(value[:min(len(value), longest)])
}

// spelledInQuery reports whether a part of a query spells the given letters or digits, with or without percent-encoding. It leaves
// no garbage, unlike url.QueryUnescape.
func spelledInQuery(raw, plain string) bool {
	for i := range len(plain) {
		switch {
		case raw != "" && raw[0] == plain[i]:
			raw = raw[1:]
		case len(raw) >= len("%41") && raw[0] == '%':
			var b [1]byte
			if _, err := hex.Decode(b[:], []byte(raw[1:3])); err != nil || b[0] != plain[i] {
				return false
			}
			raw = raw[3:]
		default:
			return false
		}
	}
	return raw == ""
}
