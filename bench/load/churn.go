package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"dotsconnect/bench/client"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// point is the stage of a guest's connection at which the guest resets it.
type point int

const (
	afterConnect point = iota
	midRequest
	after101
	midFrame
	afterMessage
	points
)

// maxDwell limits how long a guest waits at its point before it resets. Half of
// the guests do not wait, so the server often does not notice their
// connections.
const maxDwell = 5 * time.Millisecond

// churn opens connections called guests while the members run. It ends each
// guest with an RST at a random point. About half of the guests join rooms of
// members. A message that a guest writes to a room of members must reach all
// members of the room or none.
type churn struct {
	rate    float64
	rng     *rand.Rand
	places  []guest
	free    []int
	start   int64
	started int64
	on      bool
	joins   int64 // guests whose point comes after the 101
	got101  int64
	out     result.Churn
}

// guest is the state of a connection that churn has opened.
type guest struct {
	conn    int32
	live    bool
	at      point
	number  uint32
	room    int32 // number of the room; -1: a room without members
	resetAt int64 // time at which the guest must reset; 0: the guest has not reached its point yet
}

func newChurn(s *scenario.Scenario, parts int) churn {
	c := churn{rate: s.Churn.PerSecond / float64(parts), rng: rand.New(rand.NewPCG(s.Seed, 1))}
	if c.rate > 0 {
		c.places = make([]guest, max(64, min(4096, int(c.rate/20))))
	}
	for i := range c.places {
		c.free = append(c.free, i)
	}
	return c
}

func (c *churn) slots() int { return len(c.places) }

// sources is the number of source addresses that a run with guests needs.
// Guests use up more ports than one address has.
func (c *churn) sources() int {
	if c.rate > 0 {
		return 64
	}
	return 0
}

// begin returns the action that starts the churn.
func (c *churn) begin(r *run) func(int64) int64 {
	return func(now int64) int64 {
		c.start, c.on = now, true
		r.agenda.add(now, func(now int64) int64 { return c.turn(r, now) })
		return never
	}
}

// turn resets the guests whose time at their point is over, and opens the
// guests that are due. It returns the time of the next turn.
func (c *churn) turn(r *run, now int64) int64 {
	if !c.on {
		return never
	}
	next := now + int64(time.Millisecond)
	for i := range c.places {
		if g := &c.places[i]; g.live && g.resetAt != 0 && g.resetAt <= now {
			c.reset(r, i)
		}
	}
	// If no place is free, guests come later than planned. The result has the
	// rate that was really reached.
	for due := c.start + int64(float64(c.started)*1e9/c.rate); due <= now && len(c.free) > 0; {
		if err := c.come(r); err != nil {
			if !errors.Is(err, client.ErrNoSlot) { // closing connections still use slots; try again in the next turn
				r.agenda.failed(err)
			}
			break
		}
		due = c.start + int64(float64(c.started)*1e9/c.rate)
	}
	return next
}

func (c *churn) come(r *run) error {
	i := c.free[len(c.free)-1]
	g := guest{live: true, at: point(c.rng.IntN(int(points))), number: uint32(c.started)*uint32(r.parts) + uint32(r.own), room: -1}
	name := fmt.Sprintf("db-guest-%d", c.rng.IntN(1000))
	if g.at == afterMessage || c.rng.IntN(2) == 0 {
		// Choose a room of this generator, because other generators do not know
		// this guest's message.
		g.room = int32(r.own + r.parts*c.rng.IntN((r.s.Rooms-r.own+r.parts-1)/r.parts))
		name = r.roomName(g.room)
	}
	path := r.targets[0].Room(name)
	var err error
	switch g.at {
	case afterConnect:
		g.conn, err = r.e.DialCut(path, 0)
	case midRequest:
		g.conn, err = r.e.DialCut(path, 1+c.rng.IntN(r.e.RequestBytes(path)-1))
	default:
		g.conn, err = r.e.Dial(path)
	}
	if err != nil {
		return err
	}
	if g.at >= after101 {
		c.joins++
	}
	c.started++
	c.free = c.free[:len(c.free)-1]
	c.places[i] = g
	r.memberOf[g.conn] = int32(-1 - i)
	return nil
}

func (c *churn) place(r *run, id int32) int { return int(-1 - r.memberOf[id]) }

// cut returns the OnCut handler: the guest has written its part of the request.
func (c *churn) cut(r *run) func(id int32) {
	return func(id int32) { c.reached(r, c.place(r, id)) }
}

func (c *churn) opened(r *run, id int32) {
	i := c.place(r, id)
	g := &c.places[i]
	c.got101++
	if g.at == midFrame || g.at == afterMessage {
		s := stamp{run: r.id, sender: proof.Guest, seq: g.number, intended: r.e.Now()}
		b := r.frames.frame(max(g.room, 0), s)
		if g.at == midFrame {
			b = b[:1+c.rng.IntN(len(b)-1)]
		}
		// After an error the connection ends, and closed handles that.
		if _, err := r.e.SendRaw(id, b); err == nil && g.at == afterMessage {
			r.ledger.GuestSent(g.number, g.room)
			r.guestSends.add(s, 0)
			c.out.Sent++
		}
	}
	c.reached(r, i)
}

// reached is called when the guest in place i has come to its point. It resets
// half of the guests now and the other half within maxDwell.
func (c *churn) reached(r *run, i int) {
	now := r.e.Now()
	if c.places[i].resetAt = now + c.rng.Int64N(int64(maxDwell)); c.rng.IntN(2) == 0 {
		c.places[i].resetAt = now
		c.reset(r, i)
	}
}

func (c *churn) reset(r *run, i int) {
	g := &c.places[i]
	r.e.Reset(g.conn)
	if g.at < after101 {
		c.out.Cut++
	} else {
		c.out.Opened++
	}
	g.live = false
	c.free = append(c.free, i)
}

// message checks that a message which a guest got belongs to the guest's room.
func (c *churn) message(r *run, id int32, op byte, text []byte, at int64) {
	s, found, damage := r.frames.find(op, text, at)
	g := c.places[c.place(r, id)]
	switch {
	case found == unstamped:
		r.others[otherText]++
	case found == damaged || found == unreadable:
		r.promise("a guest in room %d got a damaged message: %s", g.room, damage)
	case s.run == r.id && s.sender == proof.Guest && !r.ledger.GuestIn(s.seq, g.room):
		r.promise("a guest in room %d got the message of guest %d, which belongs to another room", g.room, s.seq)
	case s.run != r.id || g.room < 0,
		s.sender != proof.Guest && (int(s.sender) >= len(r.roomOf) || r.roomOf[s.sender] != g.room):
		r.promise("a guest in room %d got number %d of sender %d, which belongs to another room", g.room, s.seq, s.sender)
	}
}

// closed is called when the connection of a guest ended before the guest reset
// it.
func (c *churn) closed(r *run, id int32, _ client.Close) {
	i := c.place(r, id)
	if !c.places[i].live {
		return
	}
	c.out.Failed++
	c.places[i].live = false
	c.free = append(c.free, i)
}

// end resets the remaining guests after the end of the schedule.
func (c *churn) end(r *run) {
	if !c.on {
		return
	}
	c.on = false
	for i := range c.places {
		if c.places[i].live {
			c.reset(r, i)
		}
	}
	c.out.Rate = float64(c.out.Cut+c.out.Opened) / (float64(r.e.Now()-c.start) / 1e9)
}

func (c *churn) result(r *run, o *result.Result) {
	if c.rate == 0 {
		return
	}
	c.out.Seen = r.ledger.GuestsSeen()
	o.Churn = &c.out
	if c.got101*10 < c.joins*9 {
		o.NotMeasured = append(o.NotMeasured, fmt.Sprintf("only %d of %d handshakes of the guests were answered", c.got101, c.joins))
	}
}
