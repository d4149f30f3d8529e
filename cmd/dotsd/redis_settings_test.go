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
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"dotsconnect/redisbridge"
	"dotsconnect/server"
)

// startRedis starts a real redis-server and returns its address for --redis.
func startRedis(t *testing.T) string {
	t.Helper()
	url, _ := startRedisProcess(t)
	return url
}

// startRedisProcess does the same as startRedis, and also returns the process id. args are more lines of the configuration.
// Without redis-server the test is skipped, or fails if all tests are required.
func startRedisProcess(t *testing.T, args ...string) (url string, pid int) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil && os.Getenv("DOTS_TEST_ALL") == "" {
		t.Skip("needs redis-server (apt-get install redis-server)")
	}
	return startRedisAt(t, idlePort(t), args...)
}

// lastPort is the last port that idlePort returned. Each port is returned only once.
var lastPort atomic.Int32

// idlePort finds a port without a listener. The port is below the range from which the kernel takes ports for outgoing
// connections: otherwise the kernel could give the port to a client, or a program that connects to the port could be connected
// with itself. The port is also below the ports of the bridge's tests, which run at the same time.
func idlePort(t *testing.T) string {
	t.Helper()
	const first, count = 4000, 6000
	lastPort.CompareAndSwap(0, int32(os.Getpid()%count))
	for range count {
		port := strconv.Itoa(first + int(lastPort.Add(1))%count)
		if listener, err := net.Listen("tcp", ":"+port); err == nil { // on all addresses, because HAProxy listens there
			listener.Close()
			return port
		}
	}
	t.Fatal("no idle port")
	return ""
}

// startRedisAt does the same as startRedisProcess, on the given port.
func startRedisAt(t *testing.T, port string, args ...string) (url string, pid int) {
	t.Helper()
	args = append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)
	cmd := exec.Command("redis-server", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("redis-server is needed; install it with: apt-get install redis-server: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			status, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/status")
			t.Logf("Redis at the end: %.300s", status)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	until(t, "Redis listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	agree(t, "127.0.0.1:"+port)
	return "redis://127.0.0.1:" + port, cmd.Process.Pid
}

// agree writes the nodes' agreement into an empty Redis. The first node would write the same agreement, but only after it had
// looked for other nodes for 3 s. agree cannot write to a Redis that wants a password or is a replica.
func agree(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "SET dots:meta \"v2 lanes=4 key=0000000000000001000000000000000a at=1\"\r\n")
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// startServe runs "dotsd" and returns the log line with its addresses, and a function that drains and ends it.
func startServe(t *testing.T, args ...string) (start logLine, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	args = append([]string{"--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--loops=1", "--drain-time=0s"}, args...)
	go func() {
		defer writer.Close()
		code <- run(ctx, program{args: args, env: []string{"GOMAXPROCS=2"}, stdout: io.Discard, stderr: writer})
	}()
	log := bufio.NewScanner(reader)
	start = waitFor(t, log, "serving")
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	return start, func() {
		cancel()
		if got := <-code; got != exitOK {
			t.Errorf("exit %d, want 0", got)
		}
	}
}

func TestTwoNodesOnOneRedisAreOneSystem(t *testing.T) {
	redis := startRedis(t)
	first, stopFirst := startServe(t, "--redis="+redis)
	second, stopSecond := startServe(t, "--redis="+redis)
	defer stopSecond()
	get := func(node logLine, path string) (int, string) { return getAdmin(t, node, path) }
	for _, node := range []logLine{first, second} {
		until(t, "the node is ready", func() bool { code, _ := get(node, "/readyz"); return code == http.StatusOK })
	}
	a, b := dialRoom(t, first), dialRoom(t, second)
	for _, c := range []*websocket.Conn{a, b} {
		if err := c.Write(t.Context(), websocket.MessageText, []byte(`{"message":"hello"}`)); err != nil {
			t.Fatal(err)
		}
		for _, who := range []*websocket.Conn{a, b} {
			if _, got, err := who.Read(t.Context()); err != nil || string(got) != `{"message":"hello"}` {
				t.Fatalf("got %q and %v", got, err)
			}
		}
	}
	until(t, "both are counted on either node", func() bool {
		_, one := get(first, "/api/rooms/chat/lobby")
		_, two := get(second, "/api/rooms/chat/lobby")
		want := `"members":2,"here":1`
		return strings.Contains(one, want) && strings.Contains(two, want)
	})
	var stderr bytes.Buffer
	if code := run(t.Context(), program{args: []string{"--listen=127.0.0.1:0", "--admin=", "--redis=" + redis, "--lanes=3"}, stdout: io.Discard, stderr: &stderr}); code != exitUsage ||
		!strings.Contains(stderr.String(), "have 4 lanes, but this node is set to 3") || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("other lanes: got exit %d and %q, want 2 and one line that names both", code, stderr.String())
	}
	stopFirst()
	until(t, "a member that left is not counted", func() bool {
		_, body := get(second, "/api/rooms/chat/lobby")
		return strings.Contains(body, `"members":1,"here":1`)
	})
	if _, _, err := a.Read(t.Context()); websocket.CloseStatus(err) != 4200 {
		t.Errorf("got %v, want 4200", err)
	}
}

// If Redis is away, a node must report, depending on its policy, either that it is not ready for new clients or that it serves
// alone. One metric shows both states.
func TestReadinessWithoutRedisIsByThePolicy(t *testing.T) {
	redis, pid := startRedisProcess(t)
	const old = "the last round trip through Redis is "
	for down, want := range map[string]struct {
		status int
		body   string
		ready  string
	}{
		"local": {http.StatusOK, "serving alone: " + old, "1"}, "reject": {http.StatusServiceUnavailable, old, "0"},
	} {
		t.Run(down, func(t *testing.T) {
			node, stop := startServe(t, "--redis="+redis, "--redis-down="+down, "--redis-hold=100ms", "--redis-ready-after=2s")
			defer stop()
			awaitReadiness(t, node, http.StatusOK, "ready\n", "0", "1")
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
			awaitReadiness(t, node, want.status, want.body, "1", want.ready)
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			awaitReadiness(t, node, http.StatusOK, "ready\n", "0", "1")
		})
	}
}

// awaitReadiness waits until /readyz and the metrics of the node have the given values.
func awaitReadiness(t *testing.T, node logLine, status int, body, down, ready string) {
	t.Helper()
	var saw string
	defer func() {
		if t.Failed() {
			t.Logf("the node says %s", saw)
		}
	}()
	until(t, fmt.Sprintf("HTTP %d %q with dots_redis_down %s and dots_ready %s", status, body, down, ready), func() bool {
		code, text := getAdmin(t, node, "/readyz")
		_, metrics := getAdmin(t, node, "/metrics")
		saw = fmt.Sprintf("HTTP %d %q", code, text)
		return code == status && strings.HasPrefix(text, body) && strings.Contains(metrics, "\ndots_redis_down "+down+"\n") && strings.Contains(metrics, "\ndots_ready "+ready+"\n")
	})
}

func getAdmin(t *testing.T, node logLine, path string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + node.Admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body)
}

// A Redis that lost its data may have lost messages. With --on-gap=close the server must close the present members with 4105, but
// not members that join later.
func TestWhatRedisLostClosesTheMembers(t *testing.T) {
	redis := startRedis(t)
	node, stop := startServe(t, "--redis="+redis, "--on-gap=close")
	defer stop()
	first := dialRoom(t, node)
	say := func(c *websocket.Conn) {
		t.Helper()
		if err := c.Write(t.Context(), websocket.MessageText, []byte(`{"message":"hello"}`)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Read(t.Context()); err != nil || string(got) != `{"message":"hello"}` {
			t.Fatalf("got %q and %v", got, err)
		}
	}
	say(first)
	askRedis(t, redis, "FLUSHALL")
	if _, _, err := first.Read(t.Context()); websocket.CloseStatus(err) != 4105 {
		t.Errorf("got %v, want 4105", err)
	}
	until(t, "a member that comes back stays", func() bool { // one loss may cause several gaps
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := dialRoom(t, node)
		err := c.Write(ctx, websocket.MessageText, []byte(`{"message":"again"}`))
		if err == nil {
			_, _, err = c.Read(ctx)
		}
		return err == nil
	})
}

// askRedis runs one command in Redis, which must not fail.
func askRedis(t *testing.T, url, command string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, command+"\r\n")
	if answer, err := bufio.NewReader(conn).ReadString('\n'); answer != "+OK\r\n" {
		t.Fatalf("%s: Redis says %q, %v", command, answer, err)
	}
}

func dialRoom(t *testing.T, node logLine) *websocket.Conn {
	t.Helper()
	c, answer, err := websocket.Dial(t.Context(), "ws://"+node.Address+"/ws/chat/lobby/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body != nil {
		answer.Body.Close()
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func TestTheSettingsReachTheBridge(t *testing.T) {
	c := server.Default()
	if got, d := bridgeConfig(c), redisbridge.Default(); got.Hold != d.Hold || got.Down != d.Down || got.Stale != d.Stale || got.Prefix != d.Prefix || got.BatchMessages != d.BatchMessages {
		t.Errorf("the defaults differ: %+v and %+v", got, d)
	}
	c.Redis, c.RedisPrefix, c.Lanes, c.RedisBatch = "redis://a", "x", 5, 7
	c.RedisHold, c.RedisDown, c.RedisReady = 11*time.Second, "local", 13*time.Second
	want := redisbridge.Default()
	want.URL, want.Prefix, want.Lanes, want.BatchMessages = "redis://a", "x", 5, 7
	want.Hold, want.Down, want.Stale = 11*time.Second, redisbridge.Local, 13*time.Second
	if diff := cmp.Diff(want, bridgeConfig(c)); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
}

func TestWithoutItsRedisTheProgramSaysSo(t *testing.T) {
	const address = "127.0.0.1:1"
	var stderr bytes.Buffer
	code := run(t.Context(), program{args: []string{"--listen=127.0.0.1:0", "--admin=", "--redis-wait=0s", "--redis=redis://:geheim@" + address}, stdout: io.Discard, stderr: &stderr})
	text := stderr.String()
	if code != exitFailure || strings.Count(text, "\n") != 1 || !strings.Contains(text, "--redis: redis at "+address) || strings.Contains(text, "geheim") {
		t.Errorf("got exit %d and %q", code, text)
	}
}

func TestAnErrorOfRedisSaysWhatHelps(t *testing.T) {
	for text, want := range map[string]string{
		"dial tcp 127.0.0.1:6379: connect: connection refused":             "start Redis at this address",
		"WRONGPASS invalid username-password pair or user is disabled.":    "check user, password and ACL",
		"MOVED 866 127.0.0.1:7001":                                         "redis+cluster://",
		"ERR unknown command 'EVALSHA', with args beginning with: '71ab' ": "does not have a command",
	} {
		if got := redisHint(errors.New(text)); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
