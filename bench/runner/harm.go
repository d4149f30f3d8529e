package runner

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/cli"
)

// The two events of a fault, as named in messages and flags: the fault begins,
// and the fault ends.
const (
	hurt = "hurt"
	heal = "heal"
)

// patience is how long the program waits, after the run, for a command of the
// user to end.
const patience = 10 * time.Second

// harm runs the user's commands that make a fault (hurt) and end it (heal). The
// load does not wait for a command. So the outcome of the commands is checked
// when the run is over: a run without its fault proves nothing. Once a fault
// was made, the heal command always runs, even if the run was aborted.
type harm struct {
	lines map[string]string // the commands, by event

	mu     sync.Mutex
	begun  []*deed // guarded by mu
	closed bool    // guarded by mu: the run is over, so a late timer must not start a command
}

// deed is a command of the user that was started.
type deed struct {
	what, line string
	cmd        *exec.Cmd
	out        *os.File
	done       chan struct{} // closed when cmd has ended
	err        error         // outcome of cmd; valid once done is closed
}

// begin starts the command for "hurt" or "heal". It does not wait for the end
// of the command.
func (h *harm) begin(what string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || what == heal && len(h.begun) == 0 {
		return nil
	}
	return h.start(what)
}

// start starts a command and records it. The caller holds mu.
func (h *harm) start(what string) error {
	d, err := startDeed(what, h.lines[what])
	if err != nil {
		return cli.Failf(cli.Usage, "--%s-cmd: %w", what, err)
	}
	h.begun = append(h.begun, d)
	return nil
}

// finish waits for the commands and returns their errors. If there was a fault
// and the heal command has not run successfully, finish runs it.
func (h *harm) finish() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	var errs []error
	healed := len(h.begun) == 0
	for _, d := range h.begun {
		err := d.wait()
		errs = append(errs, err)
		healed = healed || d.what == heal && err == nil
	}
	if healed || h.lines[heal] == "" {
		return errors.Join(errs...)
	}
	if err := h.start(heal); err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, h.begun[len(h.begun)-1].wait())...)
}

// startDeed starts a command of the user. The output goes to a file in memory
// instead of a pipe: the command may start a server that still writes after
// this program has ended, and a write to a closed pipe would kill that server.
func startDeed(what, line string) (*deed, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	d := &deed{what: what, line: line, out: os.NewFile(uintptr(fd), "output"), done: make(chan struct{})}
	d.cmd = exec.Command("/bin/sh", "-c", line)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		return nil, errors.Join(err, d.out.Close())
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.done)
	}()
	return d, nil
}

// wait waits for the end of the command and returns its error. It kills the
// command after the time patience.
func (d *deed) wait() error {
	defer func() { _ = d.out.Close() }()
	select {
	case <-d.done:
	case <-time.After(patience):
		_ = unix.Kill(-d.cmd.Process.Pid, unix.SIGKILL)
		<-d.done
		return cli.Failf(cli.Usage, "--%s-cmd %q had not ended %v after the run: %s", d.what, d.line, patience, d.lastLine())
	}
	if d.err != nil {
		return cli.Failf(cli.Usage, "--%s-cmd %q failed, %w: %s", d.what, d.line, d.err, d.lastLine())
	}
	return nil
}

func (d *deed) lastLine() string {
	const most = 512
	info, err := d.out.Stat()
	if err != nil {
		return err.Error()
	}
	end := make([]byte, min(most, info.Size()))
	n, _ := d.out.ReadAt(end, info.Size()-int64(len(end)))
	lines := strings.Split(strings.TrimSpace(string(end[:n])), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "(no output)"
}
