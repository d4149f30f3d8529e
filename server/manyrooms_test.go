package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// joinMany opens a connection with many rooms.
func (s *testServer) joinMany(t *testing.T) *client2 {
	t.Helper()
	return &client2{wire: s.join(t, "/ws/?v=2")}
}

// next reads the next object, which may be about any room. It does not compare ids, because those of two rooms are not comparable.
func (c *client2) any() (o object) {
	c.t.Helper()
	c.since = ""
	return c.read()
}

func TestOneSocketHasManyRooms(t *testing.T) {
	s := startServer(t, nil)
	one := s.join2(t, "")
	many := s.joinMany(t)
	many.text(`[{"join":"lobby"},{"join":"caf\u00e9 \"x\""}]`)
	opened := map[string]object{}
	for range 2 {
		o := many.any()
		if o.Event != "open" || len(o.ID) != 16 || o.Resumed != nil {
			t.Fatalf("got %+v, want open", o)
		}
		opened[o.Room] = o
	}
	if o, ok := opened[`café "x"`]; !ok || opened["lobby"].Count != 2 || o.Me != opened["lobby"].Me || o.Key != opened["lobby"].Key {
		t.Errorf("opened %+v, want both rooms with the same me and key", opened)
	}
	one.say("hello")
	one.hear(1)
	if o := many.any(); o.Room != "lobby" || string(*o.Message) != `"hello"` || o.ID != one.since {
		t.Errorf("got %+v, want the message of lobby at %s", o, one.since)
	}
	many.text(`{"message":{"n":1},"room":"lobby","ref":3}`)
	if o := many.any(); o.Room != "lobby" || o.From != opened["lobby"].Me || o.Ref != 3 {
		t.Errorf("got %+v, want its own message", o)
	}
	if o := many.any(); o.Event != "ack" || o.Room != "lobby" || o.Ref != 3 {
		t.Errorf("got %+v, want its acknowledgement", o)
	}
	if o := one.read(); o.Room != "" || string(*o.Message) != `{"n":1}` {
		t.Errorf("the connection with one room got %+v", o)
	}
	many.text(`"heartbeat"`)
	if o := many.any(); o.Event != "heartbeat" || o.ID != "" {
		t.Errorf("got %+v, want a heartbeat without an id", o)
	}
	many.text(`{"leave":"lobby"}`)
	if o := many.any(); o.Event != "left" || o.Room != "lobby" {
		t.Errorf("got %+v, want left", o)
	}
	one.say("not for it")
	one.hear(1)
	many.text(`{"message":2,"room":"caf\u00e9 \"x\""}`)
	if o := many.any(); o.Room != `café "x"` || string(*o.Message) != "2" {
		t.Errorf("got %+v, want only the message of the other room", o)
	}
}

func TestABadRequestOnASocketWithManyRoomsNamesTheRoom(t *testing.T) {
	s := startServer(t, func(c *Config) { c.RoomsPerSocket, c.RoomMembers = 2, 1 })
	s.join2(t, "") // lobby is full now
	many := s.joinMany(t)
	many.text(`{"join":"a"}`)
	many.any()
	for _, row := range []struct {
		request, name, room string
		code                int
	}{
		{`{"join":"a","ref":9}`, "already_joined", "", 4500},
		{`{"join":""}`, "bad_frame", "", 4500},
		{`{"join":"a/b"}`, "bad_frame", "", 4500},
		{`{"leave":"b"}`, "not_joined", "", 4500},
		{`{"message":1}`, "bad_frame", "", 4500},
		{`{"message":1,"room":"b","ref":4}`, "not_joined", "b", 4500},
		{`{"message":1,"room":"","ref":4}`, "bad_frame", "", 4500},
		{`{"members":true,"room":"b"}`, "not_joined", "b", 4500},
		{`{"join":"c","presence":3}`, "bad_frame", "", 4500},
		{`{"join":"lobby"}`, "room_full", "lobby", 4103},
		{`{"join":"lobby","since":"zzzzzzzzzzzzzzzz"}`, "room_full", "lobby", 4103},
	} {
		many.text(row.request)
		if o := many.any(); o.Error == nil || o.Error.Name != row.name || o.Error.Code != row.code || row.room != "" && o.Room != row.room {
			t.Errorf("%s: got %+v %+v, want %d %s about %q", row.request, o, o.Error, row.code, row.name, row.room)
		}
	}
	many.text(`{"join":"b"}`)
	many.any()
	many.text(`{"join":"c"}`)
	if o := many.any(); o.Error == nil || o.Error.Name != "too_many_rooms" || o.Room != "c" {
		t.Errorf("got %+v, want too_many_rooms", o)
	}
	single := s.joinAnother(t)
	single.text(`{"join":"x"}`)
	if o := single.read(); o.Error == nil || o.Error.Code != 4500 || !strings.Contains(o.Error.Text, "/ws/?v=2") {
		t.Errorf("got %+v, want an error that names the address", o)
	}
}

func (s *testServer) joinAnother(t *testing.T) *client2 {
	t.Helper()
	c := &client2{wire: s.join(t, "/ws/chat/another/?v=2")}
	c.read()
	return c
}

// Each room of a socket is resumed by its own position.
func TestRoomsOfASocketAreResumedOneByOne(t *testing.T) {
	s := startServer(t, nil)
	talker := s.joinMany(t)
	var ids []string
	for i := range 3 {
		talker.text(fmt.Sprintf(`{"join":"r%d"}`, i))
		ids = append(ids, talker.any().ID)
		for j := range 2 {
			talker.text(fmt.Sprintf(`{"message":"%d.%d","room":"r%d"}`, i, j, i))
			talker.any()
		}
	}
	back := s.joinMany(t)
	back.text(fmt.Sprintf(`[{"join":"r0","since":%q},{"join":"r1","last":1},{"join":"r2","since":"zzzzzzzzzzzzzzzz"}]`, ids[0]))
	got := map[string][]string{}
	for range 9 {
		o := back.any()
		switch {
		case o.Message != nil:
			got[o.Room] = append(got[o.Room], string(*o.Message))
		case o.Resumed != nil:
			got[o.Room] = append(got[o.Room], fmt.Sprint(o.Event, " ", *o.Resumed))
		default:
			got[o.Room] = append(got[o.Room], o.Event)
		}
		if len(got["r0"]) == 4 && len(got["r1"]) == 3 && len(got["r2"]) == 2 {
			break
		}
	}
	for room, want := range map[string][]string{
		"r0": {"open true", `"0.0"`, `"0.1"`, "live"}, "r1": {"open", `"1.1"`, "live"}, "r2": {"open false", "live"},
	} {
		if !slices.Equal(got[room], want) {
			t.Errorf("%s: got %q, want %q", room, got[room], want)
		}
	}
}

// A gap that the backend announces reaches members of version 2 as an event, in the order of the room, and nobody else.
func TestAGapReachesMembersOfVersion2(t *testing.T) {
	s := startServer(t, nil)
	one, two, many := s.join(t, "/ws/chat/lobby/"), s.join2(t, ""), s.joinMany(t)
	many.text(`{"join":"lobby"}`)
	many.any()
	two.say("before")
	before := two.hear(1)
	at := two.since
	for lane := range s.node.Directory().Lanes() { // only one of them has the room
		s.gap(lane, []string{"chat/lobby"})
	}
	two.say("after")
	if o := two.read(); o.Event != "gap" || o.Reason != "backend" || o.ID != at || before[0] != "before" {
		t.Errorf("got %+v, want a gap at %s", o, at)
	}
	two.hear(1)
	many.any()
	if o := many.any(); o.Event != "gap" || o.Room != "lobby" {
		t.Errorf("got %+v, want the gap of lobby", o)
	}
	one.hears("before")
	one.hears("after")
}
