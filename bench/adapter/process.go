package adapter

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/probe"
)

// Absent is the error for a server that this machine cannot run although its
// adapter is correct. Why has the reason.
type Absent struct{ Why string }

func (e *Absent) Error() string { return e.Why }

// Prepare builds the server; later calls do nothing. The error is an *Absent if
// this machine lacks something that the server needs.
func (a *Adapter) Prepare(ctx context.Context) error {
	if a.prepared {
		return nil
	}
	if program := a.Missing(); program != "" {
		return &Absent{program + " is not installed"}
	}
	if err := a.make(ctx, "fetch", a.Fetch); err != nil {
		return &Absent{err.Error()}
	}
	if err := a.make(ctx, "build", a.Build); err != nil {
		return err
	}
	a.prepared = true
	return nil
}

func (a *Adapter) make(ctx context.Context, what, command string) error {
	if command == "" {
		return nil
	}
	const limit = 5 * time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the command took more than %v", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Dir = a.Dir
	// If the command takes too long, Cancel kills its whole process group. The
	// kernel kills the shell when the thread that started it ends, so this
	// goroutine must keep its thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", what, errors.Join(err, context.Cause(ctx)), said(out))
}

// said returns the part of a failed command's output that most likely explains
// the failure.
func said(out []byte) string {
	const most = 300
	var lines []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go: downloading ") {
			lines = append(lines, line)
		}
	}
	text := strings.Join(lines, " | ")
	if text == "" {
		return "(no output)"
	}
	return strings.ToValidUTF8(text[:min(most, len(text))], "")
}

// Missing returns the first program of Needs that is not installed, or "".
func (a *Adapter) Missing() string {
	for _, program := range a.Needs {
		if _, err := exec.LookPath(program); err != nil {
			return program
		}
	}
	return ""
}

// Server is a running server, or several servers that are one system.
type Server struct {
	*probe.Server                 // the first server
	Others        []*probe.Server // the other servers
	Beside        *probe.Server   // the program of Adapter.Beside; nil: none
	Port          string          // port of the first server
	URL           string          // template with {room}; URLs of several servers are separated by commas
}

// All returns all servers, beginning with the first one.
func (s *Server) All() []*probe.Server { return append([]*probe.Server{s.Server}, s.Others...) }

// Stop ends the servers, and then the program that they need.
func (s *Server) Stop() {
	for _, one := range s.All() {
		one.Stop()
	}
	if s.Beside != nil {
		s.Beside.Stop()
	}
}

// Launch starts servers and waits until they are ready. They may use only cpus;
// nil means all. The caller must be locked to its thread
// (runtime.LockOSThread), because the kernel ends the servers when that thread
// ends.
func (a *Adapter) Launch(servers int, cpus *unix.CPUSet) (s *Server, err error) {
	const limit = 20 * time.Second
	command := probe.Command{Line: a.Start, Dir: a.Dir, CPUs: cpus}
	if a.Ready != TCP {
		if command.Ready, err = regexp.Compile(a.Ready); err != nil {
			return nil, err
		}
	}
	var started []*probe.Server
	defer func() {
		if err != nil {
			for _, one := range slices.Backward(started) {
				one.Stop()
			}
		}
	}()
	s = &Server{}
	if a.Beside != "" {
		if s.Beside, err = (probe.Command{Line: a.Beside, Dir: a.Dir, CPUs: cpus}).Start(limit); err != nil {
			return nil, fmt.Errorf("%s: beside: %w", a.Name, err)
		}
		started = append(started, s.Beside)
		command.Line = strings.ReplaceAll(a.Start, "{beside}", portOf(s.Beside))
	}
	var urls []string
	for range servers {
		one, err := command.Start(limit)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.Name, err)
		}
		started = append(started, one)
		urls = append(urls, strings.ReplaceAll(a.URL, "{port}", portOf(one)))
	}
	all := started[len(started)-servers:]
	s.Server, s.Others = all[0], all[1:]
	s.Port, s.URL = portOf(s.Server), strings.Join(urls, ",")
	return s, nil
}

func portOf(s *probe.Server) string {
	_, port, _ := strings.Cut(s.Addr, ":")
	return port
}
