package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// listed returns the connections of a room as the API lists them, in its order.
func (s *testServer) listed(t *testing.T, room string) roomInfo {
	t.Helper()
	var info roomInfo
	s.get(t, "/api/rooms/"+room+"?connections=1").into(t, &info)
	return info
}

func TestARoomListsItsConnections(t *testing.T) {
	s := startServer(t, nil)
	began := time.Now()
	members := map[string]*wire{} // by address
	for range 3 {
		w := s.join(t, "/ws/chat/lobby/")
		members[w.LocalAddr().String()] = w
	}
	joined := time.Now()
	s.join(t, "/ws/raw/lobby/")
	asked := time.Now()
	info := s.listed(t, "chat/lobby")
	if info.Room != "chat/lobby" || info.Members != 3 || len(info.Connections) != 3 || info.Truncated {
		t.Fatalf("got %+v, want chat/lobby with 3 members, all listed", info)
	}
	for _, c := range info.Connections {
		if _, err := parseID(c.ID); err != nil || members[c.Remote] == nil {
			t.Errorf("got %+v, want an id and one of the addresses", c)
		}
		delete(members, c.Remote)
		least, most := asked.Sub(joined)-loop.Tick, time.Since(began)+loop.Tick
		if age := time.Duration(c.AgeSeconds * float64(time.Second)); age < least || age > most || c.BacklogBytes != 0 {
			t.Errorf("got %+v, want an age between %v and %v and no backlog", c, least, most)
		}
	}
	eventually(t, "they grow older", func() bool { return s.listed(t, "chat/lobby").Connections[0].AgeSeconds > 0.3 })

	var raw map[string]json.RawMessage
	s.get(t, "/api/rooms/raw/lobby?connections=1").into(t, &raw)
	var first []map[string]any
	if err := json.Unmarshal(raw["connections"], &first); err != nil || len(raw) != 3 || len(first) != 1 || len(first[0]) != 5 {
		t.Errorf("got %s, want room, members and connections, with one of 5 fields (%v)", raw, err)
	}
	for _, key := range []string{"id", "remote", "age_seconds", "backlog_bytes"} {
		if _, ok := first[0][key]; !ok {
			t.Errorf("got %v, want %s as well", first[0], key)
		}
	}
}

// The API shows an address without brackets, and without the prefix that a listener for both IP versions adds to an IPv4 address.
func TestAConnectionIsListedWithTheAddressThatItsPeerHas(t *testing.T) {
	for _, listen := range []string{":0", "[::1]:0", "127.0.0.1:0"} {
		s := startServer(t, func(c *Config) { c.Listen = listen })
		w := s.join(t, "/ws/chat/lobby/")
		local := netip.MustParseAddrPort(w.LocalAddr().String())
		want := netip.AddrPortFrom(local.Addr().Unmap(), local.Port()).String()
		if got := s.listed(t, "chat/lobby").Connections[0].Remote; got != want {
			t.Errorf("%s: got %q, want %q", listen, got, want)
		}
	}
}

func TestTheConnectionWithTheLargestBacklogIsListedFirst(t *testing.T) {
	s := startServer(t, func(c *Config) { c.Loops, c.SoftBacklog, c.HardBacklog = 2, 32*MiB, 64*MiB })
	s.admin.api.listed = 2
	var slow string
	for i := range 5 {
		w := s.join(t, "/ws/raw/lobby/")
		if i == 2 {
			slow = w.LocalAddr().String()
			continue
		}
		go func() { // the other members read their messages
			for {
				if _, _, err := w.next(); err != nil {
					return
				}
			}
		}()
	}
	text := strings.Repeat("x", 60<<10)
	eventually(t, "somebody has a backlog", func() bool {
		if got := s.request(t, "POST", "/api/rooms/raw/lobby/messages", text, "Content-Type", "text/plain"); got.status >= 500 {
			return false
		}
		info := s.listed(t, "raw/lobby")
		if len(info.Connections) != 2 || !info.Truncated || info.Members != 5 {
			t.Fatalf("got %+v, want 2 of 5 and a word that there are more", info)
		}
		if !slices.IsSortedFunc(info.Connections, func(a, b connectionInfo) int { return cmp.Compare(b.BacklogBytes, a.BacklogBytes) }) {
			t.Errorf("got %+v, want the largest backlog first", info.Connections)
		}
		first := info.Connections[0]
		return first.Remote == slow && first.BacklogBytes >= 1<<20
	})
}

func TestAnOperatorKicksAConnection(t *testing.T) {
	s := startServer(t, nil)
	good, bad := s.join(t, "/ws/chat/lobby/"), s.join(t, "/ws/chat/bad/")
	target := "/api/connections/" + s.listed(t, "chat/bad").Connections[0].ID
	bad.say("last words")
	bad.hears("last words")
	if got := s.request(t, "DELETE", target+"?reason=too+loud", ""); got.status != http.StatusNoContent || got.body != "" {
		t.Errorf("got HTTP %d %q, want 204", got.status, got.body)
	}
	if got := bad.endsWith(protocol.CloseKicked); got != "kicked: too loud" {
		t.Errorf("closed with %q, want the reason", got)
	}
	if got := s.request(t, "DELETE", target, ""); got.status != http.StatusNotFound {
		t.Errorf("once more: got HTTP %d, want 404", got.status)
	}
	good.say("still here")
	good.hears("still here")
	lines := s.logs.FilterMessage("kicked by an operator").All()
	if len(lines) != 1 {
		t.Fatalf("%d lines were logged, want 1", len(lines))
	}
	got := lines[0].ContextMap()
	if lines[0].Level != zap.InfoLevel || "/api/connections/"+fmt.Sprint(got["connection"]) != target || got["room"] != "chat/bad" || got["reason"] != "too loud" ||
		got["remote"] != bad.LocalAddr().String() {
		t.Errorf("got %v at %v, want the connection with its room and address, and the reason", got, lines[0].Level)
	}
	if caller, err := netip.ParseAddrPort(fmt.Sprint(got["caller"])); err != nil || !caller.Addr().IsLoopback() || caller.String() == bad.LocalAddr().String() {
		t.Errorf("got the caller %v, want the address of the API client", got["caller"])
	}
}

// A parameter without a value counts as true, because people often type it that way.
func TestTheConnectionsAreListedForEveryWordOfYes(t *testing.T) {
	s := startServer(t, nil)
	s.join(t, "/ws/chat/lobby/")
	for query, want := range map[string]int{
		"": 0, "?": 0, "?connections": 1, "?connections=": 1, "?connections=1": 1, "?connections=true": 1, "?connections=0": 0, "?connections=false": 0,
		"?top=1&connections": 1,
	} {
		var info roomInfo
		s.get(t, "/api/rooms/chat/lobby"+query).into(t, &info)
		if len(info.Connections) != want {
			t.Errorf("%q: %d connections are listed, want %d", query, len(info.Connections), want)
		}
	}
	for _, query := range []string{"?connections=yes", "?connections=2", "?connections=%201", "?connections=TRUE", "?connections=t"} {
		got := s.request(t, "GET", "/api/rooms/chat/lobby"+query, "")
		if text := got.errorText(t); got.status != http.StatusBadRequest || !strings.Contains(text, "connections must be 1, true, 0 or false") {
			t.Errorf("%q: got HTTP %d %q, want 400 with the values that it takes", query, got.status, text)
		}
	}
}

func TestAnIDThatIsNoneIsRefused(t *testing.T) {
	s := startServer(t, nil)
	for id, want := range map[string]int{
		"0000000000000000": 404, "00ffffffffffffff": 404, "ff00000100000000": 404, "0200000100000000": 404,
		"1": 400, "00000000000000001": 400, "000000000000000G": 400, "000000000000000A": 400, "+000000000000001": 400, "0x00000000000001": 400, "%20": 400,
	} {
		got := s.request(t, "DELETE", "/api/connections/"+id, "")
		if got.status != want {
			t.Errorf("%s: got HTTP %d, want %d", id, got.status, want)
		}
		got.errorText(t)
	}
}
