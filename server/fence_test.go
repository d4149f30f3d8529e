package server

import (
	"fmt"
	"testing"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// A client that comes back names the key of its former connection. That one is closed, and what it sends is dropped.
func TestAClientReplacesItsFormerConnection(t *testing.T) {
	s := startServer(t, nil)
	listener, old := s.join2(t, ""), s.join2(t, "")
	old.text(`{"message":"one","ref":1}`)
	listener.hear(1)
	old.hear(1)
	old.read() // the acknowledgement
	back := s.join2(t, "&since="+old.open.ID+"&was="+old.open.Key)
	if o := back.read(); string(*o.Message) != `"one"` || o.From != old.open.Me || o.Ref != 1 {
		t.Errorf("got %+v, want the message of the former connection", o)
	}
	if o := back.read(); o.Event != "live" || o.Fenced == nil || !*o.Fenced {
		t.Errorf("got %+v, want live with a fence", o)
	}
	old.endsWith(4505)
	again := s.join2(t, "&since="+back.since+"&was="+back.open.Key)
	if o := again.read(); o.Event != "live" || o.Fenced == nil || !*o.Fenced {
		t.Errorf("got %+v, want live with a fence", o)
	}
	fresh := s.join2(t, "&was="+again.open.Key) // without since it asks for nothing
	fresh.say("still here")
	again.hear(1)
	for _, key := range []string{"zzzzzzzzzzzzzzzz", "----------------"} { // of no connection, as after a restart
		c := s.join2(t, "&since="+again.since+"&was="+key)
		if o := c.read(); o.Event != "live" || o.Fenced == nil || !*o.Fenced {
			t.Errorf("%s: got %+v, want live with a fence", key, o)
		}
	}
}

func TestEachRoomOfASocketIsFenced(t *testing.T) {
	s := startServer(t, nil)
	old := s.joinMany(t)
	old.text(`[{"join":"a"},{"join":"b"}]`)
	ids, key := map[string]string{}, ""
	for range 2 {
		o := old.any()
		ids[o.Room], key = o.ID, o.Key
	}
	back := &client2{wire: s.join(t, "/ws/?v=2&was="+key)}
	back.text(fmt.Sprintf(`[{"join":"a","since":%q},{"join":"b"}]`, ids["a"]))
	got := map[string]bool{}
	for range 3 {
		o := back.any()
		got[fmt.Sprint(o.Room, o.Event, o.Fenced != nil && *o.Fenced)] = true
	}
	for _, want := range []string{"aopenfalse", "alivetrue", "bopenfalse"} {
		if !got[want] {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	old.endsWith(4505)
}

func TestAKeyIsReadableForItsNodeOnly(t *testing.T) {
	one, two := newSecrets(), newSecrets()
	seen := map[uint64]bool{}
	for _, id := range []loop.ConnID{0, 1, 1 << 56, 1<<63 + 5, 1<<64 - 1} {
		key, me := one.of(id)
		if got, ok := one.open(key); !ok || got != id || me != protocol.MeOf(key) || seen[me] {
			t.Errorf("%x: opened as %x, %v, tag %x", id, got, ok, me)
		}
		seen[me] = true
		if got, ok := two.open(key); ok {
			t.Errorf("%x: another node reads it as %x", id, got)
		}
		for i := range key {
			key[i] ^= 4
			if _, ok := one.open(key); ok {
				t.Errorf("%x: byte %d does not matter", id, i)
			}
			key[i] ^= 4
		}
	}
}
