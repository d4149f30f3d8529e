package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Attacks on the admin address. During each attack the address must still answer the requests of a load balancer and of
// Prometheus: health and readiness without a token, and the metrics with the token.

const (
	besiegers = 100
	questions = 5 // requests of each kind
)

// An adminAttack makes one attack over the given connection. It calls begun when the attack is fully in progress, and returns
// when the connection can no longer be used. Each attacker calls it with one connection after another.
type adminAttack func(conn net.Conn, begun func())

// adminAttacks are attacks by a client without the token. If no token is set, some of their requests are allowed.
var adminAttacks = map[string]adminAttack{
	"requests on kept connections": func(conn net.Conn, begun func()) {
		for r, err := bufio.NewReader(conn), error(nil); err == nil; begun() {
			if _, err = io.WriteString(conn, "GET /api/rooms HTTP/1.1\r\nHost: localhost\r\n\r\n"); err == nil {
				err = skipResponse(r)
			}
		}
	},
	"pipelined requests": func(conn net.Conn, begun func()) {
		for range 100 {
			if _, err := io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				break
			}
		}
		begun()
		untilClosed(conn)
	},
	"silence": func(conn net.Conn, begun func()) {
		begun()
		untilClosed(conn)
	},
	"half heads": func(conn net.Conn, begun func()) {
		_, _ = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX:")
		begun()
		untilClosed(conn)
	},
	"heads that drip": func(conn net.Conn, begun func()) {
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		_, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX:")
		for ; err == nil; <-pace.C {
			begun()
			_, err = io.WriteString(conn, "x")
		}
	},
	"half bodies": func(conn net.Conn, begun func()) {
		_, _ = io.WriteString(conn, "POST /api/rooms/chat/lobby/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
		begun()
		untilClosed(conn)
	},
	"half bodies for nobody": func(conn net.Conn, begun func()) {
		_, _ = io.WriteString(conn, "POST /api/rooms/dm/lobby/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
		begun()
		untilClosed(conn)
	},
	"heads too large": func(conn net.Conn, begun func()) {
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "+fmt.Sprintf("%0*d", 2*maxAdminHead, 0)+"\r\n\r\n")
		begun()
		untilClosed(conn)
	},
	"slow requests": func(conn net.Conn, begun func()) {
		_, _ = io.WriteString(conn, "GET /debug/pprof/heap?seconds=20 HTTP/1.1\r\nHost: localhost\r\n\r\n")
		begun()
		untilClosed(conn)
	},
	"slow readers": func(conn net.Conn, begun func()) {
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		_, _ = io.WriteString(conn, "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
		_, _ = conn.Read(make([]byte, 1)) // an error means that the server has already closed the connection
		begun()
		for err := error(nil); err == nil; {
			_, err = io.WriteString(conn, "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
	},
}

func untilClosed(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// skipResponse reads a response. It returns an error if no further response can follow.
func skipResponse(r *bufio.Reader) error {
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err = io.Copy(io.Discard, response.Body); err == nil && response.Close {
		err = io.EOF
	}
	return err
}

// besiege attacks an admin address over many connections at the same time until the test ends. It returns when all attacks have
// begun.
func besiege(t *testing.T, address string, attacks ...adminAttack) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var begun atomic.Int64
	t.Cleanup(running.Wait)
	t.Cleanup(stop)
	for i := range besiegers {
		begin := sync.OnceFunc(func() { begun.Add(1) })
		running.Go(func() {
			for ctx.Err() == nil {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
				if err != nil {
					continue
				}
				release := context.AfterFunc(ctx, func() { conn.Close() })
				attacks[i%len(attacks)](conn, begin)
				release()
				conn.Close()
			}
		})
	}
	eventually(t, "all besiegers have begun", func() bool { return begun.Load() == besiegers })
}

// large adds a route with an answer that is too large for any buffer.
func (a *admin) large() {
	a.mux.HandleFunc("GET /large", func(w http.ResponseWriter, _ *http.Request) {
		for piece := make([]byte, 1<<20); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
}

func TestTheAdminAddressAnswersWhateverComesWithoutTheToken(t *testing.T) {
	for name, attack := range adminAttacks {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(c *Config) { c.AdminToken = "secret" })
			s.admin.large()
			kept := s.keeper(t)
			kept(t)
			besiege(t, s.AdminAddr(), attack)
			for range questions {
				s.answers(t, "/readyz")
				s.answers(t, "/healthz")
				s.answers(t, "/metrics", "Authorization", "Bearer secret")
				kept(t)
			}
		})
	}
}

// Without a token everybody on this machine is an operator and may block other requests, but not /healthz and /readyz.
func TestTheAdminAddressWithoutATokenTellsItsHealthWhateverComes(t *testing.T) {
	for name, attack := range adminAttacks {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, nil)
			s.admin.large()
			besiege(t, s.AdminAddr(), attack)
			for range questions {
				s.answers(t, "/readyz")
				s.answers(t, "/healthz")
			}
		})
	}
}

// answers checks that a request over a new connection gets HTTP 200.
func (s *testServer) answers(t *testing.T, target string, header ...string) {
	t.Helper()
	if got := s.request(t, "GET", target, "", header...); got.status != http.StatusOK {
		t.Fatalf("%s: got HTTP %d %.200s, want 200", target, got.status, got.body)
	}
}

// keeper returns a function that asks for the metrics over one connection, with the token. The function fails if the connection
// was replaced.
func (s *testServer) keeper(t *testing.T) func(*testing.T) {
	t.Helper()
	dials := 0
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials++; dials > 1 {
			return nil, errors.New("the kept connection is gone")
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}}
	t.Cleanup(client.CloseIdleConnections)
	return func(t *testing.T) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.AdminAddr()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer secret")
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("got HTTP %d, %v, want 200", answer.StatusCode, err)
		}
	}
}
