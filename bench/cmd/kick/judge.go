package main

import (
	"fmt"
	"strings"
	"time"

	"dotsconnect/bench/client"
)

// The close that a silent connection must get.
const (
	kickCode   = 4100
	kickReason = "heartbeat_missed"
)

// verdict is what the end of a connection means, or that there was none.
type verdict int

const (
	fine      verdict = iota
	kicked            // silent, closed as it must be
	early             // silent, closed within max-age of its request: violation
	otherEnd          // silent, ended in another way than by the kick: violation
	notClosed         // silent, still there after max-age and slack: violation
	wrong             // beating in time, and ended: violation
	excused           // beating, but this program was late
	verdicts
)

var verdictNames = [verdicts]string{"fine", "kicked", "early", "other ends", "not closed", "wrongly closed", "excused"}

func (v verdict) String() string  { return verdictNames[v] }
func (v verdict) violation() bool { return v >= early && v <= wrong }

// life is what is known of one connection, all by the client's own stamps.
type life struct {
	beats     bool
	late      bool // two signs of life were written max-age or more apart
	ended     bool
	requested int64 // before the write of the request: the earliest sign of life
	opened    int64 // the 101 arrived: the latest moment of that sign
	last      int64 // before the write of the last sign of life
}

// beat takes a heartbeat that the kernel took between the two stamps. The gap
// to the one before is taken at its longest, in favour of the server.
func (l *life) beat(before, after int64, maxAge time.Duration) {
	if after-l.last >= int64(maxAge) {
		l.late = true
	}
	l.last = before
}

func isKick(c client.Close) bool {
	name, _, _ := strings.Cut(c.Reason, ":")
	return c.How == client.ByFrame && c.Code == kickCode && name == kickReason
}

// judge says what an end means, and how late it was if it is a kick.
func (l *life) judge(c client.Close, maxAge time.Duration) (verdict, time.Duration) {
	switch {
	case l.beats && isKick(c) && (l.late || c.Stamp-l.last >= int64(maxAge)):
		return excused, 0
	case l.beats:
		return wrong, 0
	case c.Stamp-l.requested < int64(maxAge):
		return early, 0
	case !isKick(c):
		return otherEnd, 0
	}
	return kicked, time.Duration(c.Stamp-l.opened) - maxAge
}

// describe is a line about a violation.
func (l *life) describe(id int32, v verdict, c client.Close, maxAge time.Duration) string {
	since := func(stamp int64) time.Duration { return time.Duration(c.Stamp - stamp).Round(10 * time.Microsecond) }
	switch v {
	case early:
		return fmt.Sprintf("early: connection %d %s, %v after its request, %v before max-age",
			id, c, since(l.requested), (maxAge - time.Duration(c.Stamp-l.requested)).Round(10*time.Microsecond))
	case wrong:
		return fmt.Sprintf("wrongly closed: connection %d %s, %v after its last heartbeat", id, c, since(l.last))
	case notClosed:
		return fmt.Sprintf("not closed: connection %d, silent for %v", id, since(l.requested))
	}
	return fmt.Sprintf("%s: connection %d %s, %v after its request", v, id, c, since(l.requested))
}
