package redisbridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dotsconnect/loop"
)

// A batch on the wire, all numbers as varints unless they say otherwise:
//
//	version 1 byte · node 8 bytes · n · count · count x (kind 1 byte · room length · room · value length · value)
//
// In the log of a lane it stands as it is. In the lane's channel "EPOCH SEQ " stands before it: only the script knows
// them. node and n name a batch for ever: whatever happened to Redis, a batch with a name that a receiver knows is not new.

// batchVersion is the first byte; it also stands in the meta key, so that nodes of different formats do not meet.
const batchVersion = 1

// nodeID is one run of a node, random. 0 is nobody.
type nodeID uint64

func (id nodeID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// ident is the name of a batch.
type ident struct {
	node nodeID
	n    uint64 // of the node in the lane, from 1
}

const (
	maxRoom  = 1 << 10
	maxValue = 64 << 20
)

var errBatch = errors.New("this is no batch")

// appendBatch appends a batch to dst.
func appendBatch(dst []byte, id ident, pubs []*loop.Publication) []byte {
	dst = append(dst, batchVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(id.node))
	dst = binary.AppendUvarint(dst, id.n)
	dst = binary.AppendUvarint(dst, uint64(len(pubs)))
	for _, p := range pubs {
		dst = append(dst, byte(p.Kind))
		dst = binary.AppendUvarint(dst, uint64(len(p.Room)))
		dst = append(dst, p.Room...)
		dst = binary.AppendUvarint(dst, uint64(len(p.Value)))
		dst = append(dst, p.Value...)
	}
	return dst
}

// parseIdent reads the name of a batch and returns the rest.
func parseIdent(b string) (id ident, rest string, err error) {
	if len(b) < 10 || b[0] != batchVersion {
		return ident{}, "", errBatch
	}
	for _, c := range []byte(b[1:9]) {
		id.node = id.node<<8 | nodeID(c)
	}
	rest = b[9:]
	if id.n, err = cutUvarint(&rest); err != nil || id.node == 0 || id.n == 0 {
		return ident{}, "", errBatch
	}
	return id, rest, nil
}

// parseBatch reads a whole batch. Rooms share the bytes of b; each value is a copy.
func parseBatch(b string) (id ident, pubs []*loop.Publication, err error) {
	id, rest, err := parseIdent(b)
	if err != nil {
		return ident{}, nil, err
	}
	count, err := cutUvarint(&rest)
	if err != nil || count > uint64(len(rest))/3 { // three bytes are the shortest publication
		return ident{}, nil, errBatch
	}
	pubs = make([]*loop.Publication, 0, count)
	for range count {
		p, err := cutPublication(&rest)
		if err != nil {
			return ident{}, nil, err
		}
		pubs = append(pubs, p)
	}
	if rest != "" {
		return ident{}, nil, errBatch
	}
	return id, pubs, nil
}

func cutPublication(rest *string) (*loop.Publication, error) {
	if *rest == "" {
		return nil, errBatch
	}
	kind := loop.Kind((*rest)[0])
	*rest = (*rest)[1:]
	room, err := cutText(rest, maxRoom)
	if err != nil || kind > loop.KindBinary {
		return nil, errBatch
	}
	value, err := cutText(rest, maxValue)
	if err != nil {
		return nil, err
	}
	return &loop.Publication{Room: room, Value: []byte(value), Kind: kind}, nil
}

func cutText(rest *string, limit uint64) (string, error) {
	n, err := cutUvarint(rest)
	if err != nil || n > limit || n > uint64(len(*rest)) {
		return "", errBatch
	}
	text := (*rest)[:n]
	*rest = (*rest)[n:]
	return text, nil
}

func cutUvarint(rest *string) (x uint64, err error) {
	for i := range min(len(*rest), binary.MaxVarintLen64) {
		c := (*rest)[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		x |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			*rest = (*rest)[i+1:]
			return x, nil
		}
	}
	return 0, errBatch
}

// message is a batch as it comes through the channel.
type message struct {
	at    place
	batch string
}

func parseMessage(payload string) (m message, err error) {
	epoch, rest, ok := strings.Cut(payload, " ")
	seq, batch, ok2 := strings.Cut(rest, " ")
	if !ok || !ok2 || !validEpoch(epoch) {
		return message{}, errBatch
	}
	n, err := strconv.ParseUint(seq, 10, 53)
	if err != nil || n == 0 {
		return message{}, errBatch
	}
	return message{place{epoch, n}, batch}, nil
}

// place is a number in a lane's order. An epoch is 16 hexadecimal digits, a later one is greater; "" is before all.
type place struct {
	epoch string
	seq   uint64
}

func (a place) before(b place) bool {
	return a.epoch < b.epoch || a.epoch == b.epoch && a.seq < b.seq
}

func validEpoch(epoch string) bool {
	return len(epoch) == 16 && strings.Trim(epoch, "0123456789abcdef") == ""
}

// number is the epoch for loop.ID.
func (a place) number() uint64 {
	n, _ := strconv.ParseUint(a.epoch, 16, 64) // checked where it came in
	return n
}
