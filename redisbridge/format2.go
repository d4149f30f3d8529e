package redisbridge

import (
	"encoding/binary"
	"hash/crc32"

	"dotsconnect/loop"
)

// Format 2 consists of sections that can be skipped by their length. So a room without members here costs no more than the
// reading of its name, and a later version can add new kinds of sections and publications, and new fields in them. All numbers
// are varints unless stated otherwise:
//
//	2 (one byte) · CRC32C of all that follows (4 bytes) · node (8 bytes) · n · sections: kind (one byte) · length · body
//	  kind 1, the publications of a room: room length · room · count · count x publication
//	    publication: kind (one byte) · value length · value; if bit 7 of the kind is set, length · fields that a reader may skip
//	  kind 2, a notice (notice.go): messages · 1 if there are rooms that it does not name (one byte) · rooms: length · name
//
// The index of a publication is its number among all publications of the batch, including those in skipped sections.

const (
	sectionRoom   = 1
	sectionNotice = 2
	withFields    = 0x80
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendBatch2(dst []byte, id ident, pubs []*loop.Publication, n *notice) []byte {
	head := len(dst)
	dst = appendIdent(append(dst, 2, 0, 0, 0, 0), id)
	if n != nil {
		dst = appendText(append(dst, sectionNotice), n.append(nil))
	}
	for len(pubs) > 0 {
		count := 1
		for count < len(pubs) && pubs[count].Room == pubs[0].Room {
			count++
		}
		dst = appendRoom(dst, pubs[:count])
		pubs = pubs[count:]
	}
	binary.BigEndian.PutUint32(dst[head+1:], crc32.Checksum(dst[head+5:], castagnoli))
	return dst
}

func appendRoom(dst []byte, pubs []*loop.Publication) []byte {
	size := sizeText(len(pubs[0].Room)) + sizeUvarint(uint64(len(pubs)))
	for _, p := range pubs {
		size += 1 + sizeText(len(p.Value)) + sizeFields(p)
	}
	dst = binary.AppendUvarint(append(dst, sectionRoom), uint64(size))
	dst = binary.AppendUvarint(appendText(dst, pubs[0].Room), uint64(len(pubs)))
	for _, p := range pubs {
		if p.By == nil {
			dst = appendText(append(dst, byte(p.Kind)), p.Value)
			continue
		}
		dst = appendText(append(dst, byte(p.Kind)|withFields), p.Value)
		dst = appendText(dst, appendFields(nil, p))
	}
	return dst
}

// The fields of a publication are: its sender (8 bytes) · its ref (varint). A publication without a ref has none.
func appendFields(dst []byte, p *loop.Publication) []byte {
	return binary.AppendUvarint(binary.BigEndian.AppendUint64(dst, p.By.Me), p.By.Ref)
}

func sizeFields(p *loop.Publication) int {
	if p.By == nil {
		return 0
	}
	return sizeText(8 + sizeUvarint(p.By.Ref))
}

// readFields reads the fields of a publication. Fields that are too short come from a version that we do not know, and a later
// version may add others behind ours.
func readFields(p *loop.Publication, fields []byte) {
	if len(fields) < 9 {
		return
	}
	me := binary.BigEndian.Uint64(fields)
	fields = fields[8:]
	if ref, err := cutUvarint(&fields); err == nil && (ref > 0 || p.Kind == loop.KindFence) {
		p.By = &loop.Sender{Me: me, Ref: ref}
	}
}

func parseBatch2(b []byte, find finder) (all batch, err error) {
	if len(b) < 5 || binary.BigEndian.Uint32(b[1:]) != crc32.Checksum(b[5:], castagnoli) {
		return batch{}, errBatch
	}
	rest := b[5:]
	if all.id, err = cutIdent(&rest); err != nil {
		return batch{}, err
	}
	index := uint32(0)
	for len(rest) > 0 {
		kind := rest[0]
		rest = rest[1:]
		body, err := cutText(&rest, maxValue)
		if err != nil {
			return batch{}, err
		}
		switch kind {
		case sectionRoom:
			err = all.room(body, &index, find)
		case sectionNotice:
			all.notice, err = parseNotice(body, find)
		}
		if err != nil {
			return batch{}, err
		}
	}
	return all, nil
}

// room reads the publications of a room, if it has members here.
func (all *batch) room(body []byte, index *uint32, find finder) error {
	name, err := cutText(&body, maxRoom)
	if err != nil {
		return err
	}
	count, err := cutUvarint(&body)
	if err != nil || count > uint64(len(body))/2 { // the shortest publication has two bytes
		return errBatch
	}
	first := *index
	*index += uint32(count)
	room, here := find(name)
	if !here {
		return nil
	}
	for i := range uint32(count) {
		if len(body) == 0 {
			return errBatch
		}
		kind := body[0]
		body = body[1:]
		value, err := cutText(&body, maxValue)
		var fields []byte
		if err == nil && kind&withFields != 0 {
			fields, err = cutText(&body, maxValue)
		}
		if err != nil {
			return err
		}
		if kind := loop.Kind(kind &^ withFields); kind <= loop.KindPresence {
			p := received(room, kind, value, first+i)
			readFields(p, fields)
			if kind == loop.KindFence && p.By == nil {
				continue // it fences nobody
			}
			all.pubs = append(all.pubs, p)
		}
	}
	if len(body) > 0 {
		return errBatch
	}
	return nil
}
