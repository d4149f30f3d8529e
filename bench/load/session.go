package load

import (
	"errors"
	"os"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/proof"
)

// A Session has the connections to one server while several servers are
// measured in turns. All servers run and keep their connections. At any time
// only one server has work, for a slice of some hundred milliseconds. So the
// slices that are compared are at most about a second apart, and each server
// has the same connections in all of its slices.
//
// A Session belongs to one goroutine, which is locked to its thread; several
// Sessions may share the goroutine. Between two calls a Session reads nothing
// and sends no heartbeats, so call Rest before the server's timeout for
// heartbeats.
type Session struct{ run *run }

// Slice has the figures of one slice.
type Slice struct {
	Sent      int64
	Delivered int64
	CPU       time.Duration // CPU time of the server
	P50       time.Duration // median latency, from the intended time of a message to its arrival
	Foreign   float64       // share of the CPU time that other programs took; see Meter
}

// CPUPerDelivery returns the server's CPU time per delivery in microseconds, or
// 0 if there were no deliveries.
func (s Slice) CPUPerDelivery() float64 {
	if s.Delivered == 0 {
		return 0
	}
	return float64(s.CPU) / 1000 / float64(s.Delivered)
}

// OpenSession opens the connections of a scenario. The scenario must have
// neither churn nor faults.
func OpenSession(cfg Config) (*Session, error) {
	r, err := openRun(cfg)
	if err != nil {
		return nil, err
	}
	return &Session{r}, nil
}

// Slice sends by the schedule of the scenario for the given time, and then
// waits until every message has arrived. So the server has no work left when
// the slice ends. An error means that messages are missing or that connections
// have ended.
func (s *Session) Slice(length time.Duration) (Slice, error) {
	r := s.run
	start := (r.e.Now() + int64(time.Millisecond)) / 1000 * 1000 // a stamp has whole microseconds
	r.from, r.to, r.k, r.over = start, start+int64(length), 0, false
	r.sched = newSchedule(r.s, start, length)
	r.interval.take()
	meter := StartMeter(r.cfg.Pids...)
	sent, received := r.now.sent, r.now.received
	if r.closed {
		if _, err := r.e.Run(start, nil); err != nil {
			return Slice{}, err
		}
		r.startClosed()
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
		P50: time.Duration(r.interval.histogram().ValueAtQuantile(50)) * time.Microsecond}
	out.CPU, out.Foreign = meter.Stop()
	return out, nil
}

// settle waits until every message has arrived, and then 1 ms longer, because
// the server may still have work to do after the last delivery.
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

// Rest reads from the connections for the given time and sends the heartbeats
// that are due.
func (s *Session) Rest(length time.Duration) error {
	_, err := s.run.e.Run(s.run.e.Now()+int64(length), nil)
	return errors.Join(err, s.settle())
}

// Close resets the connections. It returns the verdict of the ledger for all
// slices together.
func (s *Session) Close() (proof.Verdict, error) {
	return s.run.ledger.Verdict(), s.run.e.Close()
}

// A Meter measures CPU time between StartMeter and Stop: the CPU time of the
// servers, and the CPU time of other programs.
type Meter struct {
	pids              []int
	began             time.Time
	busy, own, server time.Duration
}

// StartMeter begins to measure the servers with these process ids.
func StartMeter(pids ...int) *Meter {
	m := &Meter{pids: pids, began: time.Now(), busy: cpuBusy(), own: processTime(os.Getpid())}
	m.server = m.servers()
	return m
}

// Stop returns the CPU time of the servers since the start. foreign is the CPU
// time of all other programs and of other virtual machines (steal), divided by
// the elapsed time. It comes from /proc/stat, which counts in ticks of 10 ms.
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

// processTime returns the CPU time of a process, or 0 if it has ended.
func processTime(pid int) time.Duration {
	ns, _ := processCPU(pid)
	return time.Duration(ns)
}

// tick is the unit of /proc/stat: USER_HZ is 100 on every Linux that Go supports.
const tick = 10 * time.Millisecond

// cpuBusy returns the total time in which the CPUs of this machine were not
// idle.
func cpuBusy() time.Duration {
	_, busy, _ := cpuTicks()
	return time.Duration(busy) * tick
}
