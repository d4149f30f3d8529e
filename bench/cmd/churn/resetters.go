package main

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/mark"
)

// point is where a resetter ends its connection.
type point int

const (
	afterConnect point = iota
	midRequest
	after101
	midFrame
	afterMessage
	points
)

var pointNames = [points]string{"after_connect", "mid_request", "after_101", "mid_frame", "after_message"}

// maxDwell is how long half of the resetters stay at their point; the others
// reset at once, often before the server has seen anything.
const maxDwell = 5 * time.Millisecond

// resetter is one connection that will be reset.
type resetter struct {
	conn    int32
	live    bool
	at      point
	number  int
	room    int   // the hot room it joins, or -1
	resetAt int64 // 0: has not reached its point
}

// resetters are the parallel places and their counts.
type resetters struct {
	t       *trial
	rng     *rand.Rand
	places  []resetter
	free    []int
	place   []int // by connection
	frame   []byte
	started int
	ended   int            // resets, and connections that ended otherwise
	done    [points]int    // resets
	planned int            // resetters that needed a 101
	opened  int            // those of them that got it
	others  map[string]int // ends by another hand
}

func newResetters(t *trial) resetters {
	r := resetters{t: t, rng: rand.New(rand.NewPCG(t.seed, 1)), others: map[string]int{},
		places: make([]resetter, t.parallel), place: make([]int, t.conns())}
	for i := range r.places {
		r.free = append(r.free, i)
	}
	return r
}

// startMore fills the free places.
func (r *resetters) startMore() error {
	for len(r.free) > 0 && r.started < r.t.resets {
		i := r.free[len(r.free)-1]
		p := resetter{live: true, at: point(r.rng.IntN(int(points))), number: r.started, room: -1}
		// Half join a hot room, as do all that write a message; the others
		// make and end a room of their own.
		path := r.t.target.Room("cold-" + string(rune('a'+r.rng.IntN(26))) + string(rune('a'+r.rng.IntN(26))))
		if p.at == afterMessage || r.rng.IntN(2) == 0 {
			p.room = r.rng.IntN(r.t.rooms)
			path = r.t.roomPath(p.room)
		}
		var err error
		switch p.at {
		case afterConnect:
			p.conn, err = r.t.e.DialCut(path, 0)
		case midRequest:
			p.conn, err = r.t.e.DialCut(path, 1+r.rng.IntN(r.t.e.RequestBytes(path)-1))
		default:
			p.conn, err = r.t.e.Dial(path)
		}
		if errors.Is(err, client.ErrNoSlot) {
			return nil // some wait for the server's FIN; their slots come back
		}
		if err != nil {
			return err
		}
		if p.at >= after101 {
			r.planned++
		}
		r.started++
		r.free = r.free[:len(r.free)-1]
		r.places[i], r.place[p.conn] = p, i
	}
	return nil
}

func (r *resetters) onCut(id int32) { r.reached(id) }

func (r *resetters) resetterOpen(id int32) {
	p := &r.places[r.place[id]]
	r.opened++
	switch p.at {
	case midFrame:
		r.frame = client.AppendFrame(r.frame[:0], client.OpText, mark.AppendMessage(nil, r.markOf(p)))
		// An error shows as the end of the connection.
		_, _ = r.t.e.SendRaw(id, r.frame[:1+r.rng.IntN(len(r.frame)-1)])
	case afterMessage:
		if _, err := r.t.e.Send(id, mark.AppendMessage(nil, r.markOf(p))); err == nil {
			r.t.ledger.resetRoom[p.number] = int16(p.room)
		}
	}
	r.reached(id)
}

func (r *resetters) markOf(p *resetter) mark.Mark {
	return mark.Mark{Run: r.t.ledger.run + 1, Sender: uint32(max(p.room, 0)), Seq: uint32(p.number)}
}

// reached: the connection is where it shall be reset, now or in a moment.
func (r *resetters) reached(id int32) {
	p := &r.places[r.place[id]]
	now := r.t.e.Now()
	if p.resetAt = now + r.rng.Int64N(int64(maxDwell)); r.rng.IntN(2) == 0 {
		p.resetAt = now
		r.reset(p)
	}
}

// resetDue resets what has dwelt long enough and returns the next stamp.
func (r *resetters) resetDue(now int64) int64 {
	next := int64(math.MaxInt64)
	for i := range r.places {
		p := &r.places[i]
		if !p.live || p.resetAt == 0 {
			continue
		}
		if p.resetAt <= now {
			r.reset(p)
			next = now // a place is free
			continue
		}
		next = min(next, p.resetAt)
	}
	return next
}

func (r *resetters) reset(p *resetter) {
	r.t.e.Reset(p.conn)
	r.done[p.at]++
	r.leave(p)
}

func (r *resetters) leave(p *resetter) {
	p.live = false
	r.ended++
	r.free = append(r.free, r.place[p.conn])
}

// resetAll ends those that are left when the time is over.
func (r *resetters) resetAll() {
	for i := range r.places {
		if p := &r.places[i]; p.live {
			r.reset(p)
		}
	}
}

// resetterMessage: what a resetter gets must be its room's, too.
func (r *resetters) resetterMessage(id int32, payload []byte) {
	p := &r.places[r.place[id]]
	if p.room >= 0 {
		r.t.ledger.belongs(p.room, -1, payload)
		return
	}
	r.t.ledger.violate(foreign, "a resetter in a room where nobody writes got %.80q", payload)
}

func (r *resetters) resetterClosed(id int32, c client.Close) {
	what := c.String()
	if c.How == client.ByReset || c.How == client.ByEOF {
		what += " at " + pointNames[r.places[r.place[id]].at]
	}
	r.others[what]++
	r.leave(&r.places[r.place[id]])
}
