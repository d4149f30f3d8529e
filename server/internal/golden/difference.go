package golden

import "slices"

// Outcome is the way in which a server handles a message.
type Outcome uint8

// The outcomes. A refused message closes the sender's connection: the original server with 1011 and no reason, this server with
// 4500 and a reason that says what was wrong.
const (
	Broadcast Outcome = iota // the message goes to every member, the sender included
	Silent                   // the message is a sign of life; nothing is sent
	Refused                  // the sender's connection is closed
)

// CloseCodes of a refused message.
const (
	OriginalRefusal = 1011
	Refusal         = 4500
)

func (o Outcome) String() string {
	return [...]string{"broadcast", "silent", "refused"}[o]
}

// Difference is a deliberate difference between this server and the original: some messages have another outcome here, or arrive
// as another value. It has the reason, too.
type Difference struct {
	Why  string
	Ours Outcome
	Sent []string
}

// Differences lists all deliberate differences. In all other cases this server acts like the original, except for the close code
// and the reason of a refusal.
var Differences = []Difference{
	{
		Why:  "NaN and Infinity are not JSON: every browser in the room would throw at JSON.parse",
		Ours: Refused,
		Sent: []string{`{"message":NaN}`, `{"message":Infinity}`, `{"message":-Infinity}`},
	},
	{
		Why:  "nesting is limited to 128, where the original's serializer gave up at 512",
		Ours: Refused,
		Sent: []string{Nested(500), Nested(509), Nested(510), Nested(511)},
	},
	{
		Why:  "a number keeps the digits with which it was sent; the original turned this number into Infinity",
		Ours: Broadcast,
		Sent: []string{`{"message":1E400}`},
	},
	{
		Why:  "an integer beyond 64 bits is JSON like any other; the original's serializer broke on it",
		Ours: Broadcast,
		Sent: []string{
			`{"message":18446744073709551616}`,
			`{"message":-9223372036854775809}`,
			`{"message":123456789012345678901234567890}`,
		},
	},
	{
		Why:  "the heartbeat is part of the documented protocol, which the recorded variant lacked",
		Ours: Silent,
		Sent: []string{`"heartbeat"`, ` "heartbeat" `, "\n\"heartbeat\"\n", `"heart\u0062eat"`},
	},
}

// Original returns the outcome at the original server.
func (v Value) Original() Outcome {
	switch {
	case v.CloseCode != 0:
		return Refused
	case len(v.ToPeer) > 0:
		return Broadcast
	default:
		return Silent
	}
}

// Expect returns what this server does with the message. For a Broadcast, want is the frame with the JSON value that every member
// must receive; compare it with SameValue. difference is nil if the original acted in the same way.
func (v Value) Expect() (outcome Outcome, want string, difference *Difference) {
	for i := range Differences {
		if slices.Contains(Differences[i].Sent, v.Sent) {
			return Differences[i].Ours, v.Sent, &Differences[i]
		}
	}
	if len(v.ToPeer) > 0 {
		want = v.ToPeer[0]
	}
	return v.Original(), want, nil
}
