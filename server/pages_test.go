package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestRangesOfThePageAreIgnored(t *testing.T) {
	s := startServer(t, nil)
	w := s.dial(t)
	w.write("GET / HTTP/1.1\r\nHost: localhost\r\nRange: bytes=" + strings.Repeat("0-0,", 1000) + "0-0\r\n\r\n")
	if got := w.response().StatusCode; got != http.StatusOK {
		t.Errorf("HTTP %d, want 200 and the whole page", got)
	}
}

// BenchmarkPage measures how long a plain HTTP request keeps the loop busy that serves it.
func BenchmarkPage(b *testing.B) {
	s := &Server{counts: newCounts(), log: zap.NewNop()}
	s.pages = s.publicPages()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		respond(s, r)
	}
}
