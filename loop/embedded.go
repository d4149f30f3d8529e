package loop

// Embedded is the bus of a single node: the mutex of a lane puts its publications into one order. A publication costs one lock,
// and one append for each loop that has members of its room.
type Embedded struct {
	dir  *Directory
	tags []uint32 // by lane
}

// NewEmbedded makes the bus. epoch should be random, so that clients do not mistake ids of an earlier process for ids of this
// process.
func NewEmbedded(dir *Directory, epoch uint64) *Embedded {
	b := &Embedded{dir: dir}
	for i := range dir.lanes {
		tag := TagOf(epoch, "", i)
		b.tags = append(b.tags, tag)
		dir.lanes[i].last = ID{Tag: tag}
	}
	return b
}

// Publish implements Bus.
func (b *Embedded) Publish(p *Publication) {
	i := b.dir.laneIndex(p)
	ln := &b.dir.lanes[i]
	ln.mu.Lock()
	p.ID = ID{Seq: ln.last.Seq + 1, Tag: b.tags[i]}
	if !b.dir.admit(ln, p) {
		b.dir.discard(p)
		ln.mu.Unlock()
		return
	}
	b.dir.keep(ln, p)
	rings := b.dir.place(ln.entryOf(p), p)
	ln.mu.Unlock()
	b.dir.ring(rings)
}

// Join implements Bus.
func (b *Embedded) Join(room string, l *Loop) { b.dir.Join(room, l) }

// Leave implements Bus.
func (b *Embedded) Leave(e *Entry, l *Loop) { b.dir.Leave(e, l) }
