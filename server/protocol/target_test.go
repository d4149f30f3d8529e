package protocol_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"dotsconnect/server/protocol"
)

func TestAddressesLeadToRooms(t *testing.T) {
	long := strings.Repeat("x", protocol.MaxRoomBytes)
	for _, test := range []struct{ path, query, key string }{
		{"/ws/chat/lobby/", "", "chat/lobby"},
		{"/ws/chat/lobby", "v=1", "chat/lobby"},
		{"/ws/raw/lobby/", "", "raw/lobby"},
		{"/ws/chat/lobby/", "since=1-2&v=1&v=1&&x&%zz=2", "chat/lobby"},
		{"/ws/chat/lobby/", "last=x&presence=9&echo&slow=&batch=2&was=x&v=%31", "chat/lobby"},
		{"/ws/chat/Lobby/", "", "chat/Lobby"},
		{"/ws/chat/%4cobby/", "", "chat/Lobby"},
		{"/ws/chat/caf%C3%A9/", "", "chat/café"},
		{"/ws/chat/a+b/", "", "chat/a+b"},
		{"/ws/chat/a%20b/", "", "chat/a b"},
		{"/ws/chat/a%2541/", "", "chat/a%41"},
		{"/ws/chat/./", "", "chat/."},
		{"/ws/chat/../", "", "chat/.."},
		{"/ws/chat/%2e%2E/", "", "chat/.."},
		{"/ws/chat/*/", "", "chat/*"},
		{"/ws/chat/[a-z]/", "", "chat/[a-z]"},
		{"/ws/chat/__keyspace@0__:x/", "", "chat/__keyspace@0__:x"},
		{"/ws/chat/a%23%3F/", "", "chat/a#?"},
		{"/ws/chat/chat", "", "chat/chat"},
		{"/ws/chat/" + long, "", "chat/" + long},
		{"/ws/chat/" + strings.Repeat("%41", protocol.MaxRoomBytes) + "/", "", "chat/" + strings.Repeat("A", protocol.MaxRoomBytes)},
	} {
		target, ok, err := protocol.ParseTarget(test.path, test.query)
		if err != nil || !ok || target.Key() != test.key || target.Version != 1 {
			t.Errorf("%s?%s: got %+v, %v, %v, want %s", test.path, test.query, target, ok, err, test.key)
		}
		if again, err := protocol.ParseKey(target.Key()); err != nil || again != target {
			t.Errorf("the key %q parses to %+v, %v, want %+v", target.Key(), again, err, target)
		}
	}
}

func TestOtherPathsAreNoAddresses(t *testing.T) {
	for _, path := range []string{
		"", "/", "*", "/chat/lobby/", "/ws//", "/wschat/lobby/", "/ws-chat", "/ws/dots/lobby/", "/ws/chats/lobby/",
		"/ws/Chat/lobby/", "/WS/chat/lobby/", "/ws/%63hat/lobby/", "/ws/chat/a/b", "/ws/chat/a//", "/ws/chat//a/",
		"/ws//chat/lobby/", "/ws/dots/%zz/", "/x/ws/chat/lobby/", "ws/chat/lobby/", "/ws/chat/a/b?v=2",
	} {
		if target, ok, err := protocol.ParseTarget(path, "v=2"); ok || err != nil || target != (protocol.Target{}) {
			t.Errorf("%q: got %+v, %v, %v, want no address", path, target, ok, err)
		}
	}
}

func TestRefusedAddressesNameTheRule(t *testing.T) {
	for _, test := range []struct{ path, query, want string }{
		{"/ws/chat", "", "the room name is empty"},
		{"/ws/chat/", "", "the room name is empty"},
		{"/ws/raw//", "", "the room name is empty"},
		{"/ws/chat/" + strings.Repeat("x", 129), "", "longer than 128 bytes"},
		{"/ws/chat/" + strings.Repeat("%41", 129), "", "longer than 128 bytes"},
		{"/ws/chat/" + strings.Repeat("x", 10_000), "", "longer than 128 bytes"},
		{"/ws/chat/%00/", "", "control character"},
		{"/ws/chat/a%0ab/", "", "control character"},
		{"/ws/chat/a%0D%0AX:y/", "", "control character"},
		{"/ws/chat/%7f/", "", "control character"},
		{"/ws/chat/%C2%85/", "", "control character"},
		{"/ws/chat/a%2Fb/", "", "slash"},
		{"/ws/chat/%2f/", "", "slash"},
		{"/ws/chat/%ff/", "", "not valid UTF-8"},
		{"/ws/chat/%ED%A0%80/", "", "not valid UTF-8"},
		{"/ws/chat/%/", "", "percent sign"},
		{"/ws/chat/%4/", "", "percent sign"},
		{"/ws/chat/%zz/", "", "percent sign"},
		{"/ws/chat/%+1/", "", "percent sign"},
		{"/ws/chat/caf\xc3\xa9/", "", "must be percent-encoded"},
		{"/ws/chat/a b/", "", "must be percent-encoded"},
		{"/ws/chat/a#b/", "", "must be percent-encoded"},
		{"/ws/", "v=1", "connect to /ws/?v=2, or to /ws/chat/ROOM/ for one room"},
		{"/ws", "", "connect to /ws/?v=2, or to /ws/chat/ROOM/ for one room"},
		{"/ws/", "v=2&batch=2", "batch must be 0 or 1"},
		{"/ws/raw/lobby/", "v=2", "v must be 1 for a raw room; leave v out"},
		{"/ws/raw/lobby/", "a=b&%76=%32", "v must be 1 for a raw room; leave v out"},
		{"/ws/chat/lobby/", "v=1&v=2", "v must be 1 or 2; leave v out for 1"},
		{"/ws/chat/lobby/", "v=2&v=2&v=1", "v must be 1 or 2; leave v out for 1"},
		{"/ws/chat/lobby/", "v=3", "v must be 1 or 2; leave v out for 1"},
		{"/ws/raw/lobby/", "v=22", "v must be 1 or 2; leave v out for 1"},
		{"/ws/chat/lobby/", "v", "v must be 1"},
		{"/ws/chat/lobby/", "v=%zz", "v must be 1"},
	} {
		target, ok, err := protocol.ParseTarget(test.path, test.query)
		if !ok || err == nil || target != (protocol.Target{}) {
			t.Errorf("%.60q?%s: got %+v, %v, %v, want a refusal", test.path, test.query, target, ok, err)
			continue
		}
		if err.Status != http.StatusBadRequest || !strings.Contains(err.Text, test.want) {
			t.Errorf("%.60q?%s: got %d %q, want 400 %q", test.path, test.query, err.Status, err.Text, test.want)
		}
	}
}

func TestKeysOfOtherShapesAreRefused(t *testing.T) {
	for _, key := range []string{"", "chat", "chat/", "lobby", "dots/lobby", "chat/a/b", "/chat/a", "raw/\n", "raw/%"} {
		target, err := protocol.ParseKey(key)
		if want := key != "raw/%"; (err != nil) != want { // keys are not percent-encoded
			t.Errorf("%q: got %+v, %v, want an error: %v", key, target, err, want)
		}
	}
}

func TestSpacesKeepRoomsApart(t *testing.T) {
	chat, raw := protocol.Target{Space: protocol.Chat, Room: "x"}, protocol.Target{Space: protocol.Raw, Room: "x"}
	if chat.Key() == raw.Key() {
		t.Errorf("two rooms share the key %q", chat.Key())
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, path := range []string{"/ws/chat/lobby/", "/ws/raw/%E2%82%AC", "/ws/chat/..", "/ws/chat/%2F/", "/ws/chat/%00", "/ws/", "/ws/chat/a/b"} {
		f.Add(path, "v=1")
	}
	f.Add("/ws/chat/x", "v=%32&&=")
	f.Add("/ws/", "v=2&batch=1")
	f.Add("/ws/chat/x", "v=2&since=5XgwIF-----33V-4&last=1001&presence=2&ech%6F=0&slow=gap&batch=1&was=Zr0-mB7cQ2xW5tYp")
	f.Add("/ws/chat/x", "v=2&since=%zz&since="+strings.Repeat("%41", 18))
	f.Fuzz(func(t *testing.T, path, query string) {
		target, ok, refusal := protocol.ParseTarget(path, query)
		if !ok || refusal != nil {
			if target != (protocol.Target{}) {
				t.Fatalf("got the room %+v together with a refusal", target)
			}
			if refusal != nil && (refusal.Status != http.StatusBadRequest || !printable(refusal.Text)) {
				t.Fatalf("bad refusal %+v", refusal)
			}
			return
		}
		if target.Many {
			checkOptions(t, target)
			again, ok, refusal := protocol.ParseTarget("/ws/", queryOf(target))
			if !ok || refusal != nil || again != target || target.Room != "" || target.Version != 2 || path != "/ws" && path != "/ws/" {
				t.Fatalf("%q: got %+v, encoded again it leads to %+v", path, target, again)
			}
			return
		}
		room := target.Room
		if protocol.CheckRoom(room) != nil || !utf8.ValidString(room) || len(room) > protocol.MaxRoomBytes {
			t.Fatalf("the room %q got in", room)
		}
		checkOptions(t, target)
		again, ok, refusal := protocol.ParseTarget("/ws/"+target.Space.String()+"/"+url.PathEscape(room), queryOf(target))
		if !ok || refusal != nil || again != target {
			t.Fatalf("%q: encoded again it leads to %+v, want %+v", path, again, target)
		}
		raw := strings.TrimSuffix(strings.TrimPrefix(path, "/ws/"+target.Space.String()+"/"), "/")
		if want, err := url.PathUnescape(raw); err != nil || room != want {
			t.Fatalf("%q: got the room %q, want %q", path, room, want)
		}
	})
}
