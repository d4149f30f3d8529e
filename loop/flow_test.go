package loop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// flowModel drives one flow as a directory and two loops do, and describes in simple terms how the flow must react. It has no
// loop, lane or clock, because a flow has none.
type flowModel struct {
	t    *testing.T
	rng  *rand.Rand
	seed uint64

	s    flows
	f    flow
	tick uint32

	arrived  []*Publication // publications that came through the bus, in their order
	placed   []*Publication // publications that are with the loops, in their order; fanned out from the front
	fanned   int
	withBus  []*Publication // publications of this node that are accepted and have not come back
	slow     [numGates]int  // number of loops that keep the gate closed
	draining bool
	allow    int64 // bytes that may go on before the next tick, while draining
	accepted int   // number of publications of this node
	deferred int   // number of publications that were deferred
	drained  int   // ticks in which a room had a drain rate
}

const (
	modelCredit   = 1000
	modelMost     = 20_000 // most bytes that may be deferred
	modelStall    = 10     // ticks
	modelMessages = 400    // most bytes of a message
)

func newFlowModel(t *testing.T, seed uint64) *flowModel {
	return &flowModel{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), tick: 1000,
		s: flows{credit: modelCredit, mostDeferred: modelMost, mostDrained: 500, stall: modelStall}}
}

func (m *flowModel) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("seed %d: %s", m.seed, fmt.Sprintf(format, args...))
}

func (m *flowModel) message() *Publication {
	return &Publication{Value: make([]byte, m.rng.IntN(modelMessages))}
}

// open states in simple terms when a source may add to the room.
func (m *flowModel) open(src source) bool {
	return m.f.bytes[src].Load() <= modelCredit && m.slow[src] == 0
}

func (m *flowModel) waiting() int { return len(m.arrived) - len(m.placed) }

// local lets a member or the API try to publish.
func (m *flowModel) local() {
	want := m.s.congested.Load() == 0 && !m.s.busFull.Load() && m.open(srcLocal)
	if got := m.s.admit(&m.f, srcLocal); got != want {
		m.fail("a local publisher is admitted: %v, want %v; %d bytes, %d slow", got, want, m.f.bytes[srcLocal].Load(), m.slow[srcLocal])
	}
	if !want {
		return
	}
	p := m.message()
	p.Origin = 1
	m.accepted++
	m.f.reserve(srcLocal, int64(p.weight()))
	m.withBus = append(m.withBus, p)
}

// back lets the bus bring back this node's oldest publication.
func (m *flowModel) back() {
	if len(m.withBus) == 0 {
		return
	}
	p := m.withBus[0]
	m.withBus = m.withBus[1:]
	m.arrive(p, srcReturned, m.waiting() == 0, false)
}

// remote lets the bus bring a publication of another node.
func (m *flowModel) remote() {
	m.arrive(m.message(), srcRemote, m.waiting() == 0 && m.open(srcRemote), m.rng.IntN(2) == 0)
}

func (m *flowModel) arrive(p *Publication, src source, want, late bool) {
	m.arrived = append(m.arrived, p)
	if got := m.s.enter(&m.f, p, src, late); got != want {
		m.fail("source %d is admitted: %v, want %v; %d wait, %d bytes, %d slow", src, got, want, m.waiting()-1, m.f.bytes[srcRemote].Load(), m.slow[srcRemote])
	}
	if want {
		m.place(p)
		return
	}
	m.deferred++
	m.allow += 2 * p.cost()
	m.resume()
}

// place puts a publication that goes on into the loops, as a directory does, and checks that it is the next one in order.
func (m *flowModel) place(p *Publication) {
	if next := m.arrived[len(m.placed)]; p != next {
		m.fail("publication %d goes on before its turn, which is that of %d", slices.Index(m.arrived, p), len(m.placed))
	}
	m.placed = append(m.placed, p)
	m.f.reserve(srcRemote, int64(p.weight()))
	if p.Origin == 0 { // no credit was reserved for it
		m.f.reserve(srcLocal, int64(p.weight()))
	}
}

// resume lets all deferred publications that may go on do so.
func (m *flowModel) resume() {
	if m.f.pressure.Load() == nil {
		return
	}
	for m.waiting() > 0 {
		may := m.s.deferred.Load() > modelMost || m.open(srcRemote) && (!m.draining || m.allow > 0)
		p := m.s.next(&m.f)
		if (p != nil) != may {
			m.fail("the first of %d that wait goes on: %v, want %v", m.waiting(), p != nil, may)
		}
		if p == nil {
			break
		}
		m.allow -= p.cost()
		m.place(p)
	}
	if m.waiting() == 0 && m.s.next(&m.f) != nil {
		m.fail("there is one more than came")
	}
	if got, want := m.s.deferred.Load(), m.cost(); got != want {
		m.fail("%d bytes are counted as deferred, want %d", got, want)
	}
}

func (m *flowModel) cost() (n int64) {
	for _, p := range m.arrived[len(m.placed):] {
		n += p.cost()
	}
	return n
}

// fanOut lets the loops give the next publication to the members.
func (m *flowModel) fanOut() {
	if m.fanned == len(m.placed) {
		return
	}
	weight := int64(m.placed[m.fanned].weight())
	m.fanned++
	m.s.release(&m.f, srcRemote, weight)
	before := m.f.bytes[srcLocal].Load()
	if got, want := m.s.release(&m.f, srcLocal, weight), before > modelCredit && before-weight <= modelCredit; got != want {
		m.fail("%d of %d bytes are released, and whoever waits is to be woken: %v, want %v", weight, before, got, want)
	}
	m.resume()
}

// slowness makes a loop get its first slow member, or lose its last one.
func (m *flowModel) slowness() {
	src := source(m.rng.IntN(int(numGates)))
	if m.slow[src] > 0 && m.rng.IntN(2) == 0 {
		m.slow[src]--
		if got, want := m.f.slow(src, -1), m.slow[src] == 0; got != want {
			m.fail("the gate of source %d opens: %v, want %v", src, got, want)
		}
		m.resume()
		return
	}
	if m.slow[src] < 2 && !m.s.pay(&m.f, src, m.tick, 0) {
		m.slow[src]++
		m.f.slow(src, 1)
	}
}

// time lets a tick pass: closed gates pay for the tick, and gates without budget open.
func (m *flowModel) time() {
	m.tick++
	for src := range numGates {
		if m.slow[src] > 0 && m.s.pay(&m.f, src, m.tick, 1) {
			if src == srcRemote && m.f.drain() {
				m.draining, m.allow = true, 0
			}
			m.f.slow(src, int32(-m.slow[src]))
			m.slow[src] = 0
		}
	}
	if m.draining {
		m.drained++
		was := len(m.placed)
		m.draining = m.s.tick(&m.f)
		m.allow = m.f.pressure.Load().deferred.allow
		m.resume()
		if placed := len(m.placed) - was; placed == 0 && m.waiting() > 0 && m.open(srcRemote) {
			m.fail("a tick of a room with a drain rate brings on nothing of %d", m.waiting())
		}
		return
	}
	m.resume()
}

func (m *flowModel) step() {
	switch m.rng.IntN(12) {
	case 0, 1, 2:
		m.local()
	case 3, 4, 5:
		m.remote()
	case 6, 7:
		m.back()
	case 8, 9:
		m.fanOut()
	case 10:
		m.slowness()
	case 11:
		m.time()
	}
	if m.rng.IntN(50) == 0 {
		m.s.busFull.Store(!m.s.busFull.Load())
	}
	if m.rng.IntN(50) == 0 {
		m.s.congested.Store(1 - m.s.congested.Load())
	}
	if n := m.s.deferred.Load(); n > modelMost {
		m.fail("%d bytes are deferred, want at most %d", n, modelMost)
	}
}

// end lets the members read on until no member is slow and no publication is left.
func (m *flowModel) end() {
	for range 200 {
		m.back()
		m.fanOut()
		m.time()
	}
	for src := range numGates {
		if m.slow[src] > 0 {
			m.fail("after %d ticks the gate of source %d is still closed", 200, src)
		}
	}
	if m.waiting() > 0 || m.fanned != len(m.placed) || m.s.deferred.Load() != 0 || m.f.bytes[srcRemote].Load()+m.f.bytes[srcLocal].Load() != 0 || m.f.defers() {
		m.fail("at the end %d wait, %d are not fanned out, %d bytes are deferred, %d and %d are counted", m.waiting(), len(m.placed)-m.fanned,
			m.s.deferred.Load(), m.f.bytes[srcLocal].Load(), m.f.bytes[srcRemote].Load())
	}
}

// TestAFlowDoesWhatItsModelSays checks which sources are admitted. It also checks three other rules: deferred publications go
// on in order, each once; a closed gate has a budget; the deferred bytes are limited, and all of them go on in the end.
func TestAFlowDoesWhatItsModelSays(t *testing.T) {
	deferred, drained, accepted := 0, 0, 0
	for seed := range uint64(500) {
		m := newFlowModel(t, seed)
		for range 800 {
			m.step()
		}
		m.end()
		deferred, drained, accepted = deferred+m.deferred, drained+m.drained, accepted+m.accepted
	}
	t.Logf("%d local publications accepted, %d of other nodes deferred, %d ticks with a drain rate", accepted, deferred, drained)
	if deferred == 0 || drained == 0 || accepted == 0 {
		t.Error("the model does not reach all of that")
	}
}

// TestAGateIsClosedForItsBudgetAndNoLonger counts the ticks in a window for which a gate can be closed, if a member always wants
// it closed.
func TestAGateIsClosedForItsBudgetAndNoLonger(t *testing.T) {
	for name, row := range map[string]struct {
		src         source
		waits, late bool
		want        uint32
	}{
		"local publishers":                {srcLocal, true, false, modelStall},
		"other nodes":                     {srcRemote, true, false, modelStall},
		"other nodes, late":               {srcRemote, true, true, lateShare * modelStall},
		"other nodes while nothing waits": {srcRemote, false, false, gateSpans[srcRemote]},
	} {
		m := newFlowModel(t, 1)
		k := m.f.needPressure()
		k.waits.Store(row.waits)
		k.late.Store(row.late)
		closed, shut := uint32(0), false
		for range 3 * gateSpans[row.src] {
			m.tick++
			if shut {
				closed++
				shut = !m.s.pay(&m.f, row.src, m.tick, 1)
			} else {
				shut = !m.s.pay(&m.f, row.src, m.tick, 0)
			}
		}
		if want := 3 * row.want; closed < want-3 || closed > want+3 {
			t.Errorf("%s: closed for %d ticks in three windows, want %d", name, closed, want)
		}
	}
}
