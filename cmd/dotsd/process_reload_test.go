package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// testReload changes the configuration file of a running server. Connected clients must notice nothing.
func (p programs) testReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dotsd.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("origins: [https://old.example.org]\n")
	d := p.serve(t, "--config="+file, "--loops=1")
	members := d.joined(3, "stays")
	page := func(origin string) int {
		m, err := d.dial(false)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		status, _ := m.ask("page/ HTTP/1.1\r\nOrigin: " + origin + "\r\nX: ") // the rest of the request line becomes part of the header field X
		return status
	}
	told := func(part string) string {
		var found string
		eventually(t, "a line with "+part, func() bool {
			for _, line := range d.log() {
				if strings.Contains(line, part) {
					found = line
				}
			}
			return found != ""
		})
		return found
	}
	if got := page("https://new.example.org"); got != http.StatusForbidden {
		t.Errorf("before: HTTP %d, want 403", got)
	}

	write("origins: [https://new.example.org]\nmax-age: 30s\nlog-level: debug\n")
	d.signal(syscall.SIGHUP)
	if line := told("configuration read again: some changes need a restart"); !strings.Contains(line, `"taken":["origins","log-level"]`) || !strings.Contains(line, `"restart":["max-age"]`) {
		t.Errorf("got %s, want the settings taken and those that need a restart", line)
	}
	if got := page("https://new.example.org"); got != http.StatusSwitchingProtocols {
		t.Errorf("after it was listed: HTTP %d, want 101", got)
	}
	if got := page("https://old.example.org"); got != http.StatusForbidden {
		t.Errorf("no longer listed: HTTP %d, want 403", got)
	}
	told("connection opened") // a line at debug level

	write("origins: [https://new.example.org\nmax-message: much\n")
	d.signal(syscall.SIGHUP)
	told("it has a mistake, so the previous configuration stays in use")
	write("max-message: much\nnonsense: 1\norigins: []\n")
	d.signal(syscall.SIGHUP)
	if line := told("nonsense"); !strings.Contains(line, "max-message") {
		t.Errorf("got %s, want every mistake", line)
	}
	if got := page("https://new.example.org"); got != http.StatusSwitchingProtocols {
		t.Errorf("after a mistake: HTTP %d, want 101 as before", got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	d.signal(syscall.SIGHUP)
	told("no such file")
	d.echoes(members)
	d.signal(syscall.SIGTERM)
	if code := d.ended(); code != exitOK {
		t.Errorf("exit %d, want 0", code)
	}
}
