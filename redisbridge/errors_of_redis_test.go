package redisbridge

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// silence as a reply means that no reply comes.
const silence = "…"

// answerer is a server that answers every command with the same reply. If the reply is empty, it closes the connection instead.
func answerer(t *testing.T, reply string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); ; {
					line, err := r.ReadString('\n')
					if err != nil || reply == "" {
						return
					}
					if reply == silence || !strings.HasPrefix(line, "*") { // only the first line of a command begins with *
						continue
					}
					fmt.Fprintf(conn, "%s\r\n", reply)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// TestWhatMayPassByItself checks MayPass with real errors from Connect.
func TestWhatMayPassByItself(t *testing.T) {
	t.Parallel()
	nobody := "127.0.0.1:" + strconv.Itoa(freePort(t))
	replies := func(text string) string { return "redis://" + answerer(t, text) }
	sentinels := func(one, two string) string {
		return "redis+sentinel://" + answerer(t, one) + "," + answerer(t, two) + "/dots"
	}
	for _, row := range []struct {
		name, url string
		word      string // must be in the error, which shows that the row tests the intended one
		want      bool
	}{
		{"connection refused", "redis://" + nobody, "refused", true},
		{"TLS: connection refused", "rediss://" + nobody, "refused", true},
		{"Cluster: connection refused", "redis+cluster://" + nobody, "refused", true},
		{"no such host", "redis://dots.invalid:6379", "", true},
		{"no answer", replies(silence), "", true},
		{"TLS: no answer", "rediss://" + answerer(t, silence), "", true},
		{"it hangs up", replies(""), "EOF", true},
		{"no sentinel is there", "redis+sentinel://" + nobody + ",127.0.0.1:1/dots", "sentinels", true},
		{"no sentinel answers", sentinels(silence, silence), "", true},
		{"no sentinel knows the master yet", sentinels("*-1", "*-1"), "sentinels", true},
		{"it loads its data", replies("-LOADING Redis is loading the dataset in memory"), "LOADING", true},
		{"its script runs", replies("-BUSY Redis is busy running a script."), "BUSY", true},
		{"a replica without its master", replies("-MASTERDOWN Link with MASTER is down"), "MASTERDOWN", true},
		{"a Cluster without some slots", "redis+cluster://" + answerer(t, "-CLUSTERDOWN Hash slot not served"), "CLUSTERDOWN", true},
		{"a replica", replies("-READONLY You can't write against a read only replica."), "READONLY", true},
		{"its disk is full", replies("-MISCONF Redis is configured to save RDB snapshots"), "MISCONF", true},
		{"its memory is full", replies("-OOM command not allowed when used memory > 'maxmemory'."), "OOM", true},
		{"too few replicas", replies("-NOREPLICAS Not enough good replicas to write."), "NOREPLICAS", true},
		{"too many clients", replies("-ERR max number of clients reached"), "max number", true},
		{"a wrong password", replies("-WRONGPASS invalid username-password pair or user is disabled."), "WRONGPASS", false},
		{"no password", replies("-NOAUTH Authentication required."), "NOAUTH", false},
		{"a missing right", replies("-NOPERM User node has no permissions to run the 'get' command"), "NOPERM", false},
		{"protected mode", replies("-DENIED Redis is running in protected mode"), "DENIED", false},
		{"no such database", replies("-ERR DB index is out of range"), "DB index", false},
		{"sentinels that refuse the login", sentinels("-NOAUTH Authentication required.", "-NOAUTH Authentication required."), "NOAUTH", false},
		{"a sentinel that refuses the login, one that is not there", "redis+sentinel://" + nobody + "," + answerer(t, "-WRONGPASS invalid") + "/dots", "WRONGPASS", false},
		{"no Cluster", "redis+cluster://" + answerer(t, "-ERR This instance has cluster support disabled"), "cluster support", false},
		{"no address", "redis:/nothing", "not a Redis address", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := t.Context(), func() {}
			if row.word == "" { // Connect gets one second, and any text is allowed
				ctx, cancel = context.WithTimeout(ctx, time.Second)
			}
			defer cancel()
			cfg := testConfig(row.url)
			b, err := Connect(ctx, cfg, zap.NewNop())
			if err == nil {
				b.Close()
				t.Fatal("connected")
			}
			if got := MayPass(err); got != row.want || !strings.Contains(err.Error(), row.word) {
				t.Errorf("%v: got %v, want %v and %q", err, got, row.want, row.word)
			}
		})
	}
}

// TestWhatMayPassAmongOthers checks MayPass with errors that are hard to provoke.
func TestWhatMayPassAmongOthers(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for _, row := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("anything"), false},
		{context.Canceled, false},
		{fmt.Errorf("redis at x: %w", refused), true},
		{errors.Join(refused, errors.New("anything")), true},
		{errors.Join(refused, fmt.Errorf("y: %w", ErrDiffers)), false},
		{fmt.Errorf("lanes: %w", ErrDiffers), false},
		{fmt.Errorf("the key is gone: %w", context.DeadlineExceeded), true},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, false},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, false},
		{replyError("ERR Error running script (call to f_1): @user_script:7: -READONLY You can't write against a read only replica."), true},
		{replyError("ERR Error running script (call to f_1): @user_script:7: -NOPERM nothing for you"), false},
		{replyError("MOVED 1 127.0.0.1:7000"), true},
		{replyError("ERR LOADINGS is not a command"), false},
	} {
		if got := MayPass(row.err); got != row.want {
			t.Errorf("%v: got %v, want %v", row.err, got, row.want)
		}
	}
}

// replyError is an error reply as go-redis returns it.
type replyError string

func (e replyError) Error() string { return string(e) }
func (replyError) RedisError()     {}
