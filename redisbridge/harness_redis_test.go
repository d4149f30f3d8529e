package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisServer is a real redis-server on a free port, with its files in a folder of its own.
type redisServer struct {
	t    testing.TB
	dir  string
	port int
	args []string

	password string // password for the clients of the test; startRedis sets none

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has ended
}

// startRedis starts a server and stops it when the test ends. args are more lines of the configuration of Redis.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	s := &redisServer{t: t, dir: t.TempDir()}
	t.Cleanup(s.kill)
	for range 5 { // another program may have taken the port after freePort chose it
		s.port = freePort(t)
		s.args = append([]string{"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--daemonize", "no", "--logfile", "redis.log"}, args...)
		if s.tryStart() {
			return s
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

// lastPort is the last port that freePort returned: each port is returned once.
var lastPort atomic.Int32

// freePort finds a port below the range from which the kernel takes ports for outgoing connections. Otherwise an outgoing
// connection could take the port of a server while the server is restarted. The port is below 22768, because the bus of a
// Cluster uses the port + 10000.
func freePort(t testing.TB) int {
	t.Helper()
	lastPort.CompareAndSwap(0, int32(10000+os.Getpid()%100*100))
	for range 10000 {
		port := 10000 + int(lastPort.Add(1)-10000)%12000
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func (s *redisServer) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }
func (s *redisServer) url() string  { return "redis://" + s.addr() }

// start starts the process on the port of the server. It is also used to start it again.
func (s *redisServer) start() {
	s.t.Helper()
	s.eventually("redis-server starts again", s.tryStart)
}

// tryStart starts the process and waits until it answers. It returns false if the process has ended at once.
func (s *redisServer) tryStart() bool {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if !long() {
			s.t.Skip("needs redis-server (apt-get install redis-server)")
		}
		s.t.Fatal("redis-server is needed; install it with: apt-get install redis-server")
	}
	cmd := exec.Command(path, s.args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	s.mu.Lock()
	s.cmd, s.ended = cmd, ended
	s.mu.Unlock()
	alive := true
	s.eventually("redis-server answers or ends", func() bool {
		select {
		case <-ended:
			alive = false
			return true
		default:
		}
		c := s.client()
		defer c.Close()
		err := c.Ping(context.Background()).Err()
		return err == nil || strings.HasPrefix(err.Error(), "NOAUTH")
	})
	return alive
}

func (s *redisServer) eventually(what string, done func() bool) {
	s.t.Helper()
	eventually(s.t, what, done)
}

// client returns a plain client of the server, with which the test sends commands.
func (s *redisServer) client() *redis.Client {
	const patience = time.Minute // the machine may be busy
	return redis.NewClient(&redis.Options{Addr: s.addr(), Password: s.password, Protocol: 2, DisableIdentity: true, MaxRetries: -1,
		DialerRetries: 1, DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience})
}

// do sends a command to the server.
func (s *redisServer) do(args ...any) any {
	s.t.Helper()
	c := s.client()
	defer c.Close()
	v, err := c.Do(context.Background(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		s.t.Fatalf("%v: %v", args, err)
	}
	return v
}

// replication returns the server's replication info. It returns "" if the server does not answer, because a server that changes
// its role closes its connections.
func (s *redisServer) replication() string {
	c := s.client()
	defer c.Close()
	return c.Info(context.Background(), "replication").Val()
}

// signal sends a signal to the process.
func (s *redisServer) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig)
	}
}

// kill ends the process at once and waits for its end.
func (s *redisServer) kill() {
	s.mu.Lock()
	cmd, ended := s.cmd, s.ended
	s.cmd = nil
	s.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Kill()
		<-ended
	}
}

// remove deletes the data of the server, which must not be running.
func (s *redisServer) remove() {
	for _, name := range []string{"appendonlydir", "dump.rdb"} {
		_ = os.RemoveAll(filepath.Join(s.dir, name))
	}
}

// eventually waits for a condition. It fails the test after a time limit that is much longer than a working bridge needs.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	if !waitFor(60*time.Second, done) {
		t.Fatalf("never: %s", what)
	}
}

func waitFor(limit time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return done()
}

func keysOf(s *redisServer) (keys []string) {
	for _, k := range s.do("KEYS", "*").([]any) {
		keys = append(keys, fmt.Sprint(k))
	}
	return keys
}
