package redisbridge

// A cursor is the position of a node in the order of a lane. It decides about every batch that comes. It has no socket, clock or
// goroutine; the model test runs it together with a model of the script.
//
//	at        the last place that was taken, and the batch that had it
//	top       the latest place ever seen; the script begins a new epoch if Redis is behind it
//	known     the last batch taken of each node: a known batch is never delivered again, whatever its number
//
// Live batches mostly come one after the other (next). Everything else is decided by the log, not by guessing: a jump is a hole
// to be refilled; another epoch, or an old number on a new batch, means that Redis was set back. To notice that even when nobody
// saw it happen, the log is read from `at` itself, and the batch there must be the known one.
type cursor struct {
	at    place
	last  ident // the batch at that place
	prev  ident // the batch at the place before; 0: unknown
	top   place
	asked place // top when the log was read
	known map[nodeID]knownBatch
	clock uint64         // counts uses of known, to forget the oldest
	done  map[ident]bool // batches delivered here without Redis; those before them may still come
	gaps  []Gap          // found by the current call; the caller takes them
	heal  bool           // Redis was set back within the epoch broke, or to before it: a batch must make the script begin a new
	broke string         // one, so that the nodes which cannot see the damage learn of it
	floor uint64         // from here to at, in this epoch, no batch was left out
	mute  uint64         // up to here the log of a Redis that was set back is too old: it is skipped
	loose bool           // a gap was just announced: a hole up to the next batch belongs to it
	ended bool           // the log of the epoch, which is over, was read to its end
	ahead bool           // members here may have had batches of an epoch that is over which are not in its log
}

type knownBatch struct{ n, used uint64 }

// maxKnown limits known: above it, nodes are forgotten whose last batch was more than this many batches ago.
const maxKnown = 1024

type verdict uint8

const (
	verdictNext  verdict = iota // deliver it
	verdictKnown                // its number is next, or old; its content is known already
	verdictAlone                // its number is next; its content was delivered here without Redis
	verdictRead                 // read the log
)

// entry is a batch in the log.
type entry struct {
	seq   uint64
	batch []byte
}

// question is the arguments of read.lua.
type question struct {
	from  uint64 // seq
	count int    // most entries to return
	nodes bool   // also the last batch of each node
	epoch string // the epoch of the reader; "": only the log of the current epoch is wanted
	ended bool   // the reader has read the log of that epoch to the end
}

// page is the answer of read.lua.
type page struct {
	at      place // the counter
	old     bool  // of an epoch that is over, whose end the reader has not reached
	entries []entry
	nodes   map[nodeID]uint64
}

// begin sets the cursor to where the lane is now: this node does not get anything from before.
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

// finish says that a batch was delivered without Redis: if it comes later, it is known.
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

// live judges a batch that came through the channel.
func (c *cursor) live(at place, id ident) verdict {
	switch {
	case at.epoch == c.at.epoch && at.seq == c.at.seq+1:
		return c.step(at, id)
	case at.epoch == c.at.epoch && at.seq <= c.at.seq && c.knows(id):
		return verdictKnown
	}
	return verdictRead
}

// step moves the cursor to at.
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
	for old := range c.done { // a later batch of the same node came, so these will not come any more
		if old.node == id.node && old.n < id.n {
			delete(c.done, old)
		}
	}
	if alone {
		return verdictAlone
	}
	return verdictNext
}

// ask returns the question for reading the log from the cursor on.
func (c *cursor) ask() question {
	c.asked = c.top
	q := question{from: c.at.seq, epoch: c.at.epoch, ended: c.ended}
	if c.prev != (ident{}) {
		q.from--
	}
	return q
}

// saw notes a place that an answer of the script named: Redis must never be behind it again.
func (c *cursor) saw(at place) {
	if c.top.before(at) {
		c.top = at
	}
	if c.heal && at.epoch > c.broke {
		c.heal = false
	}
}

// damaged notes that Redis was set back.
func (c *cursor) damaged() { c.heal, c.broke = true, c.top.epoch }

// lastSeq is greater than every seq.
const lastSeq = 1<<53 - 1

// claim is the place that we tell the script we have seen. For a damaged epoch it is the end of the epoch, so that the script
// cannot continue it.
func (c *cursor) claim() place {
	if c.heal {
		return place{c.broke, lastSeq}
	}
	return c.top
}

// refill goes on by a page of the log, which answers `ask`. It calls take for every batch that is not known, in order, and
// reports whether there is more to read. An epoch that is over is read to its end before the next one is begun.
func (c *cursor) refill(p page, parse func([]byte) (batch, error), take func(v verdict, at place, all batch)) (more bool) {
	if !p.old && p.at.before(c.asked) {
		c.damaged()
	}
	if p.at.epoch != c.at.epoch || p.at.seq < c.at.seq || c.contradicts(p) {
		return c.start(p)
	}
	if p.at.epoch == "" { // a log without its counter proves nothing; the script will delete it
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

// hole announces that the batches between the cursor and next are not in the log.
func (c *cursor) hole(next uint64) {
	if next <= c.at.seq+1 {
		return
	}
	if !c.loose {
		c.gap(next-c.at.seq-1, "the log of the lane does not reach back far enough")
	}
	c.floor = next - 1
}

// contradicts reports that the log has other batches than we have at the cursor or before it. (If Redis was set back, a repeated
// call may get the same number again. That was not seen twice in a row.)
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

// start begins an epoch other than ours, or our own after Redis was set back. In the log of a new epoch every batch is new unless
// it is known. If Redis was set back within our epoch, unknown batches were written since. But a batch below floor may be one
// that we missed before; delivered now, it would have another place in the order here than elsewhere. If Redis was set back to an
// older epoch, the two cannot be told apart, and its whole log is skipped.
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
	case c.ahead || !c.ended: // the other nodes have announced this epoch, but not the batches of ours that they missed since
		c.ahead, c.heal, c.broke = false, true, p.at.epoch
	}
	if p.at.epoch != old.epoch {
		c.floor = c.mute
	}
	c.at, c.last, c.prev, c.ended = place{epoch: p.at.epoch}, ident{}, ident{}, false
	if old.epoch != "" {
		reason := "Redis has lost its counters or its log, or was set back to an older copy"
		if p.at.epoch > old.epoch {
			reason = "the lane has a new epoch, because Redis had lost data"
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

// behind reports that a counter which was read earlier is ahead of what was received.
func (c *cursor) behind(counter place) bool {
	return counter.epoch != c.at.epoch || counter.seq > c.at.seq
}
