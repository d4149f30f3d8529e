package protocol

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Close codes. The codes below 4000 are defined in RFC 6455 (section 7.4.1). The ranges of the protocol's own codes tell a
// client what to do next: 41xx back off and reconnect, 42xx reconnect now, 45xx do not retry unchanged.
const (
	CloseNormal             = 1000
	CloseGoingAway          = 1001
	CloseProtocolError      = 1002
	CloseInvalidUTF8        = 1007
	ClosePolicy             = 1008
	CloseTooBig             = 1009
	CloseInternalError      = 1011
	CloseHeartbeatMissed    = 4100
	CloseSlowConsumer       = 4101
	CloseRateLimited        = 4102
	CloseRoomFull           = 4103
	CloseBackendUnavailable = 4104
	CloseGap                = 4105
	CloseDraining           = 4200
	CloseBadFrame           = 4500
	CloseUnauthorized       = 4501
	CloseKicked             = 4503
	CloseForbidden          = 4504
)

// Code is a row of the table of all codes with which a connection ends.
type Code struct {
	Code int
	Name string // as it appears in the reason of a close, in logs and in metrics
	When string
}

// Codes is the table of all codes; PROTOCOL.md has it too. It must not be changed at run time.
var Codes = []Code{
	{CloseNormal, "normal closure", "the client closed the connection; the server echoes its code"},
	{CloseGoingAway, "going away", "the client closed the connection, as a browser does when the user leaves the page; the server echoes its code"},
	{CloseProtocolError, "protocol error", "unmasked frame, reserved bits or opcode, bad control frame, bad close body"},
	{CloseInvalidUTF8, "invalid UTF-8", "a text message, or the reason in a close frame, is not valid UTF-8"},
	{ClosePolicy, "policy", "too many fragments, control frames or (in a raw room) tiny messages, or a frame that stays incomplete without progress for 10 s"},
	{CloseTooBig, "too big", "message over `max_message`"},
	{CloseInternalError, "internal error", "an error in the server; the reason contains an id that leads an operator to the error in the server's log"},
	{CloseHeartbeatMissed, "heartbeat_missed", "no sign of life for `max_age`"},
	{CloseSlowConsumer, "slow_consumer", "the client reads more slowly than its room sends"},
	{CloseRateLimited, "rate_limited", "the client sends too much for too long"},
	{CloseRoomFull, "room_full", "the room has reached its limit of members, or the node its limit of rooms"},
	{CloseBackendUnavailable, "backend_unavailable", "the server could not pass a message of this client on to the other nodes, or does not know whether it did: the message may have arrived nevertheless"},
	{CloseGap, "gap", "this member may have missed messages of the room, and they cannot be recovered: fetch the room's state again"},
	{CloseDraining, "draining", "this node is going out of service; connect again to reach another one"},
	{CloseBadFrame, "bad_frame", "v1: a message that is neither `{\"message\":X}` nor `\"heartbeat\"`"},
	{CloseUnauthorized, "unauthorized", "token missing, invalid or expired"},
	{CloseKicked, "kicked", "closed by an operator"},
	{CloseForbidden, "forbidden", "the token does not allow this room"},
}

// CodesMarkdown returns the table for PROTOCOL.md.
func CodesMarkdown() string {
	var b strings.Builder
	b.WriteString("| code | name | when |\n|---|---|---|\n")
	for _, c := range Codes {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", c.Code, c.Name, c.When)
	}
	return b.String()
}

// maxReason is the number of bytes that a close frame has for the reason: the 125 bytes of a control frame, less two for the code
// (RFC 6455, section 5.5).
const maxReason = 123

// Reason returns the reason of a close: the name of the code, or "name: detail". It is always valid UTF-8, even if the detail is
// not (an operator may have typed it). A reason that is too long for a close frame is cut between two characters. A code outside
// the table has no name, so only the detail is returned.
func Reason(code int, detail string) string {
	reason := ""
	for i := range Codes {
		if Codes[i].Code == code {
			reason = Codes[i].Name
			break
		}
	}
	switch {
	case detail == "":
		return reason
	case reason == "":
		reason = detail
	default:
		reason += ": " + detail
	}
	reason = strings.ToValidUTF8(reason, "\ufffd")
	if len(reason) <= maxReason {
		return reason
	}
	end := maxReason
	for !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}
