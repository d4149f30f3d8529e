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
	CloseReplaced           = 4505
)

// Code is a row of the table of all codes with which a connection ends.
type Code struct {
	Code int
	Name string // as it appears in the reason of a close, in logs and in metrics
	When string

	// Reserved is true for a code that no node sends yet.
	Reserved bool
}

// Codes is the table of all codes; PROTOCOL.md has it too. It must not be changed at run time.
var Codes = []Code{
	{Code: CloseNormal, Name: "normal closure", When: "the client closed the connection; the server echoes its code"},
	{Code: CloseGoingAway, Name: "going away", When: "the client closed the connection, as a browser does when the user leaves the page; the server echoes its code"},
	{Code: CloseProtocolError, Name: "protocol error", When: "unmasked frame, reserved bits or opcode, bad control frame, bad close body"},
	{Code: CloseInvalidUTF8, Name: "invalid UTF-8", When: "a text message, or the reason in a close frame, is not valid UTF-8"},
	{Code: ClosePolicy, Name: "policy", When: "too many fragments, control frames or (in a raw room) tiny messages, or a frame that stays incomplete without progress for 10 s"},
	{Code: CloseTooBig, Name: "too big", When: "message over `max_message`"},
	{Code: CloseInternalError, Name: "internal error", When: "an error in the server; the reason contains an id that leads an operator to the error in the server's log"},
	{Code: CloseHeartbeatMissed, Name: "heartbeat_missed", When: "no sign of life for `max_age`"},
	{Code: CloseSlowConsumer, Name: "slow_consumer", When: "the client reads more slowly than its room sends"},
	{Code: CloseRateLimited, Name: "rate_limited", When: "the client asks for too much in too short a time, or, as the answer to a POST, the room or the node is busy"},
	{Code: CloseRoomFull, Name: "room_full", When: "the room has reached its limit of members, or the node its limit of rooms"},
	{Code: CloseBackendUnavailable, Name: "backend_unavailable", When: "the server could not pass a message of this client on to the other nodes, or does not know whether it did: the message may have arrived nevertheless"},
	{Code: CloseGap, Name: "gap", When: "this member may have missed messages of the room, and they cannot be recovered: fetch the room's state again"},
	{Code: CloseDraining, Name: "draining", When: "this node is going out of service; connect again to reach another one"},
	{Code: CloseBadFrame, Name: "bad_frame", When: "v1: a message that is neither `{\"message\":X}` nor `\"heartbeat\"`"},
	{Code: CloseUnauthorized, Name: "unauthorized", When: "token missing, invalid or expired"},
	{Code: CloseKicked, Name: "kicked", When: "closed by an operator"},
	{Code: CloseForbidden, Name: "forbidden", When: "the server does not let the client use this room"},
	{Code: CloseReplaced, Name: "replaced", When: "v2: another connection of this client has named the key of this one (`was`) and takes its place"},
}

// CodesMarkdown returns the table for PROTOCOL.md.
func CodesMarkdown() string {
	var b strings.Builder
	b.WriteString("| code | name | when |\n|---|---|---|\n")
	for _, c := range Codes {
		reserved := ""
		if c.Reserved {
			reserved = " (reserved; not sent yet)"
		}
		fmt.Fprintf(&b, "| %d | %s | %s%s |\n", c.Code, c.Name, c.When, reserved)
	}
	return b.String()
}

// NameOf returns the name of a code, or "" if the table does not have it.
func NameOf(code int) string {
	for i := range Codes {
		if Codes[i].Code == code {
			return Codes[i].Name
		}
	}
	return ""
}

// maxReason is the number of bytes that a close frame has for the reason: the 125 bytes of a control frame, less two for the code
// (RFC 6455, section 5.5).
const maxReason = 123

// Reason returns the reason of a close: the name of the code, or "name: detail". It is always valid UTF-8, even if the detail is
// not (an operator may have typed it). A reason that is too long for a close frame is cut between two characters. A code outside
// the table has no name, so only the detail is returned.
func Reason(code int, detail string) string {
	reason := NameOf(code)
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
