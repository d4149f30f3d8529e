package loop

// Embedded is the bus of a single node: the mutex of a lane puts its publications into one order. A publication costs one lock,
// and one append for each loop that has members of its room.
type Embedded struct {
	dir   *Directory
	epoch uint64
}

// NewEmbedded makes the bus. epoch should be random, so that clients do not mistake ids of an earlier process for ids of this
// one.
func NewEmbedded(dir *Directory, epoch uint64) *Embedded {
	return &Embedded{dir: dir, epoch: epoch}
}

// Publish implements Bus.
func (b *Embedded) Publish(p *Publication) {
	ln := b.dir.laneFor(p)
	ln.mu.Lock()
	ln.seq++
	p.ID = ID{Epoch: b.epoch, Seq: ln.seq}
	rings := b.dir.place(ln.entryOf(p), p)
	ln.mu.Unlock()
	b.dir.ring(rings)
}

// Join implements Bus.
func (b *Embedded) Join(room string, l *Loop) { b.dir.Join(room, l) }

// Leave implements Bus.
func (b *Embedded) Leave(e *Entry, l *Loop) { b.dir.Leave(e, l) }
