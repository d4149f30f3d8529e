package bustest

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dotsconnect/loop"
)

// embedded connects a single node.
func embedded(_ testing.TB, configs []loop.Config, serve func(int, *loop.Node)) (nodes []*loop.Node) {
	for i, cfg := range configs {
		n := loop.New(cfg)
		n.Use(loop.NewEmbedded(n.Directory(), 7))
		serve(i, n)
		nodes = append(nodes, n)
	}
	return nodes
}

func TestEmbedded(t *testing.T) { Run(t, 1, embedded) }

// far is a bus that connects nodes without a network: one goroutine orders all publications and delivers them to all nodes.
// fault makes the bus break one rule.
type far struct {
	nodes []*loop.Node
	fault func(f *far, p *loop.Publication) (deliver []*loop.Publication)

	mu    sync.Mutex
	queue []item
	some  *sync.Cond
	ended bool
	seq   uint64
	kept  []*loop.Publication
}

type item struct {
	from int
	pub  *loop.Publication
}

// port is the bus as one node sees it.
type port struct {
	*far
	node int
}

func (p port) Publish(pub *loop.Publication) {
	p.nodes[p.node].Directory().Reserve(pub)
	p.mu.Lock()
	p.queue = append(p.queue, item{p.node, pub})
	p.some.Signal()
	p.mu.Unlock()
}

func (p port) Join(room string, l *loop.Loop)    { p.nodes[p.node].Directory().Join(room, l) }
func (p port) Leave(e *loop.Entry, l *loop.Loop) { p.nodes[p.node].Directory().Leave(e, l) }
func copyOf(p *loop.Publication) *loop.Publication {
	return &loop.Publication{Room: p.Room, Value: p.Value, Kind: p.Kind, ID: p.ID}
}

// run is the goroutine of the bus.
func (f *far) run() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		for len(f.queue) == 0 && !f.ended {
			f.some.Wait()
		}
		if f.ended {
			return
		}
		it := f.queue[0]
		f.queue = f.queue[1:]
		f.seq++
		it.pub.ID = loop.ID{Tag: 1, Seq: f.seq}
		pubs := []*loop.Publication{it.pub}
		if f.fault != nil {
			pubs = f.fault(f, it.pub)
		}
		for i, n := range f.nodes {
			for _, p := range pubs {
				if i != it.from || p != it.pub {
					p = copyOf(p)
				}
				n.Directory().Deliver(0, []*loop.Publication{p})
			}
		}
	}
}

// between connects nodes by a far bus with the given fault, or without a fault if it is nil.
func between(fault func(f *far, p *loop.Publication) []*loop.Publication) Connect {
	return func(t testing.TB, configs []loop.Config, serve func(int, *loop.Node)) []*loop.Node {
		f := &far{fault: fault}
		f.some = sync.NewCond(&f.mu)
		for _, cfg := range configs {
			cfg.Lanes = 1
			f.nodes = append(f.nodes, loop.New(cfg))
		}
		var wait sync.WaitGroup
		wait.Go(f.run)
		t.Cleanup(func() {
			f.mu.Lock()
			f.ended = true
			f.some.Signal()
			f.mu.Unlock()
			wait.Wait()
		})
		for i, n := range f.nodes {
			n.Use(port{f, i})
			serve(i, n)
		}
		return f.nodes
	}
}

func TestABusBetweenNodes(t *testing.T) { Run(t, 3, between(nil)) }

// recorder is a testing.TB that notes failures instead of failing.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed bool
}

func (r *recorder) Errorf(string, ...any) {
	r.mu.Lock()
	r.failed = true
	r.mu.Unlock()
}

func (r *recorder) Fatalf(string, ...any) {
	r.Errorf("")
	runtime.Goexit()
}

// TestEachFaultIsFound: a bus that has one fault and is otherwise correct fails the rule that forbids this fault.
func TestEachFaultIsFound(t *testing.T) {
	one := func(p *loop.Publication) []*loop.Publication { return []*loop.Publication{p} }
	plain := func(p *loop.Publication) bool { return !strings.HasSuffix(string(p.Value), "last") }
	for name, row := range map[string]struct {
		rule  string
		fault func(f *far, p *loop.Publication) []*loop.Publication
	}{
		"it doubles": {"OneOrder", func(f *far, p *loop.Publication) []*loop.Publication {
			if f.seq%50 == 0 {
				return []*loop.Publication{p, copyOf(p)}
			}
			return one(p)
		}},
		"it drops": {"OneOrder", func(f *far, p *loop.Publication) []*loop.Publication {
			if f.seq%50 == 0 && plain(p) {
				return nil
			}
			return one(p)
		}},
		"it swaps two": {"OneOrder", func(f *far, p *loop.Publication) []*loop.Publication {
			if f.seq%50 == 0 && plain(p) && f.kept == nil {
				f.kept = one(copyOf(p))
				return nil
			}
			pubs := append(one(p), f.kept...)
			f.kept = nil
			return pubs
		}},
		"ids do not grow": {"OneOrder", func(_ *far, p *loop.Publication) []*loop.Publication {
			p.ID.Seq = 1
			return one(p)
		}},
		"it drops while somebody joins": {"EverythingFromJoinedToLeave", func(f *far, p *loop.Publication) []*loop.Publication {
			if f.seq%50 == 0 && plain(p) {
				return nil
			}
			return one(p)
		}},
		"it takes rooms for each other": {"RoomsApart", func(f *far, p *loop.Publication) []*loop.Publication {
			if p.Room == "room1" {
				stray := copyOf(p)
				stray.Room = "room2"
				return []*loop.Publication{stray, p}
			}
			return one(p)
		}},
		"it cuts": {"LargeValues", func(_ *far, p *loop.Publication) []*loop.Publication {
			p.Value = p.Value[:min(len(p.Value), 100<<10)]
			return one(p)
		}},
		"a publication comes back as a copy": {"OutcomesAreTold", func(_ *far, p *loop.Publication) []*loop.Publication {
			return one(copyOf(p))
		}},
		"credit is gone": {"CreditComesBack", func(f *far, p *loop.Publication) []*loop.Publication {
			if strings.HasPrefix(string(p.Value), "the end") {
				f.nodes[0].Directory().Reserve(copyOf(p))
			}
			return one(p)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(rules, func(r rule) bool { return r.name == row.rule })
			r := &recorder{TB: t}
			var wait sync.WaitGroup
			wait.Go(func() {
				s := newSystem(r, 2, between(row.fault))
				s.patience = 2 * time.Second // one of the faults shows only in a wait that runs out
				rules[i].check(s)
			})
			wait.Wait()
			if !r.failed {
				t.Errorf("%s passes", row.rule)
			}
		})
	}
}
