package loop

// A node that begins to keep a history has none of the messages before. A bus that still has them can give them to a Fill, batch by
// batch. When the Fill has everything that the node has delivered, it takes the place of the history. Until then the history says
// that it is filling, and members that name a position wait.

// Fill is a history that a bus fills for a lane.
type Fill struct {
	dir    *Directory
	lane   int
	h      *history
	began  bool
	last   uint64 // seq of the last batch
	fenced map[uint64]bool
}

// Fill returns a Fill for a lane, nil if the lane waits for none. Any goroutine; only one goroutine may use the Fill.
func (d *Directory) Fill(lane int) *Fill {
	ln := &d.lanes[lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.history == nil || !ln.history.filling {
		return nil
	}
	h := newHistory(ln.history.limit, ln.history.age, ID{})
	h.partial = true
	h.first = ln.history.first + 1<<20 // members may hold locations in the segments of the history that will be replaced
	return &Fill{dir: d, lane: lane, h: h, fenced: map[uint64]bool{}}
}

// Next is the seq of the batch that is wanted next, 0 for the first that there is.
func (f *Fill) Next() uint64 {
	if !f.began {
		return 0
	}
	return f.last + 1
}

// Name returns the name of a room without an allocation if the Fill has it.
func (f *Fill) Name(room []byte) string { return f.h.name(room) }

// Add adds the publications of a batch, which may have none for rooms. tag is the tag of the numbering.
func (f *Fill) Add(seq uint64, tag uint32, pubs []*Publication) {
	if !f.began || seq != f.last+1 || tag != f.h.floor.Tag { // there is a hole before it
		f.h.restart(ID{Seq: seq, Tag: tag}.before())
	}
	f.began, f.last = true, seq
	for _, p := range pubs {
		p.ID.Seq, p.ID.Tag = seq, tag
		switch {
		case p.Kind == KindFence:
			f.fenced[p.By.Me] = true
		case p.Kind.Notice(), p.By != nil && f.fenced[p.By.Me]:
		default:
			f.h.append(p.Room, p, f.dir.tick.Load())
		}
	}
}

// Done puts the Fill in the place of the history. The node has delivered everything up to the batch at, and delivers nothing
// meanwhile. It reports false if the Fill does not reach up to there yet.
func (f *Fill) Done(at ID) bool {
	at.Index = lastIndex
	switch {
	case f.began && f.h.floor.Tag == at.Tag && f.last < at.Seq:
		return false
	case !f.began, f.h.floor.Tag != at.Tag, f.last > at.Seq: // the bus has nothing of this numbering
		f.h.restart(at)
	}
	ln := &f.dir.lanes[f.lane]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.history.filling { // otherwise there was a gap meanwhile
		ln.history = f.h
	}
	return true
}

// Abandon says that nothing more will be added. The history then has only what came since it began.
func (f *Fill) Abandon() {
	ln := &f.dir.lanes[f.lane]
	ln.mu.Lock()
	ln.history.filling = false
	ln.mu.Unlock()
}
