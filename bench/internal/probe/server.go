// Package probe starts a server as a child, or looks at one that runs, and
// reads what it costs: memory, threads and descriptors from /proc, heap and
// goroutines from the debug pages of a Go server.
package probe

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Server is a child process.
type Server struct {
	Pid   int
	Addr  string // where it accepts
	Admin string // URL of its debug pages; empty if the command names none

	cmd  *exec.Cmd
	out  *tail
	done chan struct{} // closed when it has ended
}

// Start runs a command through the shell, with {port} and {admin} replaced by
// free ports, and waits until the first accepts. The caller must stay on its
// thread (runtime.LockOSThread): the kernel ends the child together with the
// thread that started it.
func Start(command string, limit time.Duration) (*Server, error) {
	if !strings.Contains(command, "{port}") {
		return nil, errors.New("the server's command must contain {port}")
	}
	port, admin, err := freePorts()
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: "127.0.0.1:" + port, out: &tail{}, done: make(chan struct{})}
	if strings.Contains(command, "{admin}") {
		s.Admin = "http://127.0.0.1:" + admin
	}
	command = strings.NewReplacer("{port}", port, "{admin}", admin).Replace(command)
	// exec replaces the shell, so that the child's id is the server's.
	s.cmd = exec.Command("/bin/sh", "-c", "exec "+command)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %q: %w", command, err)
	}
	s.Pid = s.cmd.Process.Pid
	go func() {
		_ = s.cmd.Wait() // how it ended matters less than that, and what it said
		close(s.done)
	}()
	if err := s.waitReady(limit); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) waitReady(limit time.Duration) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s.Died() {
			return fmt.Errorf("the server ended at once; its last words: %s", s.LastWords())
		}
		if c, err := net.DialTimeout("tcp", s.Addr, time.Second); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("the server did not accept on %s within %v; its last words: %s", s.Addr, limit, s.LastWords())
}

// Died reports whether the server has ended.
func (s *Server) Died() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// LastWords is the end of what the server printed.
func (s *Server) LastWords() string { return s.out.String() }

// Stop ends the server: SIGTERM, and SIGKILL after three seconds.
func (s *Server) Stop() {
	if s.Died() {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(3 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
}

// freePorts asks the kernel for two ports that nobody uses now. The first is
// held until the second is chosen, so that they differ.
func freePorts() (string, string, error) {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", fmt.Errorf("no free port: %w", err)
	}
	defer func() { _ = a.Close() }()
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", fmt.Errorf("no free port: %w", err)
	}
	defer func() { _ = b.Close() }()
	port := func(ln net.Listener) string { return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port) }
	return port(a), port(b), nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte // guarded by mu
}

func (t *tail) Write(p []byte) (int, error) {
	const keep = 600
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - keep; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := bytes.TrimSpace(t.b); len(b) > 0 {
		return string(b)
	}
	return "(none)"
}
