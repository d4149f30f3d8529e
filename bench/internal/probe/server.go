// Package probe starts servers as child processes and measures the costs of any
// server: memory, threads and descriptors from /proc, and heap and goroutines
// from the debug pages of a Go server.
package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Server is a server that runs as a child process.
type Server struct {
	Pid   int
	Addr  string // host:port at which it accepts connections
	Admin string // URL of its debug pages; empty if the command has no {admin}

	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when the process has ended
}

// Command says how to start a server.
type Command struct {
	Line  string         // shell command; {port} and {admin} stand for free ports
	Dir   string         // working folder; empty: the current one
	Ready *regexp.Regexp // matches the line that the server prints when it is ready; nil: Start calls answers instead
	CPUs  *unix.CPUSet   // CPUs on which the server may run; nil: the CPUs of this process
	Addr  string         // host:port at which it accepts connections; empty: Line must have {port}
}

// Start starts a server with the default for each field of Command except Line.
func Start(line string, limit time.Duration) (*Server, error) {
	return Command{Line: line}.Start(limit)
}

// Start runs the command in a shell and waits until the server is ready. The
// caller must be locked to its thread (runtime.LockOSThread), because the
// kernel kills the server when that thread ends.
func (c Command) Start(limit time.Duration) (*Server, error) {
	if c.Addr == "" && !strings.Contains(c.Line, "{port}") {
		return nil, errors.New("the server's command must contain {port}")
	}
	port, admin, err := freePorts()
	if err != nil {
		return nil, err
	}
	if c.Addr == "" {
		c.Addr = "127.0.0.1:" + port
	}
	s := &Server{Addr: c.Addr, out: newOutput(c.Ready), done: make(chan struct{})}
	if strings.Contains(c.Line, "{admin}") {
		s.Admin = "http://127.0.0.1:" + admin
	}
	line := strings.NewReplacer("{port}", port, "{admin}", admin).Replace(c.Line)
	// With exec the server replaces the shell, so the process id is the id of
	// the server.
	s.cmd = exec.Command("/bin/sh", "-c", "exec "+line)
	s.cmd.Dir = c.Dir
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := startOn(c.CPUs, s.cmd); err != nil {
		return nil, fmt.Errorf("cannot start %q: %w", line, err)
	}
	s.Pid = s.cmd.Process.Pid
	go func() {
		_ = s.cmd.Wait() // ignore the error: callers use Died, ExitCode and LastWords
		close(s.done)
	}()
	if err := s.waitReady(c.Ready, limit); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// startOn starts a command on the given CPUs; nil means the CPUs of this
// process. It changes the CPUs of this thread for a moment, because a child
// inherits the CPUs of the thread that starts it. So the server never runs on
// other CPUs. (A Go server counts its CPUs once, when it starts.)
func startOn(cpus *unix.CPUSet, cmd *exec.Cmd) error {
	if cpus == nil {
		return cmd.Start()
	}
	var ours unix.CPUSet
	if err := unix.SchedGetaffinity(0, &ours); err != nil {
		return fmt.Errorf("cannot read the CPUs of a thread: %w", err)
	}
	if err := unix.SchedSetaffinity(0, cpus); err != nil {
		return fmt.Errorf("cannot change the CPUs of a thread: %w", err)
	}
	return errors.Join(cmd.Start(), unix.SchedSetaffinity(0, &ours))
}

func (s *Server) waitReady(ready *regexp.Regexp, limit time.Duration) error {
	end := time.Now().Add(limit)
	for ; time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s.Died() {
			return fmt.Errorf("the server ended at once; its last output: %s", s.LastWords())
		}
		if ready != nil {
			if s.out.isReady() {
				return nil
			}
		} else if s.answers() {
			return nil
		}
	}
	if ready != nil {
		return fmt.Errorf("the server printed no line that matches %q within %v; its last output: %s", ready, limit, s.LastWords())
	}
	return fmt.Errorf("the server did not accept on %s within %v; its last output: %s", s.Addr, limit, s.LastWords())
}

// answers reports whether the server accepts connections and does not answer
// 503. With 503 a server says that it is not ready, for example because it
// waits for another server.
func (s *Server) answers() bool {
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(askLimit)) // a server that does not answer in time counts as ready
	_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", s.Addr)
	status := make([]byte, len("HTTP/1.1 503"))
	n, _ := io.ReadFull(c, status)
	return !bytes.HasSuffix(status[:n], []byte(" 503"))
}

// askLimit limits the wait for an answer of the server. A server that does not
// speak HTTP never answers.
const askLimit = 250 * time.Millisecond

// Died reports whether the server has ended.
func (s *Server) Died() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// LastWords returns the last bytes that the server printed.
func (s *Server) LastWords() string { return s.out.String() }

// ExitCode returns the exit code of a server. It is -1 while the server runs,
// and if a signal ended it.
func (s *Server) ExitCode() int {
	if !s.Died() {
		return -1
	}
	return s.cmd.ProcessState.ExitCode()
}

// Stop sends SIGTERM to the server, and SIGKILL after three seconds. It returns
// when the server has ended.
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

// Kill kills the server (SIGKILL), as a crash would, and waits for its end.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // fails only if the server has ended before
	<-s.done
}

// freePorts returns two different free ports, which the kernel chooses. The
// first one stays in use until the second one is chosen, so that they differ.
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
