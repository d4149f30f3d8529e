package load

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"dotsconnect/bench/client"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// silent has the members that send no heartbeats, and judges how their
// connections end.
//
// A silent member sends nothing after the handshake, so its request is its last
// sign of life. The server must kick it max-age after it received the request.
// Only the server knows when it received the request: at some time between our
// write of the request and the arrival of the 101. So a kick counts as early
// only if it came less than max-age after the write. The lateness of a kick is
// counted from max-age after the 101, so the true lateness is larger by at most
// the duration of the handshake.
//
// The server must not kick a member with heartbeats. The kick is excused if
// this generator was late: our stamps show that max-age passed between two
// heartbeats, or between the last heartbeat and the kick.
type silent struct {
	share    spread
	maxAge   time.Duration
	lives    []life // by member; nil if the scenario has no silent members
	lateness *hdrhistogram.Histogram
	kicks    result.Kicks
	seen     int // members of this generator whose connections were opened
	excuse   int // members with heartbeats whose kick is excused, because this generator was late
}

// life has our stamps of the signs of life that one member sent.
type life struct {
	late      int64 // stamp of a sign of life that we wrote max-age or more after the previous sign of life; 0: none
	ended     bool
	requested int64 // time right before we wrote the request
	opened    int64 // time at which the 101 arrived: the server had received the request before
	last      int64 // time right before we wrote the last sign of life
}

func newSilent(s *scenario.Scenario) silent {
	k := silent{share: newSpread(0, s.Silent, s.Conns), maxAge: s.MaxAge}
	if s.Silent > 0 {
		k.lives = make([]life, s.Conns)
		k.kicks.Codes, k.lateness = map[string]int{}, result.NewHistogram()
	}
	return k
}

// is reports whether a member is silent. Silent members are spread evenly.
func (k *silent) is(m int32) bool { return k.share.has(m) }

// spread chooses a share of n members so that they are spread evenly over all
// members and all rooms. It walks through the members in steps of n times the
// golden ratio: regular steps would always hit the same rooms, because member m
// is in room m modulo the number of rooms.
type spread struct{ step, from, to, n int64 }

// newSpread makes a spread for a share of n members. taken is the share of
// another spread, whose members the new spread leaves out.
func newSpread(taken, share float64, n int) spread {
	s := spread{step: max(1, int64(0.6180339887*float64(n))), n: int64(n)}
	s.from = int64(taken*float64(n) + 0.5)
	s.to = s.from + int64(share*float64(n)+0.5)
	for gcd(s.step, s.n) != 1 {
		s.step++
	}
	return s
}

func (s spread) has(m int32) bool {
	at := int64(m) * s.step % s.n
	return at >= s.from && at < s.to
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func (k *silent) opened(m int32, o client.Open) {
	if k.lives == nil {
		return
	}
	k.seen++
	k.lives[m] = life{requested: o.Requested, opened: o.Stamp, last: o.Requested}
	if k.is(m) {
		k.kicks.Silent++
	}
}

// beat records a heartbeat that the kernel accepted between the two stamps. In
// favour of the server, beat assumes the longest possible time since the last
// sign of life of the member.
func (k *silent) beat(m int32, before, after int64) {
	if k.lives == nil {
		return
	}
	l := &k.lives[m]
	if after-l.last >= int64(k.maxAge) {
		l.late = after
	}
	l.last = before
}

// closed judges the end of a connection. It returns false if the scenario has
// no silent members; then the caller must judge the end.
func (k *silent) closed(r *run, m int32, c client.Close) bool {
	if len(k.lives) == 0 || k.lives[m].opened == 0 {
		return false
	}
	l := &k.lives[m]
	l.ended = true
	since := func(stamp int64) time.Duration { return time.Duration(c.Stamp - stamp).Round(10 * time.Microsecond) }
	switch {
	case !k.is(m) && (l.late > 0 && c.Stamp-l.late < int64(k.maxAge) || c.Stamp-l.last >= int64(k.maxAge)):
		k.excuse++
	case !k.is(m):
		k.kicks.Wrong++
		r.promise("room %d: member %d %s, %v after its last heartbeat", r.roomOf[m], m, c, since(l.last))
	case c.Stamp-l.requested < int64(k.maxAge):
		k.kicks.Early++
		r.promise("room %d: member %d %s, %v after its request: early, max-age is %v", r.roomOf[m], m, c, since(l.requested), k.maxAge)
	default:
		k.kicks.Kicked++
		k.kicks.Codes[c.String()]++
		result.Record(k.lateness, max(0, c.Stamp-l.opened-int64(k.maxAge)))
	}
	return true
}

// closeSilent counts the silent members that the server should have kicked but
// did not kick.
func (r *run) closeSilent() {
	k := &r.silent
	now := r.e.Now()
	for m := range k.lives {
		l := &k.lives[m]
		if !k.is(int32(m)) || l.opened == 0 || l.ended || now-l.opened < int64(k.maxAge+time.Second) {
			continue
		}
		k.kicks.Missing++
		r.promise("room %d: member %d is still open, silent for %v", r.roomOf[m], m, time.Duration(now-l.requested).Round(time.Millisecond))
	}
}

// result puts the findings into the result of the run.
func (k *silent) result(o *result.Result) {
	if k.lives == nil {
		return
	}
	o.Kicks = &k.kicks
	o.Histograms.Kick = k.lateness
	if beating := k.seen - k.kicks.Silent; k.excuse*10 > beating {
		o.NotMeasured = append(o.NotMeasured, fmt.Sprintf(
			"this generator sent heartbeats too late on %d of the %d connections that send them", k.excuse, beating))
	}
}
