package server

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestARunningServerTakesWhatMayChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	s := startServer(t, func(cfg *Config) { cfg.AdminTokenFile = file })
	member := s.join(t, "/ws/chat/lobby/")
	half := s.join(t, "/ws/raw/lobby/")
	read := func() (n uint64) {
		for _, l := range s.node.Loops() {
			n += l.Stats().ReadBytes
		}
		return n
	}
	before := read()
	half.write(string(frame(1, true, make([]byte, 3000))[:1000])) // the first part of a message over the new limit
	eventually(t, "it is read", func() bool { return read() >= before+1000 })

	next := s.cfg
	next.AdminToken, next.AdminTokenFile = "", file
	write("second")
	next.Origins, next.Subprotocols, next.PublicReadyz = []string{"https://chat.example.org"}, []string{"chat"}, true
	next.MaxMessage, next.MaxHeader, next.MaxFragments, next.RoomMembers, next.ControlBurst = 2*KiB, 2*KiB, 5, 2, 1
	next.RoomsPerSocket, next.MaxConns, next.MaxRooms, next.ControlRate, next.LogLevel = 2, 50, 50, 5, "error"
	next.MaxAge, next.Loops, next.Publish = time.Hour, 1, "open"
	taken, restart, err := s.Reload(next)
	if err != nil {
		t.Fatal(err)
	}
	var want []string // the file that is compared contains the name already
	for _, setting := range Settings() {
		if setting.Reload && setting.Name != "admin-token-file" {
			want = append(want, setting.Name)
		}
	}
	if !slices.Equal(taken, want) {
		t.Errorf("taken %q, want %q: give each setting with reload:\"true\" another value above, and show below what it changes", taken, want)
	}
	if want := []string{"loops", "max-age"}; !slices.Equal(restart, want) {
		t.Errorf("for a restart %q, want %q", restart, want)
	}

	for token, want := range map[string]int{"first": 401, "second": 200} {
		if r := s.request(t, "GET", "/api/rooms", "", "Authorization", "Bearer "+token); r.status != want {
			t.Errorf("token %s: HTTP %d, want %d", token, r.status, want)
		}
	}
	if r, _ := s.exchange(t, "GET /readyz HTTP/1.0\r\n\r\n"); r.StatusCode != 200 {
		t.Errorf("/readyz: HTTP %d, want 200", r.StatusCode)
	}
	page := s.dial(t)
	page.write(upgradeRequest("/ws/chat/lobby/", "Origin: https://chat.example.org", "Sec-WebSocket-Protocol: chat"))
	if r := page.response(); r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Protocol") != "chat" {
		t.Errorf("a page that is listed now: HTTP %d, %q, want 101 with chat", r.StatusCode, r.Header.Get("Sec-WebSocket-Protocol"))
	}
	s.join(t, "/ws/chat/lobby/").endsWith(4103) // this is the third member
	big := s.dial(t)
	big.write(upgradeRequest("/ws/chat/elsewhere/", "Cookie: "+strings.Repeat("c", 3000)))
	if status, _ := big.refused(); status != 431 {
		t.Errorf("a head over the new limit: HTTP %d, want 431", status)
	}
	member.say(strings.Repeat("x", 3000))
	member.endsWith(1009)
	half.write(string(frame(1, true, make([]byte, 3000))[1000:])) // the message began under the old limit
	if got := half.message(); len(got) != 3000 {
		t.Errorf("got %d bytes, want the 3,000 that were allowed when they began", len(got))
	}
	half.write(string(frame(2, false, make([]byte, 1500))) + string(frame(0, true, make([]byte, 1500))))
	half.endsWith(1009)
	post := s.dial(t)
	post.write(postOf("/chat/lobby/", "1"))
	if status, body, _ := post.answer(); status != 200 {
		t.Errorf("a POST: HTTP %d %s, want 200", status, body)
	}
}

func TestAMistakeOnReloadChangesNothing(t *testing.T) {
	s := startServer(t, nil)
	for name, change := range map[string]func(*Config){
		"origins":          func(c *Config) { c.Origins = []string{"https://a b"} },
		"max-message":      func(c *Config) { c.MaxMessage = 0 },
		"admin-token-file": func(c *Config) { c.AdminTokenFile = "/nowhere" },
		"backlog-hard": func(c *Config) { // a larger message needs a larger hard backlog, which needs a restart
			c.MaxMessage, c.HardBacklog, c.BacklogTotal = 1*MiB, 2*MiB, 64*MiB
		},
	} {
		next := s.cfg
		next.ControlRate = 7
		change(&next)
		taken, _, err := s.Reload(next)
		var mistake *SettingError
		if !errors.As(err, &mistake) && !strings.Contains(err.Error(), name) || len(taken) > 0 {
			t.Errorf("%s: taken %q, %v, want an error that names it", name, taken, err)
		}
		if got := s.rules.Load().cfg; got.ControlRate != s.cfg.ControlRate || got.MaxMessage != s.cfg.MaxMessage {
			t.Errorf("%s: something was taken in spite of the mistake", name)
		}
	}
	same, restart, err := s.Reload(s.cfg)
	if err != nil || len(same)+len(restart) > 0 {
		t.Errorf("the same again: %q, %q, %v, want nothing", same, restart, err)
	}
}
