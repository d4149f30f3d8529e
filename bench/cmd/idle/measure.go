package main

import (
	"errors"
	"fmt"
	"time"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/mark"
	"dotsconnect/bench/internal/probe"
)

// window is how many handshakes are under way at once: few enough for any
// listen backlog.
const window = 256

// sample is the server at one moment.
type sample struct {
	probe.Proc
	Go      *probe.Go `json:"go,omitempty"` // nil without an admin address
	Settled bool      `json:"settled"`
}

// meter makes the measurement.
type meter struct {
	options
	target   client.Target
	progress *cli.Progress
	admin    *probe.Admin // nil: none
	start    time.Time

	e     *client.Engine
	got   []uint16 // messages of its own room, by connection
	total int
	wrong string // the first message that did not belong
	ended string // the first connection that ended
	ends  int

	before, idle, active sample
}

func newMeter(o options, target client.Target, p *cli.Progress) *meter {
	m := &meter{options: o, target: target, progress: p, start: time.Now(), got: make([]uint16, o.conns)}
	if o.admin != "" {
		m.admin = probe.NewAdmin(o.admin)
	}
	return m
}

func (m *meter) left() time.Duration { return m.limit - time.Since(m.start) }

func (m *meter) measure() error {
	if err := m.warm(); err != nil {
		return err
	}
	var err error
	m.e, err = client.New(client.Config{Target: m.target, MaxConns: m.conns, BeatEvery: m.beat}, client.Handlers{
		OnOpen: func(id int32, _ client.Open) {
			m.e.Beat(id, true)
			m.progress.Show("%s of %s connections open", cli.Count(m.e.Opened()), cli.Count(m.conns))
		},
		OnMessage: m.message,
		OnClose: func(id int32, c client.Close) {
			if m.ends++; m.ends == 1 {
				m.ended = fmt.Sprintf("connection %d: %s", id, c)
			}
		},
	})
	if err != nil {
		return err
	}
	defer func() { _ = m.e.Close() }()

	if m.before, err = m.look("before"); err != nil {
		return err
	}
	path := func(i int) string { return m.target.Room(fmt.Sprintf("idle-%d", i%m.rooms)) }
	if err := m.e.OpenAll(m.conns, window, path, m.left()); err != nil || m.ends > 0 {
		return m.failed("opening", err)
	}
	if m.idle, err = m.look("idle"); err != nil {
		return err
	}
	if err := m.talk(); err != nil {
		return err
	}
	m.active, err = m.look("active")
	return err
}

// warm opens and resets connections by an engine of its own.
func (m *meter) warm() error {
	if m.warmup == 0 {
		return nil
	}
	e, err := client.New(client.Config{Target: m.target, MaxConns: m.warmup}, client.Handlers{})
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	return e.OpenAll(m.warmup, window, func(int) string { return m.target.Room("warmup") }, m.left())
}

// failed says why connections are missing.
func (m *meter) failed(when string, err error) error {
	switch {
	case m.ends > 0:
		return cli.Failf(cli.Invalid, "%s of %s connections ended while %s, the first: %s",
			cli.Count(m.ends), cli.Count(m.conns), when, m.ended)
	case err != nil:
		return cli.Failf(cli.Invalid, "%s: %w", when, err)
	}
	return nil
}

// look collects garbage, waits until RSS is stable and reads the figures.
func (m *meter) look(phase string) (sample, error) {
	var s sample
	if m.admin != nil {
		// Once unseen, so that the first page's own memory is in every sample.
		if _, err := m.admin.Read(); err != nil {
			return s, cli.Failf(cli.Usage, "admin: %w", err)
		}
		if err := m.admin.GC(); err != nil {
			return s, cli.Failf(cli.Usage, "admin: %w", err)
		}
	}
	var err error
	s.Proc, err = probe.Settle(m.pid, min(m.settle, m.left()), func(d time.Duration) error {
		m.progress.Show("%s: waiting for a stable RSS", phase)
		_, err := m.e.Run(m.e.Now()+int64(d), nil)
		return err
	})
	s.Settled = err == nil
	if err != nil && !errors.Is(err, probe.ErrUnsettled) {
		return s, cli.Failf(cli.Invalid, "process %d: %w", m.pid, err)
	}
	if m.admin != nil {
		g, err := m.admin.Read()
		if err != nil {
			return s, cli.Failf(cli.Invalid, "admin: %w", err)
		}
		s.Go = &g
	}
	return s, m.failed("being idle", nil)
}

// talk lets every connection send one message, paced so that neither side
// needs a backlog, and waits until all of its room have it.
func (m *meter) talk() error {
	const burst, pause = 50, 10 * time.Millisecond
	var message []byte
	for i := range m.conns {
		message = mark.AppendMessage(message[:0], mark.Mark{Run: uint32(m.pid), Sender: uint32(i)})
		if _, err := m.e.Send(int32(i), message); err != nil {
			return m.failed("sending", err)
		}
		if i%burst == burst-1 {
			m.progress.Show("%s of %s messages sent", cli.Count(i+1), cli.Count(m.conns))
			if _, err := m.e.Run(m.e.Now()+int64(pause), nil); err != nil {
				return err
			}
		}
	}
	want := m.deliveries()
	_, err := m.e.Run(m.e.Now()+int64(min(10*time.Second, m.left())), func() bool { return m.total >= want || m.ends > 0 })
	// What comes twice comes late: a moment more.
	if err == nil {
		_, err = m.e.Run(m.e.Now()+int64(100*time.Millisecond), nil)
	}
	if err != nil || m.ends > 0 {
		return m.failed("talking", err)
	}
	return m.checkDeliveries()
}

func (m *meter) message(id int32, payload []byte, _ int64) {
	got, err := mark.Parse(payload)
	switch {
	case errors.Is(err, mark.ErrNone):
		return // a server may greet, or relay heartbeats
	case err == nil && (got.Run != uint32(m.pid) || int(got.Sender)%m.rooms != int(id)%m.rooms):
		err = fmt.Errorf("a message of connection %d, which is in another room", got.Sender)
	}
	if err != nil && m.wrong == "" {
		m.wrong = fmt.Sprintf("connection %d got %v: %.80q", id, err, payload)
	}
	m.got[id]++
	m.total++
}

// roomSize is the number of members of the room of connection i.
func (m *meter) roomSize(i int) int {
	n := m.conns / m.rooms
	if i%m.rooms < m.conns%m.rooms {
		n++
	}
	return n
}

func (m *meter) deliveries() int {
	n := 0
	for i := range m.conns {
		n += m.roomSize(i)
	}
	return n
}

func (m *meter) checkDeliveries() error {
	if m.wrong != "" {
		return cli.Failf(cli.Violated, "%s", m.wrong)
	}
	for i, n := range m.got {
		if int(n) != m.roomSize(i) {
			return cli.Failf(cli.Violated, "connection %d got %d messages instead of the %d of its room (all together %s of %s)",
				i, n, m.roomSize(i), cli.Count(m.total), cli.Count(m.deliveries()))
		}
	}
	return nil
}
