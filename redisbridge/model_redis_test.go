package redisbridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"
)

// simRedis does for one lane what publish.lua and read.lua do in Redis.
type simRedis struct {
	now  lane0
	copy lane0
	old  map[string][]entry // logs of the epochs that are over
	time uint64             // milliseconds
}

type lane0 struct {
	has        bool // whether the counter exists
	at         place
	first, gen uint64 // the fields f and p of the state
	bytes      int
	log        []entry
	nodes      map[nodeID]applied
	before     []string // the epochs before the present one
}

type applied struct {
	n  uint64
	at place
}

const simGeneration = 400 // bytes

func newSimRedis() *simRedis {
	return &simRedis{now: lane0{nodes: map[nodeID]applied{}}, old: map[string][]entry{}}
}

func (l lane0) clone() lane0 {
	l.log, l.nodes, l.before = slices.Clone(l.log), maps.Clone(l.nodes), slices.Clone(l.before)
	return l
}

func (r *simRedis) publish(c call) (answer, error) {
	l := &r.now
	r.time++
	done, known := l.nodes[c.id.node]
	if known && c.id.n <= done.n {
		return answer{at: done.at}, nil
	}
	minted := ""
	switch {
	case !l.has:
		minted = "no counter"
	case l.at.before(c.top):
		minted = "counter behind"
	case uint64(len(l.log)) != l.at.seq-l.first+1:
		minted = "log lost"
	}
	if minted != "" {
		later := r.time
		for _, old := range []string{l.at.epoch, c.top.epoch} {
			if old == "" {
				continue
			}
			if s, err := strconv.ParseUint(old[:11], 16, 64); err == nil && s >= later {
				later = s + 1
			}
		}
		if before := l.at.epoch; before != "" && len(l.log) > 0 {
			r.old[before] = l.log
			l.before = append(l.before, before)
			l.before = l.before[max(len(l.before)-8, 0):]
		}
		l.has, l.at, l.first, l.gen, l.bytes, l.log = true, place{fmt.Sprintf("%011x%s", later, "00000"), 0}, 1, 1, 0, nil
	}
	if l.at.seq >= l.gen && l.bytes+len(c.batch) > simGeneration {
		l.log = slices.DeleteFunc(l.log, func(e entry) bool { return e.seq < l.gen })
		l.first, l.gen, l.bytes = l.gen, l.at.seq+1, 0
	}
	l.at.seq++
	l.bytes += len(c.batch)
	l.log = append(l.log, entry{l.at.seq, c.batch})
	l.nodes[c.id.node] = applied{c.id.n, l.at}
	return answer{fresh: true, at: l.at, minted: minted}, nil
}

// past returns a page of an epoch that is over, if the reader has not reached the end of that epoch.
func (r *simRedis) past(q question) (p page, ok bool) {
	if q.epoch == "" || !r.now.has || r.now.at.epoch == q.epoch {
		return page{}, false
	}
	for _, epoch := range r.now.before {
		log := r.old[epoch]
		if len(log) == 0 || epoch < q.epoch || epoch == q.epoch && q.ended {
			continue
		}
		from := uint64(0)
		if epoch == q.epoch {
			from = q.from
		}
		return page{at: place{epoch, log[len(log)-1].seq}, old: true, entries: some(log, from, q.count)}, true
	}
	return page{}, false
}

func some(log []entry, from uint64, count int) (entries []entry) {
	for _, e := range log {
		if e.seq >= from && len(entries) < count {
			entries = append(entries, e)
		}
	}
	return entries
}

func (r *simRedis) read(q question) (page, error) {
	l := &r.now
	p, ok := r.past(q)
	if !ok {
		if p.entries = some(l.log, q.from, q.count); l.has {
			p.at = l.at
		}
	}
	p.nodes = map[nodeID]uint64{}
	if q.nodes {
		for node, a := range l.nodes {
			p.nodes[node] = a.n
		}
	}
	return p, nil
}

func (r *simRedis) loseCounter() {
	r.now.has, r.now.at, r.now.first, r.now.gen, r.now.bytes = false, place{}, 1, 1, 0
}
func (r *simRedis) loseLog() { r.now.log = nil }
func (r *simRedis) loseAll() { r.now = lane0{nodes: map[nodeID]applied{}} }
func (r *simRedis) save()    { r.copy = r.now.clone() }
func (r *simRedis) restore() {
	r.now = r.copy.clone()
	if r.now.nodes == nil {
		r.now.nodes = map[nodeID]applied{}
	}
}

// realRedis is one lane of a real server, with the real scripts.
type realRedis struct {
	t     testing.TB
	store *store
	saved [2]string // copies of state and log, made by DUMP
}

func newRealRedis(t testing.TB, s *redisServer) *realRedis {
	cfg := Default()
	cfg.LogBytes = 2 * simGeneration
	cfg.CallMax = time.Minute // so that no call times out: Redis may have executed such a call, and the model does not expect that
	a, err := ParseAddress(s.url())
	if err != nil {
		t.Fatal(err)
	}
	st := newStore(&cfg, a)
	st.names = newNames("model", 1)
	t.Cleanup(func() { _ = st.close() })
	r := &realRedis{t: t, store: st}
	r.loseAll()
	return r
}

func (r *realRedis) publish(c call) (answer, error) {
	r.store.random = fmt.Sprintf("%05x", uint64(c.id.node)) // a different value for each node
	return r.store.publish(context.Background(), r.store.client, c)
}

func (r *realRedis) read(q question) (page, error) {
	return r.store.read(context.Background(), r.store.client, 0, q)
}

func (r *realRedis) keys() []string {
	return []string{r.store.names.state(0), r.store.names.log(0)}
}

func (r *realRedis) do(err error) {
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *realRedis) loseCounter() {
	r.do(r.store.client.HDel(context.Background(), r.keys()[0], "e", "s", "f", "p", "t", "b").Err())
}
func (r *realRedis) loseLog() { r.do(r.store.client.Del(context.Background(), r.keys()[1]).Err()) }
func (r *realRedis) loseAll() { r.do(r.store.client.Del(context.Background(), r.keys()...).Err()) }

func (r *realRedis) save() {
	for i, key := range r.keys() {
		v, err := r.store.client.Dump(context.Background(), key).Result()
		if err != nil && !isNil(err) {
			r.do(err)
		}
		r.saved[i] = v
	}
}

func (r *realRedis) restore() {
	r.loseAll()
	for i, key := range r.keys() {
		if r.saved[i] != "" {
			r.do(errors.Join(r.store.client.Restore(context.Background(), key, 0, r.saved[i]).Err()))
		}
	}
}
