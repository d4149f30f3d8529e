package loop

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"sync/atomic"
)

// ID is the place of a publication in the one order of its lane, and so of its room.
//
// Within a numbering IDs grow. A new epoch says that the numbering started again (a restarted node, a Redis that lost its data). IDs
// of different epochs, or of different lanes, are not comparable, and their tags differ.
type ID struct {
	Seq   uint64 // of the batch in the lane, from 1
	Index uint32 // of the publication in its batch, from 0
	Tag   uint32 // of the numbering (TagOf); 0: no place in the common order
}

// TagOf returns the tag, which is never 0, of a lane's numbering in an epoch. key is the key of the hash that deals rooms to lanes.
func TagOf(epoch uint64, key string, lane int) uint32 {
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, epoch))
	_, _ = h.Write([]byte(key))
	_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(lane)))
	x := h.Sum64()
	return max(uint32(x^x>>32), 1) // 0 means no place
}

// lastIndex is behind all publications of a batch. It is what fits into the id that clients have.
const lastIndex = math.MaxUint16

// compare orders ids of one numbering.
func (id ID) compare(other ID) int {
	return cmp.Or(cmp.Compare(id.Seq, other.Seq), cmp.Compare(id.Index, other.Index))
}

// before returns an id that is smaller than id, and not smaller than any other smaller id.
func (id ID) before() ID {
	if id.Index > 0 {
		id.Index--
	} else {
		id.Seq, id.Index = id.Seq-1, lastIndex
	}
	return id
}

// Number gives the publications of a batch their ids.
func Number(pubs []*Publication, tag uint32, seq uint64) {
	for i, p := range pubs {
		p.ID = ID{Seq: seq, Index: uint32(i), Tag: tag}
	}
}

// String is the form that goes over the wire. Its width is fixed, so that the strings sort like the IDs.
func (id ID) String() string {
	return fmt.Sprintf("%08x.%016x.%08x", id.Tag, id.Seq, id.Index)
}

// Kind says what the value of a publication is. The loop only carries it.
type Kind uint8

// The kinds of values.
const (
	KindText     Kind = iota // a text message, or the JSON value of a chat message
	KindBinary               // a binary message (raw rooms)
	KindFence                // no message: later publications of a sender are dropped (fence.go); it has a place in the order
	KindPresence             // no message: who is in the room (presence.go); only the variants of watchers have frames for it
	KindGap                  // no message: members may have missed publications (Node.Gap); without a value
	KindMark                 // no message: the position of the members moves on (marks.go); without a value
)

// Notice reports whether the publication is not a message. The frame of a variant that does not have this notice is empty.
func (k Kind) Notice() bool { return k > KindBinary }

// Variant says how a connection wants its frames: it is an index into Config.Encodings.
type Variant uint8

// MaxVariants is how many variants there can be. Each of the first fewVariants costs 8 bytes per publication; the others, which fewer
// systems use, cost a pointer together, and an allocation for a publication that needs one.
const MaxVariants, fewVariants = 8, 4

// Encoding builds the frames of one variant.
type Encoding struct {
	// Append appends the whole frame for p to dst, and returns where p.Value is in the result (-1 if it is not there in one
	// piece). It must not keep p or dst and must give the same bytes every time.
	Append func(dst []byte, p *Publication) (frame []byte, valueAt int)
	// Size is the number of bytes that Append will add, to allocate exactly that.
	Size func(p *Publication) int
	// NeedsID says that the frame contains the ID.
	NeedsID bool
	// SetID writes the ID of p into a frame that Append has built when p.ID was another one. nil: such a frame is built only after the
	// bus has numbered the publication, and the value is copied once more.
	SetID func(frame []byte, p *Publication)
	// Watches says that this is the variant of watchers (watch.go) beside Plain: it has frames for KindPresence, and the same frames as
	// Plain for everything else, which are built once.
	Watches bool
	Plain   Variant
}

// Sender says who sent a publication that is to be acknowledged.
type Sender struct {
	Me  uint64 // tag of the connection
	Ref uint64 // number that it gave the publication, from 1
}

// Publication is an accepted message with its place in the order of its room. It is shared by all loops and must not
// be changed once it is with the bus, except that the bus sets ID before it delivers.
type Publication struct {
	Room   string // "chat/lobby": name space and name
	Value  []byte
	Origin ConnID // the connection that published, 0 for the API or another node
	ID     ID
	Kind   Kind

	ownVariant Variant // of own
	ownWaits   bool    // own waits for the ID, and is not in frames yet
	delivered  bool    // the publication came through Deliver: flow.bytes[srcRemote] counts it

	By *Sender // nil if the sender wants no acknowledgement

	done func(Outcome, ID) // OfferFor; nil if its publisher does not want to know the outcome

	// frames holds the frame of each variant once it was needed. Two loops may build the same frame at the same time: the first
	// loop stores its frame, and the other loop uses the stored one.
	frames [fewVariants]atomic.Pointer[frame]
	more   atomic.Pointer[[MaxVariants - fewVariants]atomic.Pointer[frame]]
	// own is the frame of the publisher's own variant; it is a field here to save an allocation.
	own frame
	// from is the room of the member that published it, nil for the API or another node. The directory may have removed this
	// room since.
	from *Entry

	// entry is its room in the directory; loops is how many of that room's loops have not fanned it out yet. place sets both.
	entry *Entry
	loops atomic.Int32
	// refs counts the references to the publication for lagging members: from batches, and from members that got a part of its
	// frame. While there is a reference, Node.held counts the publication once.
	refs atomic.Int32
}

type frame struct{ bytes []byte }

// newPublication copies value once: into the frame of the publisher's own variant, to which p.Value then points.
func newPublication(enc *Encoding, v Variant, room string, origin ConnID, by *Sender, kind Kind, value []byte) *Publication {
	p := &Publication{Room: room, Origin: origin, By: by, Kind: kind, Value: value, ownVariant: v}
	if enc.Append != nil && !kind.Notice() && (!enc.NeedsID || enc.SetID != nil) {
		if enc.NeedsID {
			p.ownWaits, p.ID.Tag = true, 1
		}
		bytes, at := enc.Append(make([]byte, 0, enc.Size(p)), p)
		p.own.bytes, p.ID = bytes, ID{}
		if !p.ownWaits {
			p.slot(v).Store(&p.own)
		}
		if at >= 0 {
			p.Value = bytes[at : at+len(value) : at+len(value)]
			return p
		}
	}
	p.Value = append(make([]byte, 0, len(value)), value...)
	return p
}

// stamp writes the ID into the frame that waits for it. It is called once the bus has numbered p, and before any loop gets p. If p
// has no place in the common order, its frame has another form, and is built when it is needed.
func (p *Publication) stamp(encs *[MaxVariants]Encoding) {
	if !p.ownWaits {
		return
	}
	p.ownWaits = false
	if p.ID.Tag != 0 {
		encs[p.ownVariant].SetID(p.own.bytes, p)
		p.slot(p.ownVariant).Store(&p.own)
	}
}

// frame returns the frame for the variant. The first call builds it.
func (p *Publication) frame(encs *[MaxVariants]Encoding, v Variant) []byte {
	if encs[v].Watches && p.Kind != KindPresence {
		v = encs[v].Plain
	}
	at := p.slot(v)
	if f := at.Load(); f != nil {
		return f.bytes
	}
	enc := &encs[v]
	bytes, _ := enc.Append(make([]byte, 0, enc.Size(p)), p)
	f := &frame{bytes}
	if !at.CompareAndSwap(nil, f) {
		f = at.Load()
	}
	return f.bytes
}

// slot is where the frame of the variant is.
func (p *Publication) slot(v Variant) *atomic.Pointer[frame] {
	if v < fewVariants {
		return &p.frames[v]
	}
	if p.more.Load() == nil {
		p.more.CompareAndSwap(nil, new([MaxVariants - fewVariants]atomic.Pointer[frame]))
	}
	return &p.more.Load()[v-fewVariants]
}

// frameOverhead is about the most that an encoding adds to a value: a header of 2 to 10 bytes and an envelope.
const frameOverhead = 24

// senderOverhead is what a frame needs for the id, the tag of the sender and its ref.
const senderOverhead = 64

// weight is the number of bytes that one member gets with p.
func (p *Publication) weight() int {
	if p.By != nil {
		return len(p.Value) + frameOverhead + senderOverhead
	}
	return len(p.Value) + frameOverhead
}

// cost is the publication's size in an inbox, in bytes: its value and an estimate of the structures around it.
func (p *Publication) cost() int64 { return int64(len(p.Value)) + 256 }

// pubMemory is what a publication takes besides its value and its frame, in bytes: itself and its place in a batch.
const pubMemory = 208

// memory is the publication's size once its frame is built, in bytes: itself, its place in a batch, the frame, and the value,
// unless the value is part of the frame. It assumes that no room has frames of two variants.
func (p *Publication) memory() int64 {
	n := len(p.Value)
	if p.own.bytes == nil {
		n *= 2
	}
	return int64(n) + pubMemory
}
