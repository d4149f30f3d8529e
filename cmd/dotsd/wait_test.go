package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"dotsconnect/redisbridge"
	"dotsconnect/server"
)

// waitingNode is a running dotsd that waits for Redis.
type waitingNode struct {
	t     *testing.T
	start logLine // the log line with its addresses
	log   *bufio.Scanner
	end   context.CancelFunc
	code  chan int
}

// startWaiting runs "dotsd" and returns when it waits for Redis.
func startWaiting(t *testing.T, args ...string) *waitingNode {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	n := &waitingNode{t: t, end: cancel, code: make(chan int, 1), log: bufio.NewScanner(reader)}
	args = append([]string{"--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--loops=1", "--drain-time=0s"}, args...)
	go func() {
		defer writer.Close()
		n.code <- run(ctx, program{args: args, env: []string{"GOMAXPROCS=2"}, stdout: io.Discard, stderr: writer})
	}()
	n.start = n.reads("waiting for Redis")
	return n
}

// reads waits for a line with the given message in the log.
func (n *waitingNode) reads(message string) logLine {
	n.t.Helper()
	return waitFor(n.t, n.log, message)
}

// stop makes the node end, and reads its last log lines.
func (n *waitingNode) stop() {
	n.t.Helper()
	n.end()
	for n.log.Scan() {
		continue
	}
	if got := <-n.code; got != exitOK {
		n.t.Errorf("exit %d, want 0", got)
	}
}

// get sends a request to a node. header holds names and values in turn.
func get(t *testing.T, address, path string, header ...string) (status int, body string, answer http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	got, err := client.Do(r)
	if err != nil {
		t.Errorf("%s%s: %v", address, path, err)
		return 0, "", http.Header{}
	}
	defer got.Body.Close()
	if got.StatusCode == http.StatusSwitchingProtocols {
		return got.StatusCode, "", got.Header
	}
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Errorf("%s%s: %v", address, path, err)
	}
	return got.StatusCode, string(text), got.Header
}

var upgrade = []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}

// TestANodeWaitsForRedis starts two nodes while Redis is down, opens connections all the time, and then starts Redis.
func TestANodeWaitsForRedis(t *testing.T) {
	port := idlePort(t)
	redis := "--redis=redis://:geheim@127.0.0.1:" + port
	one := startWaiting(t, redis, "--redis-down=local", "--public-readyz", "--admin-token=secret")
	two := startWaiting(t, redis, "--redis-down=reject")
	why := "waiting for Redis: redis at 127.0.0.1:" + port + ": dial tcp 127.0.0.1:" + port + ": connect: connection refused\n"
	for _, row := range []struct {
		address, path string
		header        []string
		status        int
		body          string
	}{
		{one.start.Address, "/healthz", nil, 200, "ok\n"},
		{one.start.Admin, "/healthz", nil, 200, "ok\n"},
		{two.start.Address, "/healthz", nil, 200, "ok\n"},
		{two.start.Admin, "/healthz", nil, 200, "ok\n"},
		{one.start.Address, "/readyz", nil, 503, why},
		{one.start.Admin, "/readyz", nil, 503, why},
		{two.start.Admin, "/readyz", nil, 503, why},
		{one.start.Address, "/", nil, 503, "waiting for Redis: try again later\n"},
		{one.start.Address, "/ws/chat/lobby/", upgrade, 503, "waiting for Redis: try again later\n"},
		{two.start.Address, "/ws/chat/lobby/", upgrade, 503, "waiting for Redis: try again later\n"},
	} {
		status, body, header := get(t, row.address, row.path, row.header...)
		if status != row.status || body != row.body {
			t.Errorf("%s%s: got HTTP %d %q, want %d %q", row.address, row.path, status, body, row.status, row.body)
		}
		if header.Get("Retry-After") == "" && status == 503 && row.path != "/readyz" {
			t.Errorf("%s: no Retry-After", row.path)
		}
	}
	if status, _, _ := get(t, two.start.Address, "/readyz"); status != 404 {
		t.Errorf("readiness at the address for clients without --public-readyz: got HTTP %d, want 404", status)
	}
	if status, _, _ := get(t, one.start.Admin, "/metrics"); status != 401 {
		t.Errorf("metrics without the token: got HTTP %d, want 401", status)
	}
	_, metrics, _ := get(t, one.start.Admin, "/metrics", "Authorization", "Bearer secret")
	if !strings.Contains(metrics, "\ndots_ready 0\n") || !strings.Contains(metrics, "\ndots_build_info{") {
		t.Errorf("got the metrics %.300s", metrics)
	}

	var came, taken atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for _, n := range []*waitingNode{one, two} {
		for range 4 {
			clients.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					switch status, body, _ := get(t, n.start.Address, "/ws/chat/crowd/", upgrade...); status {
					case 101:
						taken.Add(1)
					case 503:
						came.Add(1)
					default:
						t.Errorf("a client got HTTP %d %q, want 503 or 101", status, body)
						return
					}
				}
			})
		}
	}
	until(t, "clients come", func() bool { return came.Load() > 100 })
	startRedisAt(t, port, "--requirepass", "geheim")
	for _, n := range []*waitingNode{one, two} {
		n.reads("connected to Redis")
		if at := n.reads("serving"); at.Address != n.start.Address || at.Admin != n.start.Admin {
			t.Errorf("it serves at %s and %s, and waited at %s and %s", at.Address, at.Admin, n.start.Address, n.start.Admin)
		}
		until(t, "it is ready", func() bool { status, _, _ := get(t, n.start.Admin, "/readyz"); return status == 200 })
	}
	served := taken.Load()
	until(t, "clients are taken", func() bool { return taken.Load() > served+100 })
	close(stop)
	clients.Wait()

	a, b := dialRoom(t, one.start), dialRoom(t, two.start)
	if err := a.Write(t.Context(), websocket.MessageText, []byte(`{"message":"hello"}`)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := b.Read(t.Context()); err != nil || string(got) != `{"message":"hello"}` {
		t.Errorf("got %q and %v", got, err)
	}
	one.stop()
	two.stop()
}

// TestANodeWaitsForAMaster uses a Redis that cannot be written to. The node must write nothing, and start to serve when that
// Redis has become the master.
func TestANodeWaitsForAMaster(t *testing.T) {
	url, _ := startRedisProcess(t, "--replicaof", "127.0.0.1 1")
	n := startWaiting(t, "--redis="+url)
	if _, body, _ := get(t, n.start.Admin, "/readyz"); !strings.Contains(body, "READONLY") {
		t.Errorf("got %q, want that it is READONLY", body)
	}
	if got := inline(t, url, "DBSIZE"); got != ":0" {
		t.Errorf("the number of keys: got %q, want 0", got)
	}
	if got := inline(t, url, "REPLICAOF NO ONE"); got != "+OK" {
		t.Fatalf("got %q", got)
	}
	n.reads("connected to Redis")
	n.reads("serving")
	n.stop()
}

// inline sends Redis one command and returns the first line of its answer.
func inline(t *testing.T, url, command string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\n", command)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestWhatEndsANodeThatWouldWait tests the errors that must end the program.
func TestWhatEndsANodeThatWouldWait(t *testing.T) {
	url, _ := startRedisProcess(t, "--requirepass", "geheim")
	at := strings.TrimPrefix(url, "redis://")
	nobody := "127.0.0.1:" + idlePort(t)
	for _, row := range []struct {
		args, says, not string
	}{
		{"--redis=redis://:falsch@" + at, "--redis: redis at " + at + ": WRONGPASS", "--redis-wait"},
		{"--redis=" + url, "--redis: redis at " + at + ": NOAUTH", "--redis-wait"},
		{"--redis-wait=0s --redis=redis://" + nobody, "refused; start Redis at this address", "waiting"},
		{"--redis-wait=300ms --redis=redis://" + nobody, "refused, for 300ms (--redis-wait); start Redis at this address", "panic"},
	} {
		var stderr bytes.Buffer
		args := append([]string{"--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--loops=1"}, strings.Fields(row.args)...)
		code := run(t.Context(), program{args: args, stdout: io.Discard, stderr: &stderr})
		text := stderr.String()
		if code != exitFailure || !strings.Contains(text, row.says) || strings.Contains(text, row.not) || strings.Contains(text, "falsch") {
			t.Errorf("%s: got exit %d and %q, want 1 and %q", row.args, code, text, row.says)
		}
	}
}

// TestANodeThatWaitsEndsWhenItIsTold: between two attempts and also during one, it must exit with 0.
func TestANodeThatWaitsEndsWhenItIsTold(t *testing.T) {
	between := startWaiting(t, "--redis=redis://127.0.0.1:"+idlePort(t), "--drain-delay=1h", "--drain-time=1h")
	between.end()
	between.reads("the node ended before it was ready")
	between.stop()

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		conn, err := silent.Accept()
		if err == nil {
			defer conn.Close()
			cancel() // Redis has been asked, and does not answer
			<-ended
		}
	}()
	var stderr bytes.Buffer
	code := run(ctx, program{args: []string{"--listen=127.0.0.1:0", "--admin=", "--loops=1", "--redis=redis://" + silent.Addr().String()}, stdout: io.Discard, stderr: &stderr})
	if text := stderr.String(); code != exitOK || !strings.Contains(text, "the node ended before it was ready") || strings.Contains(text, "timeout") {
		t.Errorf("within a try: got exit %d and %q, want 0, and that it did not wait for the answer", code, text)
	}
}

// TestTheLogOfAWait: a reason is logged at once, and again after a minute. A new reason is logged at once. At the end the outcome
// is logged.
func TestTheLogOfAWait(t *testing.T) {
	down := func(from int) error {
		return fmt.Errorf("redis at x: %w", &net.OpError{Op: "read", Net: "tcp", Err: fmt.Errorf("127.0.0.1:%d->127.0.0.1:6379: refused", from)})
	}
	sentinels := func(n int) error {
		both := []error{down(1), &net.OpError{Op: "dial", Err: errors.New("timeout")}}
		return errors.Join(both[n%2], both[1-n%2])
	}
	for _, row := range []struct {
		name     string
		patience server.Patience
		try      func(n int, since time.Duration) error
		want     string // lines of the log, each with its second and its text
		err      string
	}{
		{"it is there", server.Forever, func(int, time.Duration) error { return nil }, "", ""},
		{"a while later", server.Forever, func(n int, since time.Duration) error {
			if since < 150*time.Second {
				return down(n)
			}
			return nil
		}, "0 waiting for Redis, 61 waiting for Redis, 121 waiting for Redis, 151 connected to Redis", ""},
		{"by turns", server.Forever, func(n int, since time.Duration) error {
			switch {
			case since > 70*time.Second:
				return nil
			case n%3 == 1:
				return io.EOF
			}
			return sentinels(n)
		}, "0 waiting for Redis, 0 waiting for Redis, 61 waiting for Redis, 63 waiting for Redis, 71 connected to Redis", ""},
		{"not within the time", server.Patience(time.Minute), func(n int, _ time.Duration) error { return down(n) },
			"0 waiting for Redis, 60 gave up", "refused, for 1m0s (--redis-wait)"},
		{"one try", 0, func(n int, _ time.Duration) error { return down(n) }, "0 gave up", "refused; start Redis at this address"},
		{"a wrong one", server.Forever, func(_ int, since time.Duration) error {
			if since < 10*time.Second {
				return io.EOF
			}
			return redisbridge.ErrDiffers
		}, "0 waiting for Redis, 11 gave up", redisbridge.ErrDiffers.Error()},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zapcore.InfoLevel)
				began, n := time.Now(), 0
				w := &redisWait{patience: time.Duration(row.patience), log: zap.New(core), because: func(string) {}}
				err := w.until(t.Context(), func() error {
					err := row.try(n, time.Since(began))
					n++
					return err
				})
				var lines []string
				for _, e := range logs.All() {
					lines = append(lines, fmt.Sprintf("%d %s", e.Time.Sub(began)/time.Second, e.Message))
				}
				if err != nil {
					lines = append(lines, fmt.Sprintf("%d gave up", time.Since(began)/time.Second))
				}
				if got := strings.Join(lines, ", "); got != row.want {
					t.Errorf("got  %s\nwant %s", got, row.want)
				}
				if err == nil && row.err != "" || err != nil && (row.err == "" || !strings.Contains(err.Error(), row.err)) {
					t.Errorf("got %v, want %q", err, row.err)
				}
			})
		})
	}
}
