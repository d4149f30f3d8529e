package protocol

import (
	"strings"

	"dotsconnect/server/websocket"
)

// A chat room has two more addresses, for clients that do not speak WebSocket: /sse/chat/ROOM/ is a stream of Server-Sent Events, and
// /chat/ROOM/ takes messages by POST.

// ParseSSE reads the path and the query of a stream's address, as ParseTarget does for a WebSocket. lastEventID is the value of the field
// Last-Event-ID, or "". It wins over the key since, because an EventSource that reconnects sends both.
func ParseSSE(rawPath, rawQuery, lastEventID string) (t Target, ok bool, err *websocket.HeadError) {
	rest, ok := strings.CutPrefix(rawPath, "/sse/")
	if !ok {
		return Target{}, false, nil
	}
	if t, ok, err = parseChat(rest); !ok || err != nil {
		return Target{}, ok, err
	}
	if err = checkVersion2(rawQuery); err != nil {
		return Target{}, true, err
	}
	o, err := parseOptions(rawQuery)
	if err != nil {
		return Target{}, true, err
	}
	t.Version, t.V2 = 2, Options{Since: o.Since, Last: o.Last, Presence: o.Presence, Echo: true, Slow: SlowClose}
	if lastEventID != "" {
		t.V2.Since = strings.Clone(lastEventID[:min(len(lastEventID), PositionSize+1)])
	}
	return t, true, nil
}

// ParsePost reads the path of the address that takes messages.
func ParsePost(rawPath string) (t Target, ok bool, err *websocket.HeadError) {
	rest, ok := strings.CutPrefix(rawPath, "/")
	if !ok {
		return Target{}, false, nil
	}
	return parseChat(rest)
}

// parseChat reads "chat/ROOM", with or without a slash at its end.
func parseChat(raw string) (t Target, ok bool, err *websocket.HeadError) {
	word, rawRoom, _ := strings.Cut(raw, "/")
	rawRoom = strings.TrimSuffix(rawRoom, "/")
	if space, known := parseSpace(word); !known || space != Chat || strings.Contains(rawRoom, "/") {
		return Target{}, false, nil
	}
	room, rule := decodeRoom(rawRoom)
	if rule == nil {
		rule = CheckRoom(room)
	}
	if rule != nil {
		return Target{}, true, refuse(rule.Error())
	}
	return Target{Space: Chat, Room: room, Version: 1}, true, nil
}

// checkVersion2 refuses another version than 2, if the query names one.
func checkVersion2(rawQuery string) *websocket.HeadError {
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if key, value, _ := strings.Cut(pair, "="); spelledInQuery(key, "v") && !spelledInQuery(value, "2") {
			return refuse("v must be 2; leave v out")
		}
	}
	return nil
}
