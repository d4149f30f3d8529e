package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// roomsAnswer is the answer of GET /api/rooms.
type roomsAnswer struct {
	Rooms []roomInfo `json:"rooms"`
	Total int        `json:"total"`
}

func TestRoomsAreListedByTheirMembers(t *testing.T) {
	s := startServer(t, nil)
	for _, path := range []string{"/ws/chat/b/", "/ws/chat/a/", "/ws/chat/big/", "/ws/chat/big/", "/ws/raw/big/", "/ws/chat/big/"} {
		s.join(t, path)
	}
	var got roomsAnswer
	s.get(t, "/api/rooms").into(t, &got)
	want := roomsAnswer{Rooms: []roomInfo{{Room: "chat/big", Members: 3}, {Room: "chat/a", Members: 1}, {Room: "chat/b", Members: 1}, {Room: "raw/big", Members: 1}}, Total: 4}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	got = roomsAnswer{}
	s.get(t, "/api/rooms?top=2").into(t, &got)
	want.Rooms = want.Rooms[:2]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("top=2 (- want, + got):\n%s", diff)
	}
	for _, top := range []string{"0", "-1", "1001", "many"} {
		if r := s.request(t, "GET", "/api/rooms?top="+top, ""); r.status != 400 || !strings.Contains(r.errorText(t), "1000") {
			t.Errorf("top=%s: got HTTP %d %s, want 400 with the range", top, r.status, r.body)
		}
	}
}

func TestANodeWithoutRoomsHasAnEmptyList(t *testing.T) {
	if got, want := startServer(t, nil).get(t, "/api/rooms").body, `{"rooms":[],"total":0}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTopKeepsTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		want, got := []roomInfo{}, newTop(limit, compareRooms)
		for i, members := range rapid.SliceOf(rapid.IntRange(1, 4)).Draw(t, "members") {
			r := roomInfo{Room: fmt.Sprintf("chat/%d", i), Members: members}
			want = append(want, r)
			got.offer(r)
		}
		slices.SortFunc(want, compareRooms)
		if diff := cmp.Diff(want[:min(len(want), limit)], got.sorted()); diff != "" || got.offered != len(want) {
			t.Fatalf("%d offered, want %d (- want, + got):\n%s", got.offered, len(want), diff)
		}
	})
}

func TestARoomTellsItsMembers(t *testing.T) {
	s := startServer(t, nil)
	for range 3 {
		s.join(t, "/ws/chat/lobby/")
	}
	s.join(t, "/ws/raw/lobby/")
	if got, want := s.get(t, "/api/rooms/chat/lobby").body, `{"room":"chat/lobby","members":3}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for target, want := range map[string]int{
		"/api/rooms/chat/Lobby": 404, "/api/rooms/raw/nobody": 404, "/api/rooms/dm/lobby": 404, "/api/rooms/chat/lobby?connections=all": 400,
	} {
		if r := s.request(t, "GET", target, ""); r.status != want {
			t.Errorf("%s: got HTTP %d, want %d", target, r.status, want)
		}
	}
}

// The API must refuse the same names with 400 as the address of a WebSocket. A good name gets 404 here, because its room is
// empty.
func TestARoomInThePathIsReadAsInTheAddressOfAWebSocket(t *testing.T) {
	s := startServer(t, nil)
	for _, name := range []string{
		"lobby", "caf%C3%A9", "a%20b", "a+b", "a%25b", "a%252Fb", "*", "[a-z]", "a|b", `a"b`, "a<b>", `a\b`, "a^b", "a`b", "{a}", "a;b=c", "a&b", "a:b", "@", "~",
		"%2E", "%2e%2E", "...", "__keyspace@0__:x", strings.Repeat("x", 128), strings.Repeat("%C3%A9", 64), "%7F%20", "%C2%85", "%00", "%0a", "%0d%0a",
		"a%2Fb", "a%2fb", "%2F", "%2F..%2F", "%FF", "%C3", "%ED%A0%80", "caf\xc3\xa9", "\xff", "a#b", "a%2F\xff", strings.Repeat("x", 129), strings.Repeat("%41", 129), strings.Repeat("%41", 128),
	} {
		_, _, refusal := protocol.ParseTarget("/ws/chat/"+name, "")
		want := http.StatusNotFound
		if refusal != nil {
			want = http.StatusBadRequest
		}
		got := s.request(t, "GET", "/api/rooms/chat/"+name, "")
		if got.status != want {
			t.Errorf("%q: got HTTP %d %s, want %d (%v)", name, got.status, got.body, want, refusal)
		}
		got.errorText(t)
		if published := s.request(t, "POST", "/api/rooms/chat/"+name+"/messages", `{"message":1}`); (published.status == http.StatusAccepted) != (refusal == nil) {
			t.Errorf("publish into %q: got HTTP %d %s (%v)", name, published.status, published.body, refusal)
		}
	}
	for _, name := range []string{"..", ".", ""} { // clients and proxies remove such parts of a path
		if got := s.request(t, "POST", "/api/rooms/chat/"+name+"/messages", `{"message":1}`); got.status != http.StatusBadRequest {
			t.Errorf("%q: got HTTP %d %s, want 400", name, got.status, got.body)
		}
	}
}

func TestARoomThatIsNamedByDotsOrAPercentSignIsReached(t *testing.T) {
	s := startServer(t, nil)
	for _, name := range []string{"%2E%2E", "50%25", "a%3Fb", "caf%C3%A9", "a|b"} {
		member := s.join(t, "/ws/chat/"+name+"/")
		if got := s.request(t, "POST", "/api/rooms/chat/"+name+"/messages", `{"message":"hello"}`).body; got != `{"accepted":true,"members":1}`+"\n" {
			t.Errorf("%s: got %s, want one member", name, got)
		}
		member.hears("hello")
	}
}

func TestAMessageOfTheAPIReachesEveryMemberAsItIs(t *testing.T) {
	s := startServer(t, nil)
	members := []*wire{s.join(t, "/ws/chat/lobby/"), s.join(t, "/ws/chat/lobby/"), s.join(t, "/ws/chat/lobby/")}
	other := s.join(t, "/ws/raw/lobby/")
	got := s.request(t, "POST", "/api/rooms/chat/lobby/messages", `{"ref":1, "message": {"big":12345678901234567890, "tag":"<b>"} }`, "Content-Type", "application/json")
	if got.status != http.StatusAccepted || got.body != `{"accepted":true,"members":3}`+"\n" {
		t.Errorf("got HTTP %d %s, want 202 and 3 members", got.status, got.body)
	}
	for _, m := range members {
		if got, want := m.message(), `{"message":{"big":12345678901234567890, "tag":"<b>"}}`; got != want {
			t.Errorf("a member got %s, want %s", got, want)
		}
	}
	other.text("alone")
	if got := other.message(); got != "alone" {
		t.Errorf("the raw room of that name got %s", got)
	}
}

func TestARawMessageOfTheAPIIsTextOrBinaryByItsType(t *testing.T) {
	s := startServer(t, nil)
	member := s.join(t, "/ws/raw/game/")
	for _, row := range []struct {
		contentType, body string
		op                byte
	}{
		{"text/plain", "grüezi", 1},
		{"text/plain; charset=UTF-8", "", 1},
		{"application/octet-stream", "\x00\xff", 2},
	} {
		if got := s.request(t, "POST", "/api/rooms/raw/game/messages", row.body, "Content-Type", row.contentType); got.status != http.StatusAccepted {
			t.Fatalf("%s: got HTTP %d %s, want 202", row.contentType, got.status, got.body)
		}
		op, payload, err := member.next()
		if err != nil || op != row.op || string(payload) != row.body {
			t.Errorf("%s: the member got opcode %d %q, %v; want %d %q", row.contentType, op, payload, err, row.op, row.body)
		}
	}
}

func TestWhatIsNoMessageIsRefusedAndNobodyNotices(t *testing.T) {
	s := startServer(t, func(c *Config) { c.MaxMessage = 100 })
	chat, raw := s.join(t, "/ws/chat/lobby/"), s.join(t, "/ws/raw/lobby/")
	long := strings.Repeat("x", 100)
	for _, row := range []struct {
		space, contentType, body string
		want                     int
	}{
		{"chat", "", ``, 400},
		{"chat", "", `"heartbeat"`, 400},
		{"chat", "", `"hello"`, 400},
		{"chat", "", `{"text":"hello"}`, 400},
		{"chat", "", `{"message":NaN}`, 400},
		{"chat", "", `{"message":1}{"message":2}`, 400},
		{"chat", "", `{"message":"` + long + `"}`, 413},
		{"raw", "", `x`, 415},
		{"raw", "application/json", `{}`, 415},
		{"raw", "text/plain; charset=latin1", `x`, 415},
		{"raw", "text/plain", "\xff", 400},
		{"raw", "text/plain", long + "x", 413},
		{"raw", "text/plain", long, 202},
	} {
		got := s.request(t, "POST", "/api/rooms/"+row.space+"/lobby/messages", row.body, "Content-Type", row.contentType)
		if got.status != row.want {
			t.Errorf("%s %s %.40q: got HTTP %d %s, want %d", row.space, row.contentType, row.body, got.status, got.body, row.want)
		}
		if row.want >= 400 {
			got.errorText(t)
		}
	}
	if got := raw.message(); got != long {
		t.Errorf("the raw room got %q first, want the one good message", got)
	}
	chat.say("hello")
	chat.hears("hello")
}

func TestAMessageForNobodyIsAccepted(t *testing.T) {
	s := startServer(t, nil)
	got := s.request(t, "POST", "/api/rooms/chat/nobody/messages", `{"message":1}`)
	if got.status != http.StatusAccepted || got.body != `{"accepted":true,"members":0}`+"\n" {
		t.Errorf("got HTTP %d %s, want 202 and no members", got.status, got.body)
	}
	if n := s.node.Directory().Rooms(); n != 0 {
		t.Errorf("%d rooms exist afterwards, want none", n)
	}
}

func TestTheAPIIsTurnedAwayWhileALoopIsBehind(t *testing.T) {
	s := startServer(t, func(c *Config) { c.Loops, c.MaxMessage, c.InboxLimit = 1, 1*KiB, 4*KiB })
	member := s.join(t, "/ws/raw/lobby/")
	publish := func() int {
		return s.request(t, "POST", "/api/rooms/raw/lobby/messages", "a message", "Content-Type", "text/plain").status
	}
	release, held := make(chan struct{}), make(chan struct{})
	s.node.Loops()[0].Call(func(*loop.Loop) { close(held); <-release })
	<-held
	accepted := 0
	for publish() == http.StatusAccepted {
		if accepted++; accepted > 100 {
			t.Fatal("a loop that does not run accepted 100 messages")
		}
	}
	if got := publish(); got != http.StatusServiceUnavailable {
		t.Errorf("got HTTP %d, want 503", got)
	}
	close(release)
	eventually(t, "the node accepts again", func() bool { return publish() == http.StatusAccepted })
	for range accepted + 1 {
		if got := member.message(); got != "a message" {
			t.Fatalf("the member got %q", got)
		}
	}
}

func TestTheLedgerIsEven(t *testing.T) {
	s := startServer(t, nil)
	a, b := s.join(t, "/ws/chat/lobby/"), s.join(t, "/ws/chat/lobby/")
	for i := range 10 {
		a.say(fmt.Sprint(i))
		a.hears(fmt.Sprint(i))
		b.hears(fmt.Sprint(i))
	}
	var got struct {
		ledgerInfo
		Loops []ledgerInfo `json:"loops"`
	}
	s.get(t, "/api/ledger").into(t, &got)
	if want := (ledgerInfo{Even: true, Accepted: 10, Expected: 20, Delivered: 20}); !cmp.Equal(got.ledgerInfo, want) {
		t.Errorf("got %+v, want %+v", got.ledgerInfo, want)
	}
	if len(got.Loops) != 2 || *got.Loops[1].Loop != 1 {
		t.Errorf("got the loops %+v, want both", got.Loops)
	}
}

func TestALoopThatDoesNotAnswerIsNamed(t *testing.T) {
	s := startServer(t, nil)
	release, held := make(chan struct{}), make(chan struct{})
	s.node.Loops()[1].Call(func(*loop.Loop) { close(held); <-release })
	<-held
	impatient := newAPI(s.Server)
	impatient.patience = 10 * time.Millisecond
	w := httptest.NewRecorder()
	call(impatient.ledger).ServeHTTP(w, httptest.NewRequest("GET", "/api/ledger", nil))
	got := response{w.Code, w.Header(), w.Body.String()}
	if got.status != http.StatusServiceUnavailable || !strings.HasPrefix(got.errorText(t), "loop 1 ") {
		t.Errorf("got HTTP %d %s, want 503 about loop 1", got.status, got.body)
	}
	close(release)
	eventually(t, "the loop answers again", func() bool { return s.request(t, "GET", "/api/ledger", "").status == http.StatusOK })
}

func TestTheLoopsAreWalkedForOneRequestAtATime(t *testing.T) {
	s := startServer(t, nil)
	s.join(t, "/ws/chat/lobby/")
	s.admin.api.walking <- struct{}{}
	for _, target := range []string{"/api/ledger", "/api/rooms/chat/lobby?connections=1"} {
		if got := s.request(t, "GET", target, ""); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: got HTTP %d, want 503 with Retry-After", target, got.status)
		}
	}
	<-s.admin.api.walking
	s.get(t, "/api/ledger")
}

// If the members of a room must wait before they publish, the API must wait, too. Otherwise its messages would cause kicks of
// slow members.
func TestTheAPIWaitsForSlowMembersAsConnectionsDo(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		narrow(cfg)
		cfg.StallBudget, cfg.BacklogTime, cfg.HardBacklog = 10*time.Second, time.Hour, 256*KiB
	})
	slow := s.joinNarrow(t, "/ws/chat/lobby/")
	accepted := 0
	post := func() response {
		r := s.request(t, "POST", "/api/rooms/chat/lobby/messages", fmt.Sprintf(`{"message":"%d %s"}`, accepted, strings.Repeat("x", 4000)))
		if r.status == http.StatusAccepted {
			accepted++
		}
		return r
	}
	r := post()
	for r.status == http.StatusAccepted && accepted < 1000 {
		r = post()
	}
	if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
		t.Fatalf("after %d messages HTTP %d, Retry-After %q: %s; want 503 with Retry-After", accepted, r.status, r.header.Get("Retry-After"), r.body)
	}
	for range 24 {
		post()
	}
	if n := s.closes(protocol.CloseSlowConsumer); n != 0 {
		t.Errorf("%d members were kicked as slow by the API", n)
	}
	for i := range accepted {
		if got, want := slow.message(), fmt.Sprintf(`{"message":"%d x`, i); !strings.HasPrefix(got, want) {
			t.Fatalf("message %d begins %.20q, want %q", i, got, want)
		}
	}
	eventually(t, "the room takes messages again", func() bool { return post().status == http.StatusAccepted })
}
