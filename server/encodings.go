package server

import (
	"strings"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// The variants of frames. They are indices into the encodings of a loop.
const (
	variantV1 loop.Variant = iota
	variantRaw
	variantV2
	variantMany         // version 2 on a connection with many rooms
	variantV2Presence   // with events of presence
	variantManyPresence // likewise
	variantSSE
)

// encodings defines how a publication becomes a frame, for each variant of the protocol. Version 1 and raw rooms have no frames for
// notices (loop.KindGap, loop.KindMark).
func encodings() (all [loop.MaxVariants]loop.Encoding) {
	all[variantV1] = loop.Encoding{
		Append: func(dst []byte, p *loop.Publication) ([]byte, int) {
			if p.Kind.Notice() {
				return dst, -1
			}
			frame := protocol.AppendV1(dst, p.Value)
			return frame, len(frame) - 1 - len(p.Value)
		},
		Size: func(p *loop.Publication) int { return protocol.SizeV1(len(p.Value)) },
	}
	all[variantRaw] = loop.Encoding{
		Append: func(dst []byte, p *loop.Publication) ([]byte, int) {
			if p.Kind.Notice() {
				return dst, -1
			}
			frame := protocol.AppendRaw(dst, p.Kind == loop.KindBinary, p.Value)
			return frame, len(frame) - len(p.Value)
		},
		Size: func(p *loop.Publication) int { return protocol.SizeRaw(len(p.Value)) },
	}
	one := func(*loop.Publication) string { return "" }
	many := func(p *loop.Publication) string { return strings.TrimPrefix(p.Room, chatPrefix) }
	all[variantV2], all[variantMany] = encodingV2(one), encodingV2(many)
	all[variantV2Presence], all[variantManyPresence] = watching(variantV2, one), watching(variantMany, many)
	all[variantSSE] = encodingSSE()
	return all
}

// encodingV2 is the encoding of version 2. named returns the name of the room that the frames have, "" if they have none.
func encodingV2(named func(*loop.Publication) string) loop.Encoding {
	return loop.Encoding{
		Append: func(dst []byte, p *loop.Publication) ([]byte, int) {
			switch p.Kind {
			case loop.KindPresence:
				return dst, -1
			case loop.KindGap:
				return protocol.AppendGap(dst, named(p), positionOrNil(p.ID), protocol.GapBackend, -1), -1
			case loop.KindMark:
				return protocol.AppendMark(dst, named(p), position(p.ID)), -1
			}
			m := message(p, named(p))
			frame := m.Append(dst)
			return frame, len(frame) - 1 - len(p.Value)
		},
		Size: func(p *loop.Publication) int {
			if p.Kind.Notice() {
				return 128 // about: there are few of them
			}
			m := message(p, named(p))
			return m.Size()
		},
		NeedsID: true,
		SetID:   func(frame []byte, p *loop.Publication) { protocol.SetPosition(frame, position(p.ID)) },
	}
}

// watching is the encoding of events of presence for members that watch; their other frames are those of the plain variant.
func watching(plain loop.Variant, named func(*loop.Publication) string) loop.Encoding {
	return loop.Encoding{
		Append: func(dst []byte, p *loop.Publication) ([]byte, int) {
			return protocol.AppendPresence(dst, named(p), positionOrNil(p.ID), p.Value), -1
		},
		Size:    func(p *loop.Publication) int { return 64 + len(named(p)) + len(p.Value) }, // about: there are few of them
		NeedsID: true,
		Watches: true,
		Plain:   plain,
	}
}

// encodingSSE is the encoding of a stream of events: the objects of version 2.
func encodingSSE() loop.Encoding {
	return loop.Encoding{
		Append: func(dst []byte, p *loop.Publication) ([]byte, int) {
			at := positionOrNil(p.ID)
			switch p.Kind {
			case loop.KindGap:
				return protocol.AppendSSEFrame(dst, at, protocol.AppendGap(nil, "", at, protocol.GapBackend, -1)), -1
			case loop.KindMark:
				return protocol.AppendSSEFrame(dst, at, protocol.AppendMark(nil, "", *at)), -1
			case loop.KindPresence: // a reader does not watch
				return dst, -1
			}
			m := message(p, "")
			return m.AppendSSE(dst), -1 // the value may differ in its white space
		},
		Size: func(p *loop.Publication) int {
			if p.Kind.Notice() {
				return 128 // about: there are few of them
			}
			m := message(p, "")
			return m.SizeSSE()
		},
		NeedsID: true,
	}
}

// message returns the form of a publication in version 2.
func message(p *loop.Publication, room string) protocol.MessageV2 {
	m := protocol.MessageV2{Room: room, Value: p.Value}
	m.Me, m.Ref = sender(p)
	if p.ID.Tag != 0 {
		m.HasPosition, m.Position = true, position(p.ID)
	}
	return m
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
