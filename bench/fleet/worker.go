package fleet

import (
	"crypto/subtle"
	"errors"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/load"
	"dotsconnect/bench/scenario"
)

// Told is why a job failed, when the coordinator knows it already.
type Told struct{ error }

// Unwrap is the error itself.
func (t Told) Unwrap() error { return t.error }

// Work does the job that comes in and writes what it found. An error that the
// coordinator was told is Told.
func Work(in io.Reader, out io.Writer, end io.Closer, token string) error {
	l := newLine(in, out, end)
	var j job
	if err := l.read(&j); err != nil {
		return cli.Failf(cli.Usage, "no job came: %w; a worker is started by dotsbench run --procs, or listens for --workers", err)
	}
	f, err := j.do(l, token)
	if err != nil {
		code := cli.Invalid
		var e *cli.Error
		if errors.As(err, &e) {
			code = e.Code
		}
		if lost := l.out.Encode(said{Error: err.Error(), Code: code}); lost != nil {
			return errors.Join(err, lost)
		}
		return Told{err}
	}
	return l.out.Encode(said{Found: f})
}

func (j *job) do(l line, token string) (*found, error) {
	if subtle.ConstantTimeCompare([]byte(token), []byte(j.Token)) != 1 {
		return nil, cli.Failf(cli.Usage, "the worker wants another --token")
	}
	s := scenario.Default()
	s.Name = j.Name
	for name, text := range j.Fields {
		if err := s.Set(name, text); err != nil {
			return nil, cli.Failf(cli.Usage, "the worker is of another version: %w", err)
		}
	}
	cfg := load.Config{Scenario: s, URL: j.URL, Pids: j.Pids, Admin: j.Admin, Frames: j.Frames, RunID: j.RunID,
		Together: &member{line: l, part: j.Part, parts: j.Parts}}
	if j.Source != "" {
		var err error
		if cfg.SourceNet, err = netip.ParsePrefix(j.Source); err != nil {
			return nil, cli.Failf(cli.Usage, "--source: %w", err)
		}
	}
	r, err := load.Run(cfg)
	if err != nil {
		return nil, err
	}
	return pack(r)
}

// member is load.Together at the worker's end of the line.
type member struct {
	line
	part, parts int
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
	if err := m.out.Encode(said{Step: step, Brought: mine}); err != nil {
		return load.Met{Err: err}
	}
	var w met
	if err := m.read(&w); err != nil {
		return load.Met{Err: cli.Failf(cli.Invalid, "the coordinator: %w", err)}
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
