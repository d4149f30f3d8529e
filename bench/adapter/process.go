package adapter

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/probe"
)

// Absent says why a server cannot be had on this machine, which is nobody's
// mistake.
type Absent struct{ Why string }

func (e *Absent) Error() string { return e.Why }

// Prepare builds the server, once. Its error is an *Absent if this machine lacks
// what the server needs.
func (a *Adapter) Prepare(ctx context.Context) error {
	if a.prepared {
		return nil
	}
	if program := a.Missing(); program != "" {
		return &Absent{program + " is not installed"}
	}
	if a.Build != "" {
		if err := a.build(ctx); err != nil {
			return err
		}
	}
	a.prepared = true
	return nil
}

func (a *Adapter) build(ctx context.Context) error {
	const limit = 5 * time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("took more than %v", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", a.Build)
	cmd.Dir = a.Dir
	// What the shell has started ends with it, and it ends with us: with the
	// thread that starts it, which therefore stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("build: %w: %s", errors.Join(err, context.Cause(ctx)), said(out))
	if a.IfBuildFails == "skip" {
		return &Absent{err.Error()}
	}
	return err
}

// said is the part of a failed command's output that most likely has the reason.
func said(out []byte) string {
	const most = 300
	var lines []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	text := strings.Join(lines, " | ")
	if text == "" {
		return "(no output)"
	}
	return text[:min(most, len(text))]
}

// Missing names the first program of Needs that this machine lacks, if any.
func (a *Adapter) Missing() string {
	for _, program := range a.Needs {
		if _, err := exec.LookPath(program); err != nil {
			return program
		}
	}
	return ""
}

// Server is a server that runs.
type Server struct {
	*probe.Server
	Beside *probe.Server // what it needs beside it; nil: nothing
	Port   string
	URL    string // {room} stands for the room
}

// Stop ends the server, and then what is beside it.
func (s *Server) Stop() {
	s.Server.Stop()
	if s.Beside != nil {
		s.Beside.Stop()
	}
}

// Launch starts the server on the given CPUs, nil for all, and waits until it is
// ready. The caller must stay on its thread (runtime.LockOSThread): the kernel
// ends the server together with the thread that started it.
func (a *Adapter) Launch(cpus *unix.CPUSet) (*Server, error) {
	const limit = 20 * time.Second
	command := probe.Command{Line: a.Start, Dir: a.Dir, CPUs: cpus}
	if a.Ready != TCP {
		var err error
		if command.Ready, err = regexp.Compile(a.Ready); err != nil {
			return nil, err
		}
	}
	s := &Server{}
	var err error
	if a.Beside != "" {
		if s.Beside, err = (probe.Command{Line: a.Beside, Dir: a.Dir, CPUs: cpus}).Start(limit); err != nil {
			return nil, fmt.Errorf("%s: beside: %w", a.Name, err)
		}
		_, port, _ := strings.Cut(s.Beside.Addr, ":")
		command.Line = strings.ReplaceAll(a.Start, "{beside}", port)
	}
	if s.Server, err = command.Start(limit); err != nil {
		if s.Beside != nil {
			s.Beside.Stop()
		}
		return nil, fmt.Errorf("%s: %w", a.Name, err)
	}
	_, s.Port, _ = strings.Cut(s.Addr, ":")
	s.URL = strings.ReplaceAll(a.URL, "{port}", s.Port)
	return s, nil
}
