package load

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"dotsconnect/bench/client"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// silent has the members that send no heartbeat, and their outcome.
//
// A silent connection sends nothing after the handshake. The server received
// its last sign of life between our write of the request and the arrival of
// the 101, at a time that only the server knows. So an end counts as early
// only if it came within max-age of the write of the request. Lateness counts
// from the arrival of the 101; the true lateness is larger by at most the
// duration of the handshake.
//
// A connection with heartbeats must not end, unless our own stamps show that
// we wrote two heartbeats, or the last one and the end, more than max-age
// apart.
type silent struct {
	share    spread
	maxAge   time.Duration
	lives    []life // by member; nil: the scenario has no silent members
	lateness *hdrhistogram.Histogram
	kicks    result.Kicks
	seen     int // members that were opened here
	excuse   int // connections with heartbeats that ended because we were late
}

// life is what we know of one connection from our own stamps.
type life struct {
	late      int64 // when a sign of life was written max-age or more after the one before
	ended     bool
	requested int64 // before the write of the request: the earliest sign of life
	opened    int64 // the 101 arrived: the latest moment of that sign
	last      int64 // before the write of the last sign of life
}

func newSilent(s *scenario.Scenario) silent {
	k := silent{share: newSpread(0, s.Silent, s.Conns), maxAge: s.MaxAge}
	if s.Silent > 0 {
		k.lives = make([]life, s.Conns)
		k.kicks.Codes, k.lateness = map[string]int{}, result.NewHistogram()
	}
	return k
}

// is reports whether a member is silent; silent members are evenly spread.
func (k *silent) is(m int32) bool { return k.share.has(m) }

// spread chooses a share of n members, evenly over all members and over the
// rooms. Rooms are dealt by number, and steps of the golden ratio never align
// with them.
type spread struct{ step, from, to, n int64 }

// newSpread leaves out the share that another spread took.
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

// beat records a heartbeat that the kernel took between the two stamps. It
// takes the longest possible gap to the one before, in favour of the server.
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

// closed judges the end of a connection; true: nothing more to check.
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

// closeSilent counts the members that should have been closed and were not.
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

// result writes the findings.
func (k *silent) result(o *result.Result) {
	if k.lives == nil {
		return
	}
	o.Kicks = &k.kicks
	o.Histograms.Kick = k.lateness
	if beating := k.seen - k.kicks.Silent; k.excuse*10 > beating {
		o.NotMeasured = append(o.NotMeasured, fmt.Sprintf(
			"this generator was too late with the heartbeats of %d of %d beating connections", k.excuse, beating))
	}
}
