package loop

// maxBatch is the size at which a batch is cut: larger writes gain little, and a lagging member refers to whole batches.
const maxBatch = 64 << 10

// batch is a run of publications of one room that are written together. It exists until the last lagging member has got it.
// While the batch is written, publications may still be appended to it, until a member lags: the backlogs refer to whole
// batches.
type batch struct {
	base    uint32 // room.pos of pubs[0]
	pubs    []*Publication
	bufs    [MaxVariants][]byte // the frames of pubs[:encoded], for each variant whose members need them
	encoded [MaxVariants]uint32
	blanks  int   // publications that may have no frame (Kind.Notice)
	bytes   int   // size of the frames, approximately; compared with maxBatch
	cost    int64 // bytes reserved in the load of the loop until the batch is flushed
	refs    int   // number of lagging members that refer to the batch
	last    struct {
		variant Variant
		pub, at uint32 // the last answer of offset, kept because many members ask for the same one
	}
	frozen bool  // later publications go into another batch
	pooled uint8 // the variants whose bufs come from the loop's free list, as bits
}

func (b *batch) end() uint32 { return b.base + uint32(len(b.pubs)) }

// batches makes and encodes batches. It keeps some used ones, and the buffers of their encoded frames, for reuse.
type batches struct {
	encodings *[MaxVariants]Encoding
	free      []*batch
	buffers   [][]byte
}

// take returns an empty batch for publications from base on.
func (p *batches) take(base uint32) *batch {
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		b.base = base
		return b
	}
	return &batch{base: base}
}

// encoded returns the frames of the whole batch for a variant. For a batch of one publication it returns the shared frame of
// the publication.
func (p *batches) encoded(b *batch, v Variant) []byte {
	done := int(b.encoded[v])
	switch {
	case done == len(b.pubs):
		return b.bufs[v]
	case len(b.pubs) == 1:
		b.bufs[v], b.encoded[v] = b.pubs[0].frame(p.encodings, v), 1
		return b.bufs[v]
	case b.pooled&(1<<v) == 0:
		b.bufs[v], done = p.buffer(), 0
		b.pooled |= 1 << v
	}
	buf := b.bufs[v]
	for _, pub := range b.pubs[done:] {
		buf = append(buf, pub.frame(p.encodings, v)...)
	}
	b.bufs[v], b.encoded[v] = buf, uint32(len(b.pubs))
	return buf
}

// offset is where the frame of pubs[i] begins in the encoded batch.
func (p *batches) offset(b *batch, v Variant, i int) (at int) {
	if last := &b.last; last.variant == v && int(last.pub) == i {
		return int(last.at)
	}
	for _, pub := range b.pubs[:i] {
		at += len(pub.frame(p.encodings, v))
	}
	b.last.variant, b.last.pub, b.last.at = v, uint32(i), uint32(at)
	return at
}

// blanksFrom is the number of empty frames among those of pubs[from:].
func (p *batches) blanksFrom(b *batch, v Variant, from int) (n int) {
	if b.blanks == 0 {
		return 0
	}
	for _, pub := range b.pubs[from:] {
		if pub.Kind.Notice() && len(pub.frame(p.encodings, v)) == 0 {
			n++
		}
	}
	return n
}

// strip removes the encoded frames from a batch. Lagging members build the frames they need from the publications.
func (p *batches) strip(b *batch) {
	for v, buf := range b.bufs {
		if b.pooled&(1<<v) != 0 && cap(buf) == bufferSize && len(p.buffers) < 16 {
			p.buffers = append(p.buffers, buf[:0])
		}
		b.bufs[v], b.encoded[v] = nil, 0
	}
	b.pooled = 0
}

// give takes back a batch that nobody refers to.
func (p *batches) give(b *batch) {
	clear(b.pubs)
	pubs := b.pubs[:0]
	if cap(pubs) > 256 {
		pubs = nil
	}
	*b = batch{pubs: pubs}
	if len(p.free) < 256 {
		p.free = append(p.free, b)
	}
}

// bufferSize is enough for a usual batch with the headers of its frames. For a larger batch the buffer grows.
const bufferSize = maxBatch + maxBatch/8

// buffer returns an empty buffer into which a usual batch fits.
func (p *batches) buffer() []byte {
	if n := len(p.buffers); n > 0 {
		buf := p.buffers[n-1]
		p.buffers = p.buffers[:n-1]
		return buf
	}
	return make([]byte, 0, bufferSize)
}
