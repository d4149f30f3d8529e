package loop

// maxBatch is the size at which a batch is cut: larger writes gain little, and a lagging member refers to whole batches.
const maxBatch = 64 << 10

// batch is a run of publications of one room that are written at once. It lives until the last lagging member has it.
type batch struct {
	base   uint32 // room.pos of pubs[0]
	pubs   []*Publication
	bufs   [MaxVariants][]byte // built when the first member of the variant needs it
	bytes  int                 // of the frames, approximately; for the cut
	cost   int64               // bytes reserved in the loop's load until it is flushed
	refs   int                 // lagging members that refer to it
	frozen bool
	pooled bool // bufs come from the loop's free list
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

// encoded returns the frames of the whole batch for a variant. For a batch of one that is the publication's own shared frame.
func (p *batches) encoded(b *batch, v Variant) []byte {
	if buf := b.bufs[v]; buf != nil {
		return buf
	}
	if len(b.pubs) == 1 {
		b.bufs[v] = b.pubs[0].frame(p.encodings, v)
		return b.bufs[v]
	}
	buf := p.buffer()
	for _, pub := range b.pubs {
		buf = append(buf, pub.frame(p.encodings, v)...)
	}
	b.bufs[v], b.pooled = buf, true
	return buf
}

// offset is where the frame of pubs[i] begins in the encoded batch.
func (p *batches) offset(b *batch, v Variant, i int) (at int) {
	for _, pub := range b.pubs[:i] {
		at += len(pub.frame(p.encodings, v))
	}
	return at
}

// strip removes the encoded frames from a batch. Lagging members build the frames they need from the publications.
func (p *batches) strip(b *batch) {
	for v, buf := range b.bufs {
		if b.pooled && cap(buf) == bufferSize && len(p.buffers) < 16 {
			p.buffers = append(p.buffers, buf[:0])
		}
		b.bufs[v] = nil
	}
	b.pooled = false
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

// bufferSize fits a batch and the headers of its frames in all usual cases; a larger batch grows its own buffer.
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
