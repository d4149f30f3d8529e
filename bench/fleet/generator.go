package fleet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"dotsconnect/bench/internal/cli"
)

// Time limits for the steps before a job. A worker that is not busy does each
// step at once.
const (
	dialLimit  = 5 * time.Second
	greetLimit = 15 * time.Second // long enough for a process to start, or for a worker to finish its previous job
	writeLimit = time.Minute      // for one JSON object to a worker on another machine
)

// worker is one generator, as the coordinator sees it.
type worker struct {
	line
	name string
	conn net.Conn  // nil for a process on this machine
	cmd  *exec.Cmd // nil for a worker on another machine
	said said
}

// start starts another process of this program as generator i. The kernel kills
// the process when the thread that called start ends.
func start(i int) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "worker")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start generator %d: %w", i+1, err)
	}
	return &worker{line: newLine(out, in, in), name: "generator " + strconv.Itoa(i+1), cmd: cmd}, nil
}

// dial connects to a worker on another machine.
func dial(addr string) (*worker, error) {
	c, err := net.DialTimeout("tcp", addr, dialLimit)
	if err != nil {
		return nil, cli.Failf(cli.Usage, "no worker at %s: %w; start one there with: dotsbench worker --listen :PORT", addr, err)
	}
	return &worker{line: newLine(c, c, c), name: "worker " + addr, conn: c}, nil
}

// greet sends the token and waits until the worker has accepted it. The caller
// sends the job only after that, so that a process that does not know the token
// never gets the job.
func (w *worker) greet(token string) error {
	if err := w.write(hello{token}); err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	return listen([]*worker{w}, stepHello, greetLimit)
}

// write is line.write with a time limit, so that a worker on another machine
// cannot block the coordinator without end.
func (w *worker) write(what any) error {
	if w.conn != nil {
		if err := w.conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return err
		}
	}
	return w.line.write(what)
}

// hear waits for the worker's report that it has come to a step, or for its
// result if step is "".
func (w *worker) hear(step string) error {
	w.said = said{}
	if err := w.read(&w.said); err != nil {
		return cli.Failf(cli.Invalid, "%s: %w", w.name, err)
	}
	switch {
	case w.said.Error != "":
		return w.failed()
	case w.said.Step != step, step == "" && (w.said.Found == nil || w.said.Found.Result == nil):
		return cli.Failf(cli.Invalid, "%s: reached step %q instead of %q: does it have another version?", w.name, w.said.Step, step)
	}
	return nil
}

// failed returns the error that the worker reported. The error does not name a
// process on this machine, because all processes on this machine do the same
// work.
func (w *worker) failed() error {
	code, text := w.said.Code, w.said.Error
	if code <= cli.OK || code > cli.ServerDied {
		code = cli.Invalid
	}
	if w.conn != nil {
		text = w.name + ": " + text
	}
	return &cli.Error{Code: code, Err: errors.New(text)}
}

// abandon ends workers in the middle of their jobs. Processes on this machine
// end at once; workers on other machines end the job at its next step.
func abandon(workers []*worker) {
	for _, w := range workers {
		if w.cmd != nil {
			_ = w.cmd.Process.Kill() // fails only if the process has already ended
		}
		_ = w.end.Close()
	}
}

// stop ends a worker, unless it has already ended.
func (w *worker) stop() {
	_ = w.end.Close() // the worker's next read fails, and the worker ends
	if w.cmd == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		_ = w.cmd.Wait() // ignore the exit status: the worker has already reported its error
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		_ = w.cmd.Process.Kill()
		<-done
	}
}
