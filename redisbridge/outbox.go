package redisbridge

import (
	"slices"
	"strings"
	"time"

	"dotsconnect/loop"
)

// An outbox holds the publications that a lane has to send. They gather in the queue while the previous call is in flight, and
// the next call takes them all, up to a limit. So batches grow when Redis is busy, and an idle lane sends at once. Only one call
// of a lane is in flight at a time: publish.lua keeps only the last batch of each node, so the next batch has to wait until the
// previous one is settled. There are many lanes, so this costs little.
//
// Owned by the lane; lane.mu guards it.
type outbox struct {
	queue []*loop.Publication
	bytes int64 // size of queue, as counted against MaxHeld

	n      uint64    // number of the last batch that was made
	flight *flight   // the batch that is being sent
	sent   []*flight // batches that were sent, or are in flight, and have not come back; ordered by n
	down   bool      // Redis did not take a batch within the hold time
}

// flight is a batch with its publications. It exists until the publications have come back.
type flight struct {
	id    ident
	pubs  []*loop.Publication
	bytes int64 // size of pubs, as counted against MaxHeld
	batch []byte
	told  *notice       // the notice in the batch; nil: none
	until time.Duration // end of the batch's hold time, by the awake clock
	acked place         // place of the batch, from the answer of publish.lua; zero: unknown
	back  bool          // the batch came back

	flying bool          // the batch is in a call that has no answer yet
	alone  bool          // a call with this batch must not carry batches of other lanes
	doubt  bool          // Redis may have taken the batch
	due    time.Duration // after a failed call: time of the next call, by the awake clock
	pause  time.Duration // pause before the next call
	why    error         // error of the last failed call
}

// heldBytes is the number of bytes that a publication counts against MaxHeld.
func heldBytes(p *loop.Publication) int64 { return int64(len(p.Room)+len(p.Value)) + 256 }

func (o *outbox) add(p *loop.Publication) {
	o.queue = append(o.queue, p)
	o.bytes += heldBytes(p)
}

// cut makes the next batch from the queue. The batch may be empty, so that publish.lua checks the lane.
func (o *outbox) cut(node nodeID, format, messages, bytes int, until time.Duration, told *notice) *flight {
	o.n++
	f := &flight{id: ident{node, o.n}, until: until, told: told}
	count, size := 0, 0
	for count < len(o.queue) && count < messages {
		n := len(o.queue[count].Room) + len(o.queue[count].Value) + 8
		if count > 0 && size+n > bytes {
			break
		}
		size += n
		f.bytes += heldBytes(o.queue[count])
		count++
	}
	f.pubs = append(make([]*loop.Publication, 0, count), o.queue[:count]...)
	o.consume(count)
	o.bytes -= f.bytes
	slices.SortStableFunc(f.pubs, func(a, b *loop.Publication) int { return strings.Compare(a.Room, b.Room) })
	f.batch = appendBatch(make([]byte, 0, size+64), format, f.id, f.pubs, told)
	o.flight = f
	o.sent = append(o.sent, f)
	return f
}

func (o *outbox) consume(count int) {
	rest := copy(o.queue, o.queue[count:])
	clear(o.queue[rest:])
	o.queue = o.queue[:rest]
	if cap(o.queue) > 4096 && rest < cap(o.queue)/8 {
		o.queue = append([]*loop.Publication(nil), o.queue...)
	}
}

// settle notes that Redis has taken the batch, at the given place.
func (o *outbox) settle(f *flight, at place) {
	f.acked = at
	f.batch = nil
	o.flight = nil
}

// awaits reports whether batch n was sent and has not come back yet.
func (o *outbox) awaits(n uint64) bool {
	return slices.ContainsFunc(o.sent, func(f *flight) bool { return f.id.n == n })
}

// home removes batch n from sent because it came back, and returns it, or nil if sent does not have it. Batches of this node
// come back in order. So the batches before n in sent will never come back; home removes them too and returns them as lost.
func (o *outbox) home(n uint64) (f *flight, lost []*flight) {
	i := 0
	for i < len(o.sent) && o.sent[i].id.n < n {
		i++
	}
	lost = append(lost, o.sent[:i]...)
	if i < len(o.sent) && o.sent[i].id.n == n {
		f = o.sent[i]
		f.back = true
		i++
	}
	o.drop(i)
	return f, lost
}

// missed removes and returns the batches with a place up to `at`: all batches up to this place were received, and they were not
// among them.
func (o *outbox) missed(at place) (lost []*flight) {
	i := 0
	for i < len(o.sent) && o.sent[i].acked.epoch != "" && !at.before(o.sent[i].acked) {
		i++
	}
	lost = append(lost, o.sent[:i]...)
	o.drop(i)
	return lost
}

func (o *outbox) drop(n int) {
	rest := copy(o.sent, o.sent[n:])
	clear(o.sent[rest:])
	o.sent = o.sent[:rest]
}

// giveUp removes the batch in flight (unless it has come back) and the queue. If all is set, it also removes the batches that
// Redis has taken and that have not come back; it returns them as taken, and they are before f in the order. held is the number
// of bytes that the removed publications counted against MaxHeld.
func (o *outbox) giveUp(all bool) (taken []*flight, f *flight, queue []*loop.Publication, held int64) {
	f, o.flight = o.flight, nil
	if f != nil && f.back {
		f = nil
	}
	if last := len(o.sent) - 1; f != nil && last >= 0 && o.sent[last] == f {
		o.sent[last] = nil
		o.sent = o.sent[:last]
	}
	if all {
		taken = append(taken, o.sent...)
		o.drop(len(o.sent))
	}
	held = o.bytes
	for _, f := range taken {
		held += f.bytes
	}
	if f != nil {
		f.doubt = f.doubt || f.flying
		held += f.bytes
	}
	queue = append(queue, o.queue...)
	o.queue, o.bytes = nil, 0
	return taken, f, queue, held
}
