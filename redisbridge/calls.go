package redisbridge

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"dotsconnect/redisbridge/internal/resp"
)

// A call of publish.lua carries the batches of all ready lanes. On a Cluster it carries the batch of one lane, because lanes
// have different slots. If a call fails, the node does not know which of its batches Redis has taken, and each lane repeats its
// batch in a call of its own. The repetition does no damage, because publish.lua knows a repeated batch by its name.

// call is one batch in a call of publish.lua.
type call struct {
	lane  int
	id    ident
	top   place // the latest place of the lane that this node has ever seen
	batch []byte
	left  time.Duration // time until the node gives the batch up
}

// answer is the answer of publish.lua for one batch.
type answer struct {
	fresh  bool // false: the batch had been taken before
	at     place
	minted string // reason why the script began a new epoch; "": it did not
	late   int64  // if not 0, the call came too late and did nothing; the server's clock in milliseconds
}

// errLate is the error of a call that was too late by the clock of the server.
var errLate = errors.New("a call reached Redis after its deadline")

// keysOf and argsOf return the keys and the arguments for publish.lua.
func (s *store) keysOf(calls []call) []string {
	keys := make([]string, 0, 2*len(calls))
	for _, c := range calls {
		keys = append(keys, s.names.state(c.lane), s.names.log(c.lane))
	}
	return keys
}

func (s *store) argsOf(calls []call, until int64) []string {
	args := make([]string, 0, 6+5*len(calls))
	args = append(args, calls[0].id.node.String(), s.random, s.generation, s.age, s.send, strconv.FormatInt(until, 10))
	for _, c := range calls {
		args = append(args, s.names.channel(c.lane), strconv.FormatUint(c.id.n, 10), c.top.epoch, strconv.FormatUint(c.top.seq, 10), string(c.batch))
	}
	return args
}

// sent is a batch in a call that was written to the connection.
type sent struct {
	lane   *lane
	flight *flight
}

// batches appends the calls for the ready lanes to out. On a Cluster these are many calls in one write.
func (k *link) batches(out []byte, waiting []pending) ([]byte, []pending) {
	before, room := len(waiting), k.bridge.cfg.BatchBytes
	for room > 0 {
		some, calls := k.take(&room)
		if len(some) == 0 {
			break
		}
		out = k.appendCall(out, calls)
		began := time.Now()
		waiting = append(waiting, pending{done: func(v *resp.Value, err error) { k.settle(some, began, v, err) }})
	}
	if len(waiting) > before {
		waiting[len(waiting)-1].ends = true
		k.calls.Add(1)
		k.called.Store(int64(k.bridge.awake.read()))
	}
	return out, waiting
}

// take collects the batches of one call. room is the number of bytes that the batches may still have; take reduces it.
func (k *link) take(room *int) (some []sent, calls []call) {
	alone := k.bridge.store.cluster != nil
	for *room > 0 && (len(some) == 0 || !alone) {
		k.mu.Lock()
		if len(k.ready) == 0 {
			k.mu.Unlock()
			break
		}
		l := k.ready[0] // still there: only this goroutine removes lanes from the list
		k.mu.Unlock()
		if len(some) > 0 && l.goesAlone() {
			break
		}
		k.mu.Lock()
		if k.ready = k.ready[1:]; len(k.ready) == 0 {
			k.ready = nil
		}
		k.mu.Unlock()
		f, c := l.take(k)
		if f == nil {
			continue
		}
		some, calls = append(some, sent{l, f}), append(calls, c)
		*room -= len(c.batch) + 1
		alone = alone || f.alone
	}
	return some, calls
}

func (k *link) appendCall(out []byte, calls []call) []byte {
	s := k.bridge.store
	left := calls[0].left
	for _, c := range calls {
		left = min(left, c.left)
	}
	k.mu.Lock()
	until := k.clock.until(time.Now().Add(left))
	k.mu.Unlock()
	keys, args := s.keysOf(calls), s.argsOf(calls, until)
	out = resp.AppendArray(out, 3+len(keys)+len(args))
	if k.loaded.Load() {
		out = resp.AppendBulk(resp.AppendBulk(out, "EVALSHA"), publishScript.Hash())
	} else {
		out = resp.AppendBulk(resp.AppendBulk(out, "EVAL"), publishSource)
	}
	out = resp.AppendNumber(out, int64(len(keys)))
	for _, key := range keys {
		out = resp.AppendBulk(out, key)
	}
	for _, arg := range args {
		out = resp.AppendBulk(out, arg)
	}
	return out
}

// settle handles the answer to a call, or its failure. It runs on the goroutine that reads the link.
func (k *link) settle(some []sent, began time.Time, v *resp.Value, err error) {
	b, took := k.bridge, time.Since(began)
	b.stats.calls.Add(1)
	b.stats.callNanos.Add(uint64(took))
	var answers []answer
	if err == nil {
		k.loaded.Store(true)
		b.pace.took(took)
		answers, err = parseAnswers(v, len(some))
	}
	if err != nil {
		b.stats.failures.Add(1)
		if len(some) == 1 {
			names := b.store.names
			err = atKey(err, names.state(some[0].lane.index), names.log(some[0].lane.index))
		}
		k.failed(some, fmt.Errorf("cannot publish: %w", err))
		return
	}
	for i, a := range answers {
		l, f := some[i].lane, some[i].flight
		if a.late > 0 {
			k.mu.Lock()
			k.clock = clock{a.late, time.Now()}
			k.mu.Unlock()
			l.fail(f, errLate, 0, false)
			continue
		}
		l.proved(began.Sub(b.times.began))
		l.settle(f, a)
	}
}

// failed makes the lanes send the batches of a failed call again.
func (k *link) failed(some []sent, err error) {
	pause := firstPause
	switch resp.Word(err) {
	case "NOSCRIPT":
		k.loaded.Store(false)
		pause = 0
	case "MOVED":
		for _, s := range some {
			s.lane.fail(s.flight, err, 0, false)
			k.part(s.lane, nil)
		}
		return
	}
	for _, s := range some {
		s.lane.fail(s.flight, err, pause, len(some) > 1)
	}
}

// parseAnswers reads the answers of publish.lua about n batches.
func parseAnswers(v *resp.Value, n int) ([]answer, error) {
	if len(v.List) != 4*n {
		return nil, errReply
	}
	answers := make([]answer, n)
	for i := range answers {
		part := v.List[4*i : 4*i+4]
		code, ok := part[0].Int()
		a := answer{fresh: code == 1, minted: string(part[3].Text)}
		if code == 2 {
			a.late, ok = part[2].Int()
		} else if ok {
			var err error
			a.at, err = parsePlace(part[1].Text, part[2].Text)
			ok = err == nil && a.at.epoch != ""
		}
		if !ok {
			return nil, errReply
		}
		answers[i] = a
	}
	return answers, nil
}
