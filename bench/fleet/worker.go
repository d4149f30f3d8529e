package fleet

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/load"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// Limits, in bytes, of the first two lines that a worker reads. Only the second
// line comes from a coordinator that has proved that it knows the token.
const (
	maxHello = 4 << 10
	maxJob   = 1 << 20
)

// Told is an error that was already sent to the coordinator.
type Told struct{ error }

// Unwrap returns the error that was sent.
func (t Told) Unwrap() error { return t.error }

// Work reads one job from in, does it, and sends its result to out. If the
// coordinator ends before the job is done, Work calls lost. A run cannot be
// interrupted, so lost should end the process. An error of type Told was
// already sent to the coordinator.
func Work(in io.Reader, out io.Writer, end io.Closer, lost func()) error {
	d := newDesk(in, out, end, "", load.Run)
	d.lost = lost
	if err := d.hello(); err != nil {
		return err
	}
	j, err := d.job()
	if err != nil {
		return err
	}
	return d.work(j)
}

// desk is the worker's side of a line to a coordinator. Call its methods hello,
// job and work once each, in this order.
type desk struct {
	line
	in    *io.LimitedReader // limits how much line may read
	token string
	run   func(load.Config) (*result.Result, error)
	lost  func() // called when the coordinator has ended; nil: the run goes on to its next step
}

func newDesk(in io.Reader, out io.Writer, end io.Closer, token string, run func(load.Config) (*result.Result, error)) *desk {
	limited := &io.LimitedReader{R: in, N: maxHello}
	return &desk{line: newLine(limited, out, end), in: limited, token: token, run: run}
}

// hello reads the first line of the coordinator and checks the token in it.
func (d *desk) hello() error {
	var h hello
	if err := d.readFew(&h); err != nil {
		return cli.Failf(cli.Usage, "no coordinator: %w; dotsbench run --procs starts its workers itself, and for dotsbench run --workers you start them with dotsbench worker --listen HOST:PORT", err)
	}
	if subtle.ConstantTimeCompare([]byte(d.token), []byte(h.Token)) != 1 {
		return d.refuse(cli.Failf(cli.Usage, "wrong token: set %s to the same secret on both sides", Token))
	}
	return nil
}

// job answers the hello and reads the job.
func (d *desk) job() (*job, error) {
	if err := d.write(said{Step: stepHello}); err != nil {
		return nil, err
	}
	d.in.N = maxJob
	var j job
	if err := d.readFew(&j); err != nil {
		return nil, cli.Failf(cli.Usage, "no job arrived: %w", err)
	}
	d.in.N = math.MaxInt64 // no limit: later lines have totals, and their number depends on the job
	return &j, nil
}

// readFew reads a line of limited length. Its errors explain the two ways in
// which an unknown sender can fail: silence and a line that is too long.
func (d *desk) readFew(into any) error {
	err := d.read(into)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("the other side sends nothing")
	case err != nil && d.in.N == 0:
		return errors.New("the line is too long")
	}
	return err
}

// refuse tells the coordinator why it gets no result.
func (d *desk) refuse(err error) error {
	code := cli.Invalid
	var e *cli.Error
	if errors.As(err, &e) {
		code = e.Code
	}
	if lost := d.write(said{Error: err.Error(), Code: code}); lost != nil {
		return errors.Join(err, lost)
	}
	return Told{err}
}

// work does the job and sends its result.
func (d *desk) work(j *job) error {
	m := &member{desk: d, part: j.Part, parts: j.Parts, words: make(chan met), gone: make(chan struct{}), left: make(chan struct{})}
	go m.watch()
	defer close(m.left)
	f, err := d.do(j, m)
	m.over.Store(true)
	if err != nil {
		return d.refuse(err)
	}
	return d.write(said{Found: f})
}

// do makes the run. It turns a panic into an error, because other coordinators
// use the same worker.
func (d *desk) do(j *job, m *member) (f *found, err error) {
	defer func() {
		if v := recover(); v != nil {
			debug.PrintStack()
			f, err = nil, cli.Failf(cli.Invalid, "the generator panicked: %v", v)
		}
	}()
	cfg, err := j.config()
	if err != nil {
		return nil, err
	}
	cfg.Together = m
	r, err := d.run(cfg)
	if err != nil {
		return nil, err
	}
	return pack(r)
}

// config makes the configuration of a job and checks it, because the
// coordinator may be another version of this program.
func (j *job) config() (load.Config, error) {
	s := scenario.Default()
	s.Name = j.Name
	for name, text := range j.Fields {
		if err := s.Set(name, text); err != nil {
			return load.Config{}, cli.Failf(cli.Usage, "coordinator and worker are different versions of dotsbench: %w", err)
		}
	}
	err := s.Validate()
	switch {
	case err != nil:
		return load.Config{}, cli.Failf(cli.Usage, "the job is not valid: %w", err)
	case j.Parts < 1 || j.Part < 0 || j.Part >= j.Parts:
		return load.Config{}, cli.Failf(cli.Usage, "the job is not valid: there is no part %d of %d (parts are numbered from 0)", j.Part, j.Parts)
	}
	if err := check(&s, j.Parts, 0); err != nil {
		return load.Config{}, err
	}
	cfg := load.Config{Scenario: s, URL: j.URL, Pids: j.Pids, Admin: j.Admin, Frames: j.Frames, Pinned: j.Pinned, Started: j.Fresh, RunID: j.RunID}
	if j.Source != "" {
		if cfg.SourceNet, err = netip.ParsePrefix(j.Source); err != nil {
			return load.Config{}, cli.Failf(cli.Usage, "--source: %w", err)
		}
	}
	return cfg, nil
}

// member implements load.Together for a worker: it speaks with the coordinator.
// Its goroutine watch reads the line all the time, so that the worker also
// notices between two steps that the coordinator has ended.
type member struct {
	*desk
	part, parts int
	words       chan met
	gone        chan struct{} // closed when the line has failed with err
	err         error
	left        chan struct{} // closed when the job is done: nobody waits for messages any more
	over        atomic.Bool   // the job is done, so the coordinator may close the line
}

func (m *member) watch() {
	for {
		var w met
		if err := m.read(&w); err != nil {
			m.err = err
			close(m.gone)
			if m.lost != nil && !m.over.Load() {
				m.lost()
			}
			return
		}
		select {
		case m.words <- w:
		case <-m.left:
			return
		}
	}
}

// Part implements load.Together.
func (m *member) Part() (part, parts int) { return m.part, m.parts }

// Meet implements load.Together.
func (m *member) Meet(step string, mine load.Brought) <-chan load.Met {
	told := make(chan load.Met, 1)
	go func() {
		told <- m.wait(step, mine)
	}()
	return told
}

func (m *member) wait(step string, mine load.Brought) load.Met {
	if err := m.write(said{Step: step, Brought: mine}); err != nil {
		return load.Met{Err: err}
	}
	var w met
	select {
	case w = <-m.words:
	case <-m.gone:
		return load.Met{Err: cli.Failf(cli.Invalid, "the coordinator: %w", m.err)}
	case <-m.left:
		return load.Met{Err: errGone}
	}
	if w.Step != step {
		return load.Met{Err: fmt.Errorf("the coordinator is at step %q, this generator at %q", w.Step, step)}
	}
	if w.Delay > 0 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			return load.Met{Err: err}
		}
		w.Start = ts.Nano() + int64(time.Duration(w.Delay))
	}
	return load.Met{Start: w.Start, Totals: w.Totals}
}
