package server

import (
	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// The variants of frames. They are indices into the encodings of a loop.
const (
	variantV1 loop.Variant = iota
	variantRaw
	variantV2
)

// encodings defines how a publication becomes a frame, for each variant of the protocol.
func encodings() (all [loop.MaxVariants]loop.Encoding) {
	all[variantV1] = loop.Encoding{
		Append: func(dst []byte, p *loop.Publication) ([]byte, int) {
			frame := protocol.AppendV1(dst, p.Value)
			return frame, len(frame) - 1 - len(p.Value)
		},
		Size: func(p *loop.Publication) int { return protocol.SizeV1(len(p.Value)) },
	}
	all[variantRaw] = loop.Encoding{
		Append: func(dst []byte, p *loop.Publication) ([]byte, int) {
			frame := protocol.AppendRaw(dst, p.Kind == loop.KindBinary, p.Value)
			return frame, len(frame) - len(p.Value)
		},
		Size: func(p *loop.Publication) int { return protocol.SizeRaw(len(p.Value)) },
	}
	all[variantV2] = loop.Encoding{
		Append: func(dst []byte, p *loop.Publication) ([]byte, int) {
			var frame []byte
			me, ref := sender(p)
			if p.ID.Tag == 0 {
				frame = protocol.AppendV2Local(dst, me, ref, p.Value)
			} else {
				frame = protocol.AppendV2(dst, position(p.ID), me, ref, p.Value)
			}
			return frame, len(frame) - 1 - len(p.Value)
		},
		Size: func(p *loop.Publication) int {
			_, ref := sender(p)
			if p.ID.Tag == 0 {
				return protocol.SizeV2Local(len(p.Value), ref)
			}
			return protocol.SizeV2(len(p.Value), ref)
		},
		NeedsID: true,
	}
	return all
}

// sender returns the tag and the ref of the sender, 0 and 0 if the sender gave no ref.
func sender(p *loop.Publication) (me, ref uint64) {
	if p.By == nil {
		return 0, 0
	}
	return p.By.Me, p.By.Ref
}

// positionOrNil returns nil for a publication without a place in the common order.
func positionOrNil(id loop.ID) *protocol.Position {
	if id.Tag == 0 {
		return nil
	}
	p := position(id)
	return &p
}

// position returns an id in the form that clients have.
func position(id loop.ID) protocol.Position {
	return protocol.Position{Tag: id.Tag, Seq: id.Seq, Index: uint16(id.Index)}
}
