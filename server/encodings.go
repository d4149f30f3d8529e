package server

import (
	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// The variants of frames. They are indices into the encodings of a loop.
const (
	variantV1 loop.Variant = iota
	variantRaw
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
	return all
}
