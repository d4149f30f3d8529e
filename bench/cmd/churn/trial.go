package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"syscall"
	"time"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/mark"
)

const (
	openLimit     = 30 * time.Second
	sendsPerTurn  = 256
	quietAtTheEnd = 300 * time.Millisecond // what comes twice comes late
	minSources    = 64                     // resets spread over many addresses
	keepLateness  = 1 << 20
)

// trial is one run: the honest members, the resetters and the ledger.
type trial struct {
	options
	e      *client.Engine
	ledger *ledger
	resetters

	member   []int // by connection: the honest member it is, or -1
	greeted  []bool
	strange  int // members that have not seen their own greeting
	conn     []int32
	opening  string // why a member could not be opened
	refused  bool
	finished bool
	message  []byte
	last     int64 // stamp of the last message that an honest member got

	gap      float64 // nanoseconds between sends
	start    int64
	end      int64 // resets done
	sends    int
	skipped  int // sends of members that were dropped
	lateness []int64
}

func newTrial(o options) *trial {
	t := &trial{options: o, gap: 1e9 / float64(o.rate), conn: make([]int32, o.rooms*o.members), member: make([]int, o.conns())}
	for i := range t.member {
		t.member[i] = -1
	}
	t.greeted, t.strange = make([]bool, len(t.conn)), len(t.conn)
	t.ledger = newLedger(uint32(o.seed)&^3, o.rooms, o.members, o.resets)
	return t
}

func (t *trial) roomPath(room int) string {
	return t.target.Room(fmt.Sprintf("hot-%08x-%d", t.ledger.run, room))
}

func (t *trial) run(p *cli.Progress) error {
	var err error
	t.e, err = client.New(client.Config{Target: t.target, MaxConns: t.conns(), Sources: minSources, BeatEvery: t.beat}, client.Handlers{
		OnOpen: t.onOpen, OnCut: t.onCut, OnMessage: t.onMessage, OnClose: t.onClose,
	})
	if err != nil {
		return err
	}
	defer func() { _ = t.e.Close() }()
	t.resetters = newResetters(t)
	if err := t.openMembers(); err != nil {
		return err
	}
	t.start = t.e.Now()
	until := t.start + int64(t.limit)
	for !t.over() {
		now := t.e.Now()
		if now >= until {
			break
		}
		p.Show("%s of %s resets, %s deliveries checked, %d violations", cli.Count(t.ended), cli.Count(t.resets),
			cli.Count(t.ledger.deliveries), t.ledger.violations())
		if err := t.turn(now, until); err != nil {
			return err
		}
	}
	t.finished = t.ended >= t.resets
	t.end = t.e.Now()
	if err := t.settleDown(until); err != nil {
		return err
	}
	if t.serverDied() {
		return cli.Failf(cli.ServerDied, "nobody listens at %s any more, after %s of %s resets",
			t.target.Host, cli.Count(t.ended), cli.Count(t.resets))
	}
	t.ledger.finish(t.roomOrder)
	return nil
}

// over: all resets are done, or there is nothing left to hold them against.
func (t *trial) over() bool {
	return t.ended >= t.resets || t.refused || t.ledger.counts[dropped] == len(t.conn)
}

// turn does what is due and polls until the next is.
func (t *trial) turn(now, until int64) error {
	t.sendDue(now)
	if err := t.startMore(); err != nil {
		return err
	}
	return t.e.Poll(min(until, t.due(t.sends), t.resetDue(now)))
}

// openMembers opens the honest members before anything else, so that each has
// to get every message.
func (t *trial) openMembers() error {
	for i := range t.conn {
		id, err := t.e.Dial(t.roomPath(t.ledger.room(i)))
		if err != nil {
			return err
		}
		t.conn[i], t.member[id] = id, i
		t.e.Beat(id, true)
		if _, err := t.e.Run(t.e.Now()+int64(openLimit), func() bool { return t.e.Opening() < 64 }); err != nil {
			return err
		}
	}
	all := func() bool { return t.e.Opened() == len(t.conn) || t.opening != "" }
	ok, err := t.e.Run(t.e.Now()+int64(openLimit), all)
	switch {
	case err != nil:
		return err
	case t.refused:
		return cli.Failf(cli.Usage, "nobody listens at %s", t.target.Host)
	case t.opening != "":
		return cli.Failf(cli.Invalid, "an honest member could not be opened: %s", t.opening)
	case !ok:
		return cli.Failf(cli.Invalid, "only %d of %d honest members were open after %v", t.e.Opened(), len(t.conn), openLimit)
	}
	return t.greet()
}

// greet lets every member write until it reads itself. A 101 does not say
// that the member has joined, only an echo does.
func (t *trial) greet() error {
	for until := t.e.Now() + int64(openLimit); t.strange > 0; {
		for i, id := range t.conn {
			if t.greeted[i] {
				continue
			}
			t.message = mark.AppendMessage(t.message[:0], mark.Mark{Run: t.ledger.run + 2, Sender: uint32(i)})
			if _, err := t.e.Send(id, t.message); err != nil {
				return cli.Failf(cli.Invalid, "%s ended before the run", t.ledger.name(i))
			}
		}
		if t.e.Now() >= until {
			return cli.Failf(cli.Invalid, "%d honest members did not get their own messages within %v", t.strange, openLimit)
		}
		if _, err := t.e.Run(t.e.Now()+int64(100*time.Millisecond), func() bool { return t.strange == 0 }); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) due(k int) int64 { return t.start + int64(float64(k)*t.gap) }

// sendDue sends what the schedule start + k·gap demands: the members in turn.
func (t *trial) sendDue(now int64) {
	for n := 0; n < sendsPerTurn && t.due(t.sends) <= now; n++ {
		due := t.due(t.sends)
		// Neighbours in time are in different rooms.
		k := t.sends % len(t.conn)
		i := k%t.rooms*t.members + k/t.rooms
		t.sends++
		if t.ledger.got[i].gone {
			t.skipped++
			continue
		}
		t.message = mark.AppendMessage(t.message[:0], mark.Mark{Run: t.ledger.run, Sender: uint32(i), Seq: t.ledger.sent[i]})
		stamp, err := t.e.Send(t.conn[i], t.message)
		if err != nil {
			t.skipped++ // its end will be told in a moment
			continue
		}
		t.ledger.sent[i]++
		if len(t.lateness) < keepLateness {
			t.lateness = append(t.lateness, stamp-due)
		}
	}
}

// settleDown waits until everything sent has arrived and nothing comes any
// more, or until nothing came for the time given.
func (t *trial) settleDown(until int64) error {
	t.resetAll()
	t.last = t.e.Now()
	for {
		now := t.e.Now()
		quiet := now - t.last
		if quiet >= int64(t.settle) || (quiet >= int64(quietAtTheEnd) && t.ledger.complete()) ||
			now >= until+int64(2*t.settle) || t.ledger.counts[dropped] == len(t.conn) {
			return nil
		}
		if err := t.e.Poll(now + int64(20*time.Millisecond)); err != nil {
			return err
		}
	}
}

func (t *trial) greetedBy(i int, payload []byte) {
	m, err := mark.Parse(payload)
	if err == nil && m.Run == t.ledger.run+2 && int(m.Sender) == i && !t.greeted[i] {
		t.greeted[i] = true
		t.strange--
	}
}

func (t *trial) onOpen(id int32, _ client.Open) {
	if t.member[id] < 0 {
		t.resetterOpen(id)
	}
}

func (t *trial) onMessage(id int32, payload []byte, stamp int64) {
	if i := t.member[id]; i >= 0 {
		t.last = stamp
		if t.strange > 0 {
			t.greetedBy(i, payload)
		}
		t.ledger.take(i, payload)
		return
	}
	t.resetterMessage(id, payload)
}

func (t *trial) onClose(id int32, c client.Close) {
	t.refused = t.refused || c.How == client.Refused
	i := t.member[id]
	switch {
	case i < 0:
		t.resetterClosed(id, c)
	case !c.Opened:
		t.opening = c.String()
	default:
		t.member[id] = -1 // the id will be a resetter's
		t.ledger.drop(i, c.String())
	}
}

// serverDied tells a dead server from one that breaks its promises.
func (t *trial) serverDied() bool {
	if !t.refused && t.ledger.counts[dropped] == 0 {
		return false
	}
	c, err := net.DialTimeout("tcp", t.target.Host, 5*time.Second)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// latePercentile is how late messages were sent, in milliseconds.
func (t *trial) latePercentile(p float64) float64 {
	if len(t.lateness) == 0 {
		return 0
	}
	slices.Sort(t.lateness)
	i := int(math.Ceil(p/100*float64(len(t.lateness)))) - 1
	return float64(t.lateness[max(i, 0)]) / 1e6
}
