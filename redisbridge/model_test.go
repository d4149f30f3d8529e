package redisbridge

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"dotsconnect/loop"
)

// The model runs publish.lua and a node's side of it one step at a time, in an order that only the seed decides. There are two
// publishers and a subscriber that comes and goes, on one lane. Making a call, executing it and answering it are separate
// steps. Answers get lost. Calls are repeated, even long after the node gave them up. Messages to a node wait in its
// connection, and a broken connection loses them. Redis may lose its counter, its log, or everything, and may be restored from
// an older copy.
//
// The model runs against a simulated Redis, which does what publish.lua and read.lua do, and (with fewer seeds) against the
// scripts themselves in a real redis-server.
//
// One deviation is allowed. Redis may apply a batch, then forget it together with the counter, and then apply it again because of
// a retry. Such a batch has two places in the order. Nodes that received it the first time have it at the first place. The other
// nodes have it at the second place, after an announced gap.
//
// These rules must always hold. No node delivers a batch twice. All nodes deliver in the order in which Redis applied the
// batches. Every skipped batch is announced. If Redis lost nothing, the gap is announced between the batch before it and the
// batch after it. If Redis lost data, the gap may also be announced later, when another node has told of the loss. Every
// publication ends in exactly one way at its publisher: delivered, rejected, delivered locally, or lost with a gap announced.
// When the faults are over, no batch may stay in flight, and no node may still have to read the log.

var (
	modelSeeds = flag.Int("model.seeds", 2000, "how many seeds TestModel runs")
	modelSeed  = flag.Uint64("model.seed", 0, "run only this seed, and print what happens")
)

func TestModel(t *testing.T) {
	if *modelSeed != 0 {
		if err := newModel(*modelSeed, newSimRedis(), t.Logf).run(); err != nil {
			t.Fatal(err)
		}
		return
	}
	var total modelTally
	for seed := uint64(1); seed <= uint64(*modelSeeds); seed++ {
		m := newModel(seed, newSimRedis(), nil)
		if err := m.run(); err != nil {
			t.Fatalf("seed %d: %v\nreplay: go test ./redisbridge -run 'TestModel$' -v -model.seed=%d", seed, err, seed)
		}
		total.add(m)
	}
	t.Logf("%d seeds: %+v", *modelSeeds, total)
	for name, n := range map[string]int{"retries": total.Retries, "late calls": total.Late, "faults": total.Faults, "refills": total.Refills,
		"gaps": total.Gaps, "rejected": total.Rejected, "local": total.Local, "lost": total.Lost, "epochs": total.Epochs} {
		if n == 0 {
			t.Errorf("no %s: the model does not reach them", name)
		}
	}
}

func TestModelAgainstTheRealScript(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	for seed := uint64(1); seed <= 40; seed++ {
		m := newModel(seed, newRealRedis(t, s), nil)
		if err := m.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

type modelTally struct {
	Published, Applied, Delivered, Retries, Late, Faults, Refills, Gaps, Rejected, Local, Lost, Epochs int
}

func (t *modelTally) add(m *model) {
	t.Published += m.values
	t.Applied += len(m.truth)
	t.Retries += m.retries
	t.Late += m.late
	t.Faults += m.faults
	t.Epochs += m.epochs
	for _, n := range m.nodes {
		t.Refills += int(n.lane.bridge.stats.refilled.Load())
		t.Gaps += int(n.lane.bridge.stats.gaps.Load())
		t.Rejected += n.rejected
		t.Local += n.local
		t.Lost += n.lost
		t.Delivered += len(n.stream)
	}
}

// modelRedis is one lane of a Redis.
type modelRedis interface {
	publish(c call) (answer, error)
	read(q question) (page, error)
	loseCounter()
	loseLog()
	loseAll()
	save()    // makes a copy
	restore() // restores the last copy
}

type model struct {
	rng    *rand.Rand
	logf   func(string, ...any)
	redis  modelRedis
	nodes  []*modelNode
	truth  []ident         // the batches in the order in which Redis applied them
	places map[ident][]int // by batch: its places in truth; several if Redis forgot it and a repeated call applied it again
	text   map[ident]string
	calls  []call // calls that their callers gave up and that may still be executed

	values, retries, late, faults, epochs int
}

func newModel(seed uint64, r modelRedis, logf func(string, ...any)) *model {
	m := &model{rng: rand.New(rand.NewPCG(seed, 2)), redis: r, logf: logf, places: map[ident][]int{}, text: map[ident]string{}}
	for i, name := range []string{"a", "b", "c"} {
		m.nodes = append(m.nodes, m.newNode(name, nodeID(i+1)))
	}
	return m
}

func (m *model) log(format string, args ...any) {
	if m.logf != nil {
		m.logf(format, args...)
	}
}

func (m *model) run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	for range 400 {
		m.step(m.nodes[m.rng.IntN(len(m.nodes))])
	}
	m.rest()
	for _, n := range m.nodes {
		if err := m.check(n); err != nil {
			m.log("truth %v\n%s: %q", m.truth, n.name, n.stream)
			return err
		}
	}
	return nil
}

func (m *model) step(n *modelNode) {
	switch k := m.rng.IntN(1000); {
	case k < 250:
		m.publish(n)
	case k < 500:
		m.send(n, false)
	case k < 850:
		m.receive(n)
	case k < 900: // a connection breaks and loses its messages
		n.conn, n.up = nil, false
		m.log("%s: connection lost", n.name)
	case k < 960:
		if !n.up {
			n.subscribe()
		}
	case k < 970: // Redis executes a call that was given up long ago
		if len(m.calls) > 0 {
			i := m.rng.IntN(len(m.calls))
			c := m.calls[i]
			m.calls = slices.Delete(m.calls, i, i+1)
			m.late++
			m.execute(c)
		}
	case k < 976:
		m.redis.save()
	default:
		m.fault()
	}
}

func (m *model) fault() {
	if m.rng.IntN(2) == 0 {
		return
	}
	m.faults++
	switch k := m.rng.IntN(8); {
	case k < 2:
		m.log("the counter is lost")
		m.redis.loseCounter()
	case k < 4:
		m.log("the log is lost")
		m.redis.loseLog()
	case k < 5:
		m.log("everything is lost")
		m.redis.loseAll()
	default:
		m.log("set back to the last copy")
		m.redis.restore()
		for _, n := range m.nodes { // Redis was restarted, or is another server: no connection survives that
			n.conn, n.up = nil, false
		}
	}
}

func (m *model) publish(n *modelNode) {
	if n.name == "c" {
		return // node c only listens
	}
	v := fmt.Sprintf("%s%d", n.name, m.values)
	m.values++
	n.fate[v] = "pending"
	n.lane.publish(&loop.Publication{Room: "r", Value: []byte(v), Origin: 1})
}

var errTest = errors.New("the answer is lost")

// execute makes Redis run a call, and puts the published message into the connections.
func (m *model) execute(c call) (answer, error) {
	a, err := m.redis.publish(c)
	m.log("call %v top %v: %+v %v", c.id, c.top, a, err)
	if err != nil || !a.fresh {
		return a, err
	}
	if a.minted != "" {
		m.epochs++
	}
	if _, twice := m.text[c.id]; !twice {
		all, _ := parseBatch(c.batch, anybody)
		for _, p := range all.pubs {
			m.text[c.id] += string(p.Value) + " "
		}
	}
	m.places[c.id] = append(m.places[c.id], len(m.truth))
	m.truth = append(m.truth, c.id)
	for _, n := range m.nodes {
		if n.up {
			n.conn = append(n.conn, fmt.Sprintf("%s %d %s", a.at.epoch, a.at.seq, c.batch))
		}
	}
	return a, nil
}

// send does one step of the sender's work.
func (m *model) send(n *modelNode, calm bool) {
	l := n.lane
	f, c := l.take(n.link)
	if f == nil {
		return
	}
	if f != n.flight {
		n.flight, n.executed = f, false
	}
	luck := m.rng.IntN(10)
	if calm {
		luck = 9
	}
	if luck >= 2 {
		if n.executed {
			m.retries++
		}
		a, err := m.execute(c)
		n.executed = true
		if err == nil && luck >= 4 {
			l.settle(f, a)
			return
		}
	} else if luck == 0 {
		m.calls = append(m.calls, c) // the call stays in flight, and arrives late
	}
	if l.fail(f, errTest, 0, false); l.out.flight == nil {
		return // the batch came back
	}
	if m.rng.IntN(4) == 0 { // the hold time is over
		m.log("%s: given up %v", n.name, f.id)
		l.giveUp(errTest)
	}
}

// receive does one step of the receiver's work.
func (m *model) receive(n *modelNode) {
	if n.behind {
		n.behind = false
		m.catchUp(n)
		return
	}
	if len(n.conn) == 0 {
		return
	}
	payload := n.conn[0]
	n.conn = n.conn[1:]
	n.lane.mu.Lock()
	v, lost := n.lane.handle([]byte(payload), false)
	n.lane.mu.Unlock()
	n.lane.bridge.settleLost(lost)
	if v == verdictRead {
		m.catchUp(n)
	}
}

// read reads a page of the lane's log.
func (m *model) read(l *lane, count int) (page, error) {
	q := l.cur.ask()
	q.count = count
	return m.redis.read(q)
}

// anybody is a finder that finds every room.
func anybody(name []byte) (string, bool) { return string(name), true }

func (m *model) catchUp(n *modelNode) {
	for range 1000 {
		p, err := m.read(n.lane, 4)
		if err != nil {
			panic(err)
		}
		m.log("%s: at %v reads %v with %d entries", n.name, n.lane.cur.at, p.at, len(p.entries))
		if !n.lane.refill(p) {
			return
		}
	}
	panic(n.name + " reads the log without end")
}

// rest runs all steps that are left to do, without faults.
func (m *model) rest() {
	for range 2000 {
		busy := false
		for _, n := range m.nodes {
			if !n.up {
				n.subscribe()
			}
			n.lane.mu.Lock()
			busy = busy || n.behind || len(n.conn) > 0 || n.lane.out.flight != nil || len(n.lane.out.queue) > 0 || n.lane.cur.heal || n.lane.out.down || len(n.lane.out.sent) > 0 || n.lane.tells()
			n.lane.mu.Unlock()
			m.send(n, true)
			m.receive(n)
		}
		if busy {
			continue
		}
		for _, n := range m.nodes { // as a beat does: compare the counter with the node's place
			p, _ := m.redis.read(question{})
			if p.at.before(n.lane.cur.top) || n.lane.cur.behind(p.at) {
				n.behind, busy = true, true
			}
		}
		if !busy {
			return
		}
	}
	for _, n := range m.nodes {
		m.log("%s: %+v", n.name, n.lane.cur)
	}
	panic("it does not come to rest")
}
