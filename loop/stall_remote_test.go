package loop

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// farBus brings publications back, on one goroutine for each lane, with publications of another node between them.
type farBus struct {
	*Embedded
	lanes []farLane
	done  sync.WaitGroup
}

type farLane struct {
	mu     sync.Mutex
	wake   sync.Cond
	queue  []*Publication
	closed bool
}

func newFarBus(e *Embedded) *farBus {
	b := &farBus{Embedded: e, lanes: make([]farLane, e.dir.Lanes())}
	for i := range b.lanes {
		b.lanes[i].wake.L = &b.lanes[i].mu
		b.done.Go(func() { b.run(i) })
	}
	return b
}

func (b *farBus) Publish(p *Publication) {
	b.dir.Reserve(p)
	b.put(p)
}

func (b *farBus) put(p *Publication) {
	ln := &b.lanes[b.dir.laneOf(p.Room)]
	ln.mu.Lock()
	ln.queue = append(ln.queue, p)
	ln.mu.Unlock()
	ln.wake.Signal()
}

func (b *farBus) run(lane int) {
	ln := &b.lanes[lane]
	for seq := uint64(1); ; seq++ {
		ln.mu.Lock()
		for len(ln.queue) == 0 && !ln.closed {
			ln.wake.Wait()
		}
		pubs := ln.queue
		ln.queue = nil
		ln.mu.Unlock()
		if len(pubs) == 0 {
			return
		}
		Number(pubs, 7, seq)
		b.dir.Deliver(lane, pubs)
	}
}

func (b *farBus) close() {
	for i := range b.lanes {
		b.lanes[i].mu.Lock()
		b.lanes[i].closed = true
		b.lanes[i].mu.Unlock()
		b.lanes[i].wake.Signal()
	}
	b.done.Wait()
}

// The node's own publications and those of another node go to the same rooms. Some members lag, stall their rooms and use up
// budgets, and other members come and go. Still all publications must arrive, in one order.
func TestOwnAndForeignPublicationsAllGoOnUnderStalls(t *testing.T) {
	const loops, rooms, stable, perMember, foreign, churners, churn = 3, 3, 4, 300, 600, 3, 40
	w := newCity(t, loops)
	w.node.flows.stall, w.node.flows.mostDeferred = 2, 40_000
	bus := newFarBus(w.node.bus.(*Embedded))
	w.node.Use(bus)
	var members []*citizen
	for room := range rooms {
		for i := range stable {
			members = append(members, w.connect((room+i)%loops, fmt.Sprintf("r%d", room), Variant(i%3)))
		}
	}
	for _, c := range members {
		c.waitJoined()
	}
	var work sync.WaitGroup
	for i, c := range members {
		work.Go(func() {
			for n := range perMember {
				c.write(fmt.Sprintf("m%d.%d.%s", i, n, message(n%90)))
			}
		})
	}
	for room := range rooms {
		work.Go(func() {
			for n := range foreign {
				bus.put(&Publication{Room: fmt.Sprintf("r%d", room), Value: fmt.Appendf(nil, "far.%d.%s", n, message(n%60))})
			}
		})
	}
	for i := range churners {
		work.Go(func() {
			for n := range churn {
				c := w.connect((i+n)%loops, fmt.Sprintf("r%d", (i+n)%(rooms+1)), 0)
				c.waitJoined()
				c.finish(n%2 == 0)
			}
		})
	}
	const want = stable*perMember + foreign
	orders := make([][]string, len(members))
	for i, c := range members {
		work.Go(func() { orders[i] = c.waitFrames(want) })
	}
	stop, paced, parked := make(chan struct{}), 0, 0
	var clock sync.WaitGroup
	clock.Go(func() { // looks at the clock
		for {
			select {
			case <-stop:
				return
			default:
			}
			paced += w.node.dir.draining()
			if w.node.Parked() > 0 {
				parked++
			}
			time.Sleep(500 * time.Microsecond)
		}
	})
	w.wait(&work)
	for i, got := range orders {
		if first := orders[i/stable*stable]; !slices.Equal(got, first) {
			t.Errorf("members %d and %d of a room saw different orders", i, i/stable*stable)
		}
		checkSenders(t, got, perMember)
	}
	var ends sync.WaitGroup
	for _, c := range members {
		ends.Go(func() { c.finish(false) })
	}
	w.wait(&ends)
	close(stop)
	clock.Wait()
	bus.close()
	w.stop()
	w.checkEmpty()
	if n := w.node.Parked(); n != 0 || parked == 0 || paced == 0 {
		t.Errorf("%d bytes deferred at the end; seen deferred %d times, with a drain rate %d times", n, parked, paced)
	}
}
