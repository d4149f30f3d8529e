package protocol_test

import (
	"strings"
	"testing"

	"dotsconnect/server/protocol"
)

func TestAddressesOfStreamsLeadToRooms(t *testing.T) {
	const id = "5XgwIF-----33V-4"
	for _, test := range []struct {
		path, query, last string
		want              protocol.Options
	}{
		{"/sse/chat/lobby/", "", "", protocol.Options{}},
		{"/sse/chat/lobby", "v=2&x=y&echo=0&batch=1&slow=gap&was=", "", protocol.Options{}}, // keys that a reader does not have
		{"/sse/chat/lobby/", "since=" + id, "", protocol.Options{Since: id}},
		{"/sse/chat/lobby/", "since=" + id + "&last=5", "zzzzzzzzzzzzzzzz", protocol.Options{Since: "zzzzzzzzzzzzzzzz", Last: 5}},
		{"/sse/chat/l%6fbby/", "since=" + id, strings.Repeat("x", 100), protocol.Options{Since: strings.Repeat("x", 17)}},
		{"/sse/chat/lobby/", "presence=1", "", protocol.Options{Presence: 1}},
	} {
		target, ok, refusal := protocol.ParseSSE(test.path, test.query, test.last)
		test.want.Echo, test.want.Slow = true, protocol.SlowClose
		if !ok || refusal != nil || target.Key() != "chat/lobby" || target.Version != 2 || target.V2 != test.want {
			t.Errorf("%s?%s: got %+v, %v, %v, want %+v", test.path, test.query, target, ok, refusal, test.want)
		}
	}
}

func TestAddressesOverHTTPFollowTheRulesOfRooms(t *testing.T) {
	for _, test := range []struct {
		room string
		ok   bool
		want string // in the refusal; "" if there is none
	}{
		{"chat/lobby", true, ""}, {"chat/lobby/", true, ""}, {"chat/a%20b/", true, ""}, {"chat/..", true, ""},
		{"chat", true, "empty"}, {"chat/", true, "empty"}, {"chat/%00", true, "control"}, {"chat/a%2Fb", true, "slash"}, {"chat/%zz", true, "percent"},
		{"chat/" + strings.Repeat("x", 129), true, "128 bytes"},
		{"raw/lobby", false, ""}, {"chats/lobby", false, ""}, {"Chat/lobby", false, ""}, {"chat/a/b", false, ""}, {"chat/a//", false, ""}, {"", false, ""}, {"/chat/a", false, ""},
	} {
		_, ok, refusal := protocol.ParsePost("/" + test.room)
		_, okSSE, refusalSSE := protocol.ParseSSE("/sse/"+test.room, "", "")
		if ok != test.ok || okSSE != test.ok || (refusal == nil) != (test.want == "") || refusal != nil && (!strings.Contains(refusal.Text, test.want) || *refusal != *refusalSSE) {
			t.Errorf("%.40q: got %v, %v and %v, %v, want %v, %q", test.room, ok, refusal, okSSE, refusalSSE, test.ok, test.want)
		}
	}
	for _, path := range []string{"", "chat/lobby", "/ws/chat/lobby/", "/sse", "/sse/", "/SSE/chat/lobby", "/ssechat/lobby"} {
		if _, ok, _ := protocol.ParseSSE(path, "", ""); ok {
			t.Errorf("%q is an address of a stream", path)
		}
	}
	for _, query := range []string{"v=1", "v=3", "v", "v=2&v=1", "%76=1", "last=x", "presence=3"} {
		if _, ok, refusal := protocol.ParseSSE("/sse/chat/lobby/", query, ""); !ok || refusal == nil {
			t.Errorf("%s: got %v, %v, want a refusal", query, ok, refusal)
		}
	}
}
