package redisbridge

// A cursor is the position of a node in the order of a lane. It decides what the node does with each batch that comes. It has
// no socket, clock or goroutine; the model test runs it together with a model of publish.lua.
//
//	at        the last place that was taken, and the batch that had it
//	top       the latest place ever seen; publish.lua begins a new epoch if Redis is behind it
//	known     the last batch taken of each node: a known batch is never delivered again, whatever its number
//
// Most batches in the channel have the next number (next). In all other cases the node reads the log, so it guesses nothing. A
// jump in the numbers is a hole to be refilled. Another epoch, or an old number on a new batch, means that Redis was restored
// from an older copy of its data. A node may not have seen the restore. So it reads the log from `at` itself, and the batch
// there must be the batch that the node knows.
type cursor struct {
	at    place
	last  ident // the batch at the place at
	prev  ident // the batch at the place before at; 0: unknown
	top   place
	asked place // value of top when the log was last read
	known map[nodeID]knownBatch
	clock uint64         // counts uses of known, to find the oldest entries
	done  map[ident]bool // batches that were delivered only on this node, without Redis; earlier batches of this node may still come
	gaps  []Gap          // gaps that the current call found; the caller takes them
	heal  bool           // Redis lost data: the next batch must make publish.lua begin a new epoch, so that all nodes learn of the loss
	broke string         // if heal: the epoch whose data Redis lost
	floor uint64         // from this seq to at, in this epoch, no batch was left out
	mute  uint64         // batches of the log up to this seq are older than the restore of Redis, and are skipped
	loose bool           // a gap of unknown size was just announced; if a hole before the next batch follows, it is part of this gap
	ended bool           // the epoch is over, and its log was read to the end
	ahead bool           // members here may have got batches of a past epoch that are not in the log of that epoch
}

type knownBatch struct{ n, used uint64 }

// maxKnown limits the size of known: above it, the cursor forgets nodes whose last batch was more than maxKnown batches ago.
const maxKnown = 1024

type verdict uint8

const (
	verdictNext  verdict = iota // deliver it
	verdictKnown                // its number is the next one, or an old one; its content is known already
	verdictAlone                // its number is the next one; its content was delivered only here, without Redis
	verdictRead                 // read the log
)

// entry is a batch in the log.
type entry struct {
	seq   uint64
	batch []byte
}

// question has the arguments of read.lua.
type question struct {
	from  uint64 // seq of the first wanted entry
	count int    // most entries to return
	nodes bool   // whether the last batch of each node is wanted too
	epoch string // the epoch of the reader; "": only the log of the current epoch is wanted
	ended bool   // the reader has read the log of that epoch to the end
}

// page is the answer of read.lua.
type page struct {
	at      place // the counter of the lane
	old     bool  // the page is of an epoch that is over, and the reader has not reached its end
	entries []entry
	nodes   map[nodeID]uint64
}

// begin sets the cursor to the current end of the lane: this node gets no batch from before.
func (c *cursor) begin(p page) {
	c.at, c.top, c.floor = p.at, p.at, p.at.seq
	c.known = map[nodeID]knownBatch{}
	for node, n := range p.nodes {
		c.learn(ident{node, n})
	}
	if last := len(p.entries) - 1; last >= 0 && p.entries[last].seq == p.at.seq {
		if id, err := checkBatch(p.entries[last].batch); err == nil {
			c.last = id
		}
	}
}

func (c *cursor) knows(id ident) bool { return id.n <= c.known[id.node].n || c.done[id] }

// finish notes that a batch was delivered only on this node, without Redis. If the batch comes later, it counts as known.
func (c *cursor) finish(id ident) {
	if c.done == nil {
		c.done = map[ident]bool{}
	}
	c.done[id] = true
}

func (c *cursor) learn(id ident) {
	c.clock++
	if k := c.known[id.node]; id.n > k.n {
		c.known[id.node] = knownBatch{id.n, c.clock}
	}
	if len(c.known) <= maxKnown {
		return
	}
	for node, k := range c.known {
		if k.used+maxKnown < c.clock {
			delete(c.known, node)
		}
	}
}

// live decides about a batch that came through the channel.
func (c *cursor) live(at place, id ident) verdict {
	switch {
	case at.epoch == c.at.epoch && at.seq == c.at.seq+1:
		return c.step(at, id)
	case at.epoch == c.at.epoch && at.seq <= c.at.seq && c.knows(id):
		return verdictKnown
	}
	return verdictRead
}

// step moves the cursor to the given place, which the batch id has.
func (c *cursor) step(at place, id ident) verdict {
	c.prev = ident{}
	if at.seq == c.at.seq+1 {
		c.prev = c.last
	}
	c.at, c.last, c.loose, c.ended = at, id, false, false
	c.saw(at)
	alone := c.done[id]
	if c.knows(id) && !alone {
		return verdictKnown
	}
	c.learn(id)
	delete(c.done, id)
	for old := range c.done { // a later batch of the node came, so the earlier batches will not come any more
		if old.node == id.node && old.n < id.n {
			delete(c.done, old)
		}
	}
	if alone {
		return verdictAlone
	}
	return verdictNext
}

// ask returns the question that reads the log from the cursor on.
func (c *cursor) ask() question {
	c.asked = c.top
	q := question{from: c.at.seq, epoch: c.at.epoch, ended: c.ended}
	if c.prev != (ident{}) {
		q.from--
	}
	return q
}

// saw notes a place from an answer of publish.lua or read.lua: Redis must never be behind this place again.
func (c *cursor) saw(at place) {
	if c.top.before(at) {
		c.top = at
	}
	if c.heal && at.epoch > c.broke {
		c.heal = false
	}
}

// damaged notes that Redis was restored from an older copy.
func (c *cursor) damaged() { c.heal, c.broke = true, c.top.epoch }

// lastSeq is greater than every seq.
const lastSeq = 1<<53 - 1

// claim is the latest place that this node has seen, as the node tells publish.lua. If the epoch is damaged, the claim is the end
// of that epoch, so that the script must begin a new epoch.
func (c *cursor) claim() place {
	if c.heal {
		return place{c.broke, lastSeq}
	}
	return c.top
}

// refill handles a page of the log, which is the answer to `ask`. It calls take for every batch that is not known, in order, and
// reports whether there is more to read. An epoch that is over is read to its end before the next one is begun.
func (c *cursor) refill(p page, parse func([]byte) (batch, error), take func(v verdict, at place, all batch)) (more bool) {
	if !p.old && p.at.before(c.asked) {
		c.damaged()
	}
	if p.at.epoch != c.at.epoch || p.at.seq < c.at.seq || c.contradicts(p) {
		return c.start(p)
	}
	if p.at.epoch == "" { // a log without its counter proves nothing; publish.lua will delete it
		return false
	}
	before := c.at.seq
	for _, e := range p.entries {
		if e.seq <= c.at.seq {
			continue
		}
		all, err := parse(e.batch)
		c.hole(e.seq)
		if err != nil {
			all = batch{}
		}
		at := place{p.at.epoch, e.seq}
		v := c.step(at, all.id)
		switch {
		case err != nil:
			c.gap(1, "a batch in the log of the lane is damaged, or another program has written it")
		case v != verdictKnown && e.seq > c.mute:
			take(v, at, all)
		}
	}
	if len(p.entries) == 0 || c.at.seq == before && p.entries[len(p.entries)-1].seq <= before {
		c.hole(p.at.seq + 1)
		if c.at.seq < p.at.seq {
			c.at.seq, c.last, c.prev = p.at.seq, ident{}, ident{}
		}
		c.saw(c.at)
		c.ended = p.old
		return p.old
	}
	c.ended = p.old && c.at.seq >= p.at.seq
	return p.old || c.at.seq < p.at.seq
}

// hole announces a gap if the log does not have all batches between the cursor and the batch with the number next.
func (c *cursor) hole(next uint64) {
	if next <= c.at.seq+1 {
		return
	}
	if !c.loose {
		c.gap(next-c.at.seq-1, "the log of the lane no longer has the missed batches")
	}
	c.floor = next - 1
}

// contradicts reports whether the log has a batch other than the known one, at the place of the cursor or at the place before
// it. It compares two places because one is not enough: after Redis was restored from an older copy, a repeated call may give a
// batch its old number again. In the tests this never happened to two batches in a row.
func (c *cursor) contradicts(p page) bool {
	for _, e := range p.entries {
		if e.seq > c.at.seq {
			break
		}
		want := c.last
		if e.seq != c.at.seq {
			want = c.prev
		}
		if id, err := checkBatch(e.batch); err == nil && want != (ident{}) && id != want {
			return true
		}
	}
	return false
}

// start begins another epoch, or continues the cursor's epoch after Redis was restored from an older copy. In the log of a new
// epoch every batch is new unless it is known. If the copy is from the cursor's epoch, the unknown batches were written after
// the restore. But the node may have missed an unknown batch below floor before the restore; if the batch were delivered now,
// it would have another place in the order here than on the other nodes. If the copy is from an older epoch, new and missed
// batches cannot be told apart, and the whole log of that epoch is skipped.
func (c *cursor) start(p page) (more bool) {
	old := c.at
	c.mute = 0
	switch {
	case p.at.epoch == old.epoch:
		c.mute = c.floor
	case p.at.epoch < c.top.epoch && !p.old:
		c.mute = p.at.seq
	}
	switch {
	case old.epoch == "":
	case p.old:
		c.ahead = c.ahead || p.at.epoch == old.epoch || !c.ended
	case p.at.epoch <= old.epoch:
		c.damaged()
	case c.ahead || !c.ended: // the other nodes announced the new epoch, but not the batches of the cursor's epoch that they missed
		c.ahead, c.heal, c.broke = false, true, p.at.epoch
	}
	if p.at.epoch != old.epoch {
		c.floor = c.mute
	}
	c.at, c.last, c.prev, c.ended = place{epoch: p.at.epoch}, ident{}, ident{}, false
	if old.epoch != "" {
		reason := "Redis has lost its counters or its log, or was set back to an older copy"
		if p.at.epoch > old.epoch {
			reason = "the lane has a new epoch because Redis lost data"
		}
		c.gap(0, reason)
	}
	return p.at.seq > 0 || p.old
}

func (c *cursor) gap(lost uint64, reason string) {
	c.loose = lost == 0
	c.gaps = append(c.gaps, Gap{Lost: lost, Reason: reason})
}

// takeGaps returns the gaps to announce.
func (c *cursor) takeGaps() []Gap {
	g := c.gaps
	c.gaps = nil
	return g
}

// behind reports whether a counter that was read earlier is ahead of the batches that were received.
func (c *cursor) behind(counter place) bool {
	return counter.epoch != c.at.epoch || counter.seq > c.at.seq
}
