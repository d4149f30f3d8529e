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

// Events that a scenario can have.
const (
	hurt = "hurt"
	heal = "heal"
)

// patience is how long a command of the user may go on after the run.
const patience = 10 * time.Second

// harm runs the user's commands that make a fault and end it. They run beside
// the load, which never waits for them. So their outcome is checked when the
// run is over: if the fault was not made, the run proves nothing. The heal
// command always runs, also after a run that was aborted.
type harm struct {
	lines map[string]string // by what

	mu     sync.Mutex
	begun  []*deed // guarded by mu
	closed bool    // guarded by mu: the run is over; a late timer starts nothing
}

// deed is one command.
type deed struct {
	what, line string
	cmd        *exec.Cmd
	out        *os.File
	done       chan struct{} // closed when the command has ended
	err        error         // read after done
}

// begin starts the command for "hurt" or "heal" and does not wait.
func (h *harm) begin(what string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || what == heal && len(h.begun) == 0 {
		return nil
	}
	return h.start(what)
}

// start starts a command and records it; mu is held.
func (h *harm) start(what string) error {
	d, err := startDeed(what, h.lines[what])
	if err != nil {
		return cli.Failf(cli.Usage, "--%s-cmd: %w", what, err)
	}
	h.begun = append(h.begun, d)
	return nil
}

// finish waits for the commands, runs the heal command if it has not run, and
// reports failures.
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

// startDeed starts a command. Its output is not a pipe, because a server that
// it starts may go on writing after we have ended.
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

// wait reports how the command ended, and kills it if that takes too long.
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
