package redisbridge

import (
	"encoding/binary"

	"dotsconnect/loop"
)

// Format 1 is the only format that version 1 of the program knows. All numbers are varints unless stated otherwise:
//
//	1 (one byte) · node (8 bytes) · n · count · count x (kind (one byte) · room length · room · value length · value)

func appendBatch1(dst []byte, id ident, pubs []*loop.Publication) []byte {
	dst = appendIdent(append(dst, 1), id)
	dst = binary.AppendUvarint(dst, uint64(len(pubs)))
	for _, p := range pubs {
		dst = appendText(appendText(append(dst, byte(p.Kind)), p.Room), p.Value)
	}
	return dst
}

func parseBatch1(b []byte, find finder) (all batch, err error) {
	rest := b[1:]
	if all.id, err = cutIdent(&rest); err != nil {
		return batch{}, err
	}
	count, err := cutUvarint(&rest)
	if err != nil || count > uint64(len(rest))/3 { // the shortest publication has three bytes
		return batch{}, errBatch
	}
	for i := range uint32(count) {
		if len(rest) == 0 || loop.Kind(rest[0]) > loop.KindBinary {
			return batch{}, errBatch
		}
		kind := loop.Kind(rest[0])
		rest = rest[1:]
		name, err := cutText(&rest, maxRoom)
		if err != nil {
			return batch{}, err
		}
		value, err := cutText(&rest, maxValue)
		if err != nil {
			return batch{}, err
		}
		if room, here := find(name); here {
			all.pubs = append(all.pubs, received(room, kind, value, i))
		}
	}
	if len(rest) > 0 {
		return batch{}, errBatch
	}
	return all, nil
}

// received makes a publication that came from another node.
func received(room string, kind loop.Kind, value []byte, index uint32) *loop.Publication {
	return &loop.Publication{Room: room, Value: append(make([]byte, 0, len(value)), value...), Kind: kind, ID: loop.ID{Index: index}}
}
