package loop

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var farSeeds = flag.Int("far.seeds", 100, "how many seeds TestWatchersOfSeveralNodesKnowTheSame runs")

// relay is a bus between several nodes with one lane. It brings a publication to each node in the same order.
type relay struct {
	nodes []*farRig
	seq   uint64
	away  []farPub
	down  bool // publications are refused
}

type farPub struct {
	from *farRig
	pub  *Publication
}

// farRig is a node of a relay.
type farRig struct {
	*rig
	relay *relay
	name  uint64
	dead  bool // nothing comes to it, or from it
}

func newRelay(t testing.TB, nodes int) *relay {
	b := &relay{}
	for range nodes {
		b.add(t)
	}
	return b
}

func (b *relay) add(t testing.TB) *farRig {
	r := &farRig{rig: watchRig(t, func(c *Config) { c.Lanes, c.LaneOf = 1, func(string) int { return 0 } }), relay: b, name: uint64(100 + len(b.nodes))}
	r.node.Use(r)
	r.node.PresenceAs(r.name)
	b.nodes = append(b.nodes, r)
	return r
}

func (r *farRig) Publish(p *Publication) {
	r.node.dir.Reserve(p)
	if r.relay.down {
		r.node.Refuse(p)
		return
	}
	r.relay.away = append(r.relay.away, farPub{r, p})
}

func (r *farRig) Join(room string, l *Loop) { r.node.dir.Join(room, l) }

func (r *farRig) Leave(e *Entry, l *Loop) { r.node.dir.Leave(e, l) }

// carry brings what is away to all nodes, except to the node that misses it; that one gets a gap.
func (b *relay) carry(misses *farRig) {
	away := b.away
	b.away = nil
	for _, m := range away {
		b.seq++
		for _, r := range b.nodes {
			p := m.pub
			switch {
			case r.dead && r == m.from:
				r.node.Lose(p)
				continue
			case r.dead || m.from.dead && r != m.from:
				continue
			case r == misses:
				if r == m.from {
					r.node.Lose(p)
				}
				r.node.Gap(0, nil)
				continue
			case r != m.from:
				p = &Publication{Room: p.Room, Kind: p.Kind, Value: slices.Clone(p.Value)}
			}
			p.ID = ID{Seq: b.seq, Tag: 9}
			r.node.dir.Deliver(0, []*Publication{p})
		}
	}
}

// pass lets time pass on all nodes.
func (b *relay) pass(ticks int, rng *rand.Rand) {
	for range ticks {
		for _, r := range b.nodes {
			r.step(Tick)
		}
		if rng == nil || rng.IntN(3) == 0 {
			b.carry(nil)
		}
	}
}

// wake ends the death of a node, which has missed what came meanwhile.
func (b *relay) wake(r *farRig) {
	r.dead = false
	r.node.Gap(0, nil)
	for _, other := range b.nodes {
		if other != r {
			other.node.dir.Presences().PresenceBack()
		}
	}
}

// counted gives the nodes the numbers of members of the others.
func (b *relay) counted() {
	for _, r := range b.nodes {
		counts := map[uint64]int{}
		for _, other := range b.nodes {
			if e := other.node.dir.Lookup("room"); e != nil && other != r && !other.dead {
				counts[other.name] = e.Members()
			}
		}
		r.node.dir.Presences().PresenceElsewhere("room", counts)
	}
}

func (b *relay) members() (n int) {
	for _, r := range b.nodes {
		if e := r.node.dir.Lookup("room"); e != nil && !r.dead {
			n += e.Members()
		}
	}
	return n
}

func TestANodeThatBeginsToWatchLearnsWhoIsThere(t *testing.T) {
	b := newRelay(t, 3)
	b.nodes[2].open(0, "room", 0) // no watcher
	b.counted()
	ann := b.nodes[0].watch(0, "room", Identity{User: "ann", Info: []byte("i")}, true)
	b.counted()
	b.pass(30, nil)
	ann.knows(2, map[string]int{"ann": 1})
	bob := b.nodes[1].watch(0, "room", Identity{User: "bob"}, true)
	b.nodes[1].watch(0, "room", Identity{User: "ann"}, true)
	b.counted()
	b.pass(30, nil)
	bob.knows(4, map[string]int{"ann": 2, "bob": 1})
	ann.knows(4, map[string]int{"ann": 2, "bob": 1})
	if p := b.nodes[2].node.presences.rooms.Load(); p != 0 {
		t.Errorf("a node without watchers has the presence of %d rooms", p)
	}
	b.nodes[1].leave(bob.fake)
	b.pass(30, nil)
	ann.knows(3, map[string]int{"ann": 2})
}

func TestTheUsersOfADeadNodeLeaveAndComeBackAsAList(t *testing.T) {
	b := newRelay(t, 2)
	ann := b.nodes[0].watch(0, "room", Identity{User: "ann"}, true)
	bob := b.nodes[1].watch(0, "room", Identity{User: "bob"}, true)
	b.pass(30, nil)
	ann.knows(2, map[string]int{"ann": 1, "bob": 1})
	b.nodes[1].dead = true
	b.pass(100, nil)
	ann.knows(2, map[string]int{"ann": 1, "bob": 1})
	b.nodes[0].node.dir.Presences().PresenceGone([]uint64{b.nodes[1].name})
	b.pass(20, nil)
	ann.knows(1, map[string]int{"ann": 1})
	b.wake(b.nodes[1])
	b.nodes[1].watch(0, "room", Identity{User: "cid"}, true)
	known := len(ann.frames(t))
	b.pass(40, nil)
	ann.knows(3, map[string]int{"ann": 1, "bob": 1, "cid": 1})
	bob.knows(3, map[string]int{"ann": 1, "bob": 1, "cid": 1})
	if after := ann.frames(t)[known:]; len(after) != 1 || after[0] != "event 0|3|ann:1,bob:1,cid:1|" {
		t.Errorf("got %q, want one list", after)
	}
}

func TestANodeWithTooManyUsersNamesNone(t *testing.T) {
	b := newRelay(t, 2)
	ann := b.nodes[0].watch(0, "room", Identity{User: "ann"}, true)
	long, many := strings.Repeat("x", 5000), []*watcher{}
	for i := range 30 {
		many = append(many, b.nodes[1].watch(0, "room", Identity{User: fmt.Sprint(long, i)}, true))
	}
	b.pass(30, nil)
	ann.look()
	if ann.names || ann.count != 31 {
		t.Errorf("names %v, %d members; want no names of 31", ann.names, ann.count)
	}
	for _, w := range many[1:] {
		b.nodes[1].leave(w.fake)
	}
	b.pass(30, nil)
	ann.knows(2, map[string]int{"ann": 1, long + "0": 1})
	many[0].knows(2, map[string]int{"ann": 1, long + "0": 1})
}

// Users come and go on several nodes; publications are slow, are refused, or are missed by a node, and nodes die and come back. In
// the end all watchers know the same.
func TestWatchersOfSeveralNodesKnowTheSame(t *testing.T) {
	for seed := range uint64(*farSeeds) {
		rng := rand.New(rand.NewPCG(seed, 2))
		b := newRelay(t, 2+rng.IntN(3))
		var here []*watcher
		of := map[*watcher]*farRig{}
		user := map[*watcher]string{}
		for range 150 {
			r := b.nodes[rng.IntN(len(b.nodes))]
			switch k := rng.IntN(20); {
			case k < 6:
				name := fmt.Sprint("u", rng.IntN(6))
				w := r.watch(0, "room", Identity{User: name, Grace: time.Duration(rng.IntN(2)) * time.Second}, rng.IntN(3) > 0)
				here, of[w] = append(here, w), r
				if w.rig = r.rig; w.Conn.member.room.watch.of[&w.Conn.member].Listed {
					user[w] = name
				}
			case k < 11 && len(here) > 0:
				i := rng.IntN(len(here))
				of[here[i]].leave(here[i].fake)
				here = slices.Delete(here, i, i+1)
			case k == 11:
				b.carry(r)
			case k == 12:
				b.down = rng.IntN(2) == 0
			case k == 13:
				if r.dead {
					b.wake(r)
					continue
				}
				r.dead = true
				for _, other := range b.nodes {
					if other != r {
						other.node.dir.Presences().PresenceGone([]uint64{r.name})
					}
				}
			case k == 14:
				b.counted()
			default:
				b.pass(rng.IntN(15), rng)
			}
		}
		b.down = false
		for _, r := range b.nodes {
			if r.dead {
				b.wake(r)
			}
		}
		b.pass(40, nil)
		b.counted()
		b.pass(150, nil) // 10 s without names if the list came late
		want := map[string]int{}
		for _, w := range here {
			if name := user[w]; name != "" {
				want[name]++
			}
		}
		for _, w := range here {
			w.knows(b.members(), want)
		}
		for _, w := range here {
			of[w].leave(w.fake)
		}
		b.pass(60, nil)
		for _, r := range b.nodes {
			if n := r.node.presences.rooms.Load(); n != 0 || len(r.node.dir.lanes[0].presence.marked) > 0 || r.node.Reserved() != 0 {
				t.Errorf("%d rooms have a presence without a watcher", n)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
