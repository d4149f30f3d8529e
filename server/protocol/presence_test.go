package protocol_test

import (
	"encoding/json"
	"testing"

	"dotsconnect/server/protocol"
)

func TestEventsOfPresence(t *testing.T) {
	p := protocol.Position{Tag: 0x1a2b3c4d, Seq: 1042, Index: 5}
	ann, bob := protocol.Member{User: "ann", N: 2, Info: []byte(`{"color":"red"}`)}, protocol.Member{User: `b"ob`, N: 1}
	for _, c := range []struct {
		rest []byte
		p    *protocol.Position
		room string
		want string
	}{
		{protocol.AppendMembersRest(nil, []protocol.Member{ann, bob}, 5), nil, "",
			`{"event":"members","members":[{"user":"ann","n":2,"info":{"color":"red"}},{"user":"b\"ob","n":1}],"count":5}`},
		{protocol.AppendMembersRest(nil, nil, 1), &p, "lobby", `{"event":"members","id":"5XgwIF-----33V-4","room":"lobby","members":[],"count":1}`},
		{protocol.AppendPresenceRest(nil, true, []protocol.Member{bob}, []string{"ann", "c"}, 3), &p, "",
			`{"event":"presence","id":"5XgwIF-----33V-4","count":3,"join":[{"user":"b\"ob","n":1}],"leave":["ann","c"]}`},
		{protocol.AppendPresenceRest(nil, true, nil, []string{"ann"}, 3), nil, "", `{"event":"presence","count":3,"leave":["ann"]}`},
		{protocol.AppendPresenceRest(nil, true, nil, nil, 3), nil, "", `{"event":"presence","count":3,"join":[]}`},
		{protocol.AppendPresenceRest(nil, false, nil, nil, 3), nil, "", `{"event":"presence","count":3}`},
	} {
		frame := protocol.AppendPresence([]byte("before"), c.room, c.p, c.rest)[len("before"):]
		if got := string(frame[2:]); got != c.want || !json.Valid([]byte(got)) || int(frame[1]) != len(c.want) {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
