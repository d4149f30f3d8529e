package load

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/result"
)

// restart kills a server, the last one if there are several, and starts it again; its members come back. Each
// tries at once, within a fifth of a second, and then backs off, doubling up to two seconds, as clients should.
type restart struct {
	victim  int // the server
	size    int // its members
	killed  int64
	accepts int64           // when the new server accepted
	lost    map[int32]lost  // members that are away
	times   map[int32]int64 // of those that came back, since the kill
	news    <-chan Restarted
}

type lost struct {
	since int64
	next  int64 // when to dial again; never: a dial is in progress
	wait  time.Duration
}

const (
	firstWait = 200 * time.Millisecond
	maxWait   = 2 * time.Second
)

// kill is called at the time of the kill.
func (s *restart) kill(r *run) func(int64) int64 {
	return func(now int64) int64 {
		s.killed, s.lost, s.times = now, map[int32]lost{}, map[int32]int64{}
		s.victim = len(r.targets) - 1
		for m := range int32(r.s.Conns) {
			if r.serverOf(m) == s.victim {
				s.size++
			}
		}
		s.news = r.cfg.Restart()
		r.agenda.add(now, func(now int64) int64 { return s.again(r, now) })
		return never
	}
}

// again dials members that are due, and checks for the new server.
func (s *restart) again(r *run, now int64) int64 {
	select {
	case n := <-s.news:
		s.news = nil
		s.accepts = now
		if n.Err != nil {
			r.agenda.failed(cli.Failf(cli.ServerDied, "the server could not be started again: %w", n.Err))
		} else {
			r.now.replaceServer(r.cfg.Pids, n.Pid)
		}
	default:
	}
	for m, l := range s.lost {
		if l.next > now {
			continue
		}
		if err := r.dial(m); err != nil {
			r.agenda.failed(err)
			return never
		}
		l.next = never
		s.lost[m] = l
	}
	return now + int64(2*time.Millisecond)
}

// closed handles the end of a connection or of an attempt; after the kill it is expected for that server.
func (s *restart) closed(r *run, m int32, c client.Close) bool {
	if s.killed == 0 || r.serverOf(m) != s.victim {
		return false
	}
	l, away := s.lost[m]
	if !away {
		l = lost{since: c.Stamp, wait: firstWait}
		r.ledger.Left(m)
	} else {
		l.wait = min(2*l.wait, maxWait)
	}
	delete(s.times, m)
	l.next = c.Stamp + rand.Int64N(int64(l.wait))
	s.lost[m] = l
	return true
}

// back reports whether an open connection belongs to a member that came back.
func (s *restart) back(r *run, m int32, at int64) bool {
	if _, away := s.lost[m]; !away {
		return false
	}
	s.times[m] = at - s.killed
	r.ledger.Back(m)
	return true
}

// since returns when a member lost its connection, and forgets it.
func (s *restart) since(m int32) int64 {
	l := s.lost[m]
	delete(s.lost, m)
	return l.since
}

func (s *restart) result(r *run, o *result.Result) {
	if s.killed == 0 {
		return
	}
	times := slices.Sorted(maps.Values(s.times))
	n := len(times)
	at := func(share float64) int64 {
		i := int(share*float64(s.size)+0.999999) - 1
		if i >= n {
			return 0
		}
		return times[i] / 1000
	}
	o.Recovery = &result.Recovery{Conns: s.size, Back: n, At50: at(0.5), At90: at(0.9), At99: at(0.99), At100: at(1)}
	if s.accepts > 0 {
		o.Recovery.Server = (s.accepts - s.killed) / 1000
	}
	if n < s.size {
		r.promise("%s of %s connections did not come back within %v", cli.Count(s.size-n), cli.Count(s.size),
			time.Duration(r.to-s.killed).Round(time.Millisecond))
	}
}
