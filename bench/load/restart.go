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

// restart kills the last server and starts it again; the members of that server come back. Each
// member waits a random time before it dials, as clients should: at most 200 ms before its first
// attempt. This limit doubles with each further attempt, up to 2 s.
type restart struct {
	victim  int // index of the server that is killed
	size    int // number of members on that server
	killed  int64
	accepts int64           // time at which the new server accepted connections
	lost    map[int32]lost  // members without a connection
	times   map[int32]int64 // by member that came back: time from the kill to its 101
	news    <-chan Restarted
}

type lost struct {
	since int64
	next  int64 // time of the next attempt; never: an attempt is in progress
	wait  time.Duration
}

const (
	firstWait = 200 * time.Millisecond
	maxWait   = 2 * time.Second
)

// kill returns the action that kills the server.
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

// again checks whether the new server accepts connections, and dials the
// members whose next attempt is due.
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

// closed handles the end of a connection or of an attempt to open one. It
// returns false if the end was not caused by the kill.
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

// back handles the 101 of a member. It reports whether the member had lost its
// connection and has now come back.
func (s *restart) back(r *run, m int32, at int64) bool {
	if _, away := s.lost[m]; !away {
		return false
	}
	s.times[m] = at - s.killed
	r.ledger.Back(m)
	return true
}

// since returns the time at which a member lost its connection, and deletes the
// member's entry in lost.
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
