package load

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/proof"
)

// A Session has the connections of one server while several servers are
// measured in turns. All servers are up and connected. One at a time has work,
// for a slice of some hundred milliseconds, and the others have none. So
// slices that are compared were measured within a second, with the same
// connections.
//
// A Session belongs to one goroutine, which stays on its thread; several
// Sessions may share it. Between two slices nothing is read and no heartbeat
// is sent, so a pause must be shorter than the server's patience.
type Session struct{ run *run }

// Slice is the work of a server in one slice.
type Slice struct {
	Sent      int64
	Delivered int64
	CPU       time.Duration // of the server
	P50       time.Duration // from the intended time to the arrival
	Foreign   float64       // see Meter
}

// CPUPerDelivery is the server's CPU time for one delivery in microseconds; 0
// without deliveries.
func (s Slice) CPUPerDelivery() float64 {
	if s.Delivered == 0 {
		return 0
	}
	return float64(s.CPU) / 1000 / float64(s.Delivered)
}

// OpenSession opens the connections of a scenario that has neither churn nor
// faults.
func OpenSession(cfg Config) (*Session, error) {
	r, err := newRun(cfg)
	if err != nil {
		return nil, err
	}
	if err := cli.NeedDescriptors(len(r.memberOf)); err != nil {
		return nil, err
	}
	if err := reach(r.targets); err != nil {
		return nil, err
	}
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	if err := r.open(); err != nil {
		return nil, err
	}
	return &Session{r}, nil
}

// Slice sends by the schedule of the scenario for the given time, and waits
// until every message has arrived: the server begins and ends without work. An
// error means that messages are missing, or that connections ended.
func (s *Session) Slice(length time.Duration) (Slice, error) {
	r := s.run
	start := (r.e.Now() + int64(time.Millisecond)) / 1000 * 1000 // stamps have whole microseconds
	r.from, r.to, r.k, r.over = start, start+int64(length), 0, false
	r.sched = schedule{start: start, rate: r.s.Rate.PerSecond, burst: int64(r.s.Burst)}
	r.sched.total = int64(r.s.Rate.PerSecond * length.Seconds())
	r.interval.Reset()
	meter := StartMeter(r.cfg.Pids...)
	sent, received := r.now.sent, r.now.received
	if r.closed {
		r.startClosed(start)
	}
	for now := r.e.Now(); now < r.to || r.sched.at(r.k) < r.to; now = r.e.Now() {
		if err := r.e.Poll(min(max(r.to, now), r.sendDue(now))); err != nil {
			return Slice{}, err
		}
	}
	r.over = true
	if err := s.settle(); err != nil {
		return Slice{}, err
	}
	out := Slice{Sent: r.now.sent - sent, Delivered: r.now.received - received,
		P50: time.Duration(r.interval.ValueAtQuantile(50)) * time.Microsecond}
	out.CPU, out.Foreign = meter.Stop()
	return out, nil
}

// settle waits until every message has arrived, and a moment longer for the
// work that the server does afterwards.
func (s *Session) settle() error {
	r := s.run
	const after = time.Millisecond
	r.progress = r.e.Now()
	for r.ledger.Outstanding() > 0 && r.ends == 0 {
		quiet := r.progress + int64(r.s.Settle)
		if r.e.Now() >= quiet {
			return cli.Failf(cli.Violated, "%s deliveries did not arrive within %v", cli.Count(r.ledger.Outstanding()), r.s.Settle)
		}
		if err := r.e.Poll(quiet); err != nil {
			return err
		}
	}
	if _, err := r.e.Run(r.e.Now()+int64(after), nil); err != nil {
		return err
	}
	if why := r.died(); why != "" {
		return cli.Failf(cli.ServerDied, "the server died: %s", why)
	}
	if r.ends > 0 {
		return cli.Failf(cli.Violated, "%s connections were ended by the server, the first: %s", cli.Count(r.ends), r.ended)
	}
	return nil
}

// Rest serves the connections for the given time and sends heartbeats that are
// due.
func (s *Session) Rest(length time.Duration) error {
	_, err := s.run.e.Run(s.run.e.Now()+int64(length), nil)
	return errors.Join(err, s.settle())
}

// Close resets the connections and returns the findings of the proof for all
// slices.
func (s *Session) Close() (proof.Verdict, error) {
	return s.run.ledger.Verdict(), s.run.e.Close()
}

// A Meter measures the CPU time of servers between two moments, and how much
// of the machine other programs took meanwhile.
type Meter struct {
	pids              []int
	began             time.Time
	busy, own, server time.Duration
}

// StartMeter begins to measure.
func StartMeter(pids ...int) *Meter {
	m := &Meter{pids: pids, began: time.Now(), busy: cpuBusy(), own: processTime(os.Getpid())}
	m.server = m.servers()
	return m
}

// Stop returns the CPU time of the servers since the start. It also returns
// the CPU time of everything except the servers and this process, as a share
// of the elapsed time: other programs, and other machines (steal). That share
// comes from /proc/stat, which counts in ticks of 10 ms.
func (m *Meter) Stop() (cpu time.Duration, foreign float64) {
	cpu = m.servers() - m.server
	others := cpuBusy() - m.busy - (processTime(os.Getpid()) - m.own) - cpu
	return cpu, max(0, others.Seconds()/time.Since(m.began).Seconds())
}

func (m *Meter) servers() (all time.Duration) {
	for _, pid := range m.pids {
		all += processTime(pid)
	}
	return all
}

// processTime is the CPU time of a process, 0 if it has ended.
func processTime(pid int) time.Duration {
	ns, _ := processCPU(pid)
	return time.Duration(ns)
}

// cpuBusy is the time in which the CPUs of this machine were not idle.
func cpuBusy() time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go supports
	_, busy, _ := cpuTicks()
	return time.Duration(busy) * tick
}
