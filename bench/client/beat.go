package client

import (
	"cmp"
	"math"
	"time"
)

// Heartbeats need neither a timer nor a due time per connection. A cursor
// visits all slots once per period. In round r the heartbeat of slot i is due
// at
//
//	start + r·period + i·period/slots
//
// so heartbeats are spread evenly over the period. If the cursor is more than a
// period late, it skips heartbeats, so that no connection sends several in a
// row.

type beats struct {
	period int64
	slots  int64
	start  int64
	k      int64 // position of the cursor: round·slots + slot
	on     int   // number of connections with heartbeats
	frame  []byte
}

func (b *beats) init(period time.Duration, text string, slots int, now int64) {
	text = cmp.Or(text, DefaultBeat)
	b.period, b.slots, b.start = int64(period), int64(slots), now
	b.frame = AppendFrame(nil, OpText, []byte(text))
}

func (b *beats) due(k int64) int64 {
	return b.start + k/b.slots*b.period + k%b.slots*b.period/b.slots
}

// next returns the time when the next heartbeat is due.
func (b *beats) next() int64 {
	if b.on == 0 {
		return math.MaxInt64
	}
	return b.due(b.k)
}

// skip moves the cursor past the heartbeats that were due more than a period
// ago.
func (b *beats) skip(now int64) {
	if now-b.due(b.k) <= b.period {
		return
	}
	since := now - b.period - b.start
	b.k = since/b.period*b.slots + since%b.period*b.slots/b.period + 1
}

// Beat turns the heartbeats of a connection on or off. The first heartbeat
// follows within a period. If Config.BeatEvery is 0, Beat does nothing.
func (e *Engine) Beat(id int32, on bool) {
	c := &e.conns[id]
	if c.beats == on || e.beat.period <= 0 {
		return
	}
	c.beats = on
	if on {
		e.beat.on++
	} else {
		e.beat.on--
	}
}

func (e *Engine) sendBeats() {
	now := e.Now()
	if e.beat.next() > now {
		return
	}
	e.beat.skip(now)
	for n := 0; n < maxBeatsPerPoll && e.beat.due(e.beat.k) <= now; e.beat.k++ {
		id := int32(e.beat.k % e.beat.slots)
		c := &e.conns[id]
		if !c.beats || c.state != open {
			continue
		}
		n++
		// Bytes of this connection are still unsent, so we cannot know when a
		// heartbeat after them would be sent. Skip this heartbeat.
		if c.x != nil && len(c.x.out) > 0 {
			continue
		}
		before := e.Now()
		err := e.write(c, id, e.beat.frame)
		if err == nil && e.Unsent(id) == 0 && e.h.OnBeat != nil {
			e.h.OnBeat(id, before, e.Now())
		}
	}
}
