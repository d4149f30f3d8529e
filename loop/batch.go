package loop

// maxBatch is where a batch is cut: what a write is worth grows little beyond, and a lagging member keeps whole batches.
const maxBatch = 64 << 10

// batch is a run of publications of one room that is written at once. It lives until the last lagging member has it.
type batch struct {
	base   uint32 // room.pos of pubs[0]
	pubs   []*Publication
	bufs   [MaxVariants][]byte // built when the first member of the variant needs it
	bytes  int                 // of the frames, nearly, for the cut
	cost   int64               // charged to the inbox limit until it is flushed
	refs   int                 // lagging members that hold it
	frozen bool
	pooled bool // bufs come from the loop's free list
}

func (b *batch) end() uint32 { return b.base + uint32(len(b.pubs)) }

// batches makes batches and encodes them, and keeps some that were given back with the buffers that they were encoded into.
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

// encoded returns the frames of the whole batch for a variant. A batch of one is the publication's own shared frame.
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

// strip takes the encoded frames from a batch; a member that lags builds from the publications what it needs.
func (p *batches) strip(b *batch) {
	for v, buf := range b.bufs {
		if b.pooled && cap(buf) == bufferSize && len(p.buffers) < 16 {
			p.buffers = append(p.buffers, buf[:0])
		}
		b.bufs[v] = nil
	}
	b.pooled = false
}

// give takes back a batch that nobody holds.
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

// bufferSize holds a batch and the headers of its frames in all usual cases; a larger one grows its own buffer.
const bufferSize = maxBatch + maxBatch/8

// buffer returns an empty buffer that a usual batch fits into.
func (p *batches) buffer() []byte {
	if n := len(p.buffers); n > 0 {
		buf := p.buffers[n-1]
		p.buffers = p.buffers[:n-1]
		return buf
	}
	return make([]byte, 0, bufferSize)
}
