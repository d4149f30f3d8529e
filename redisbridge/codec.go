package redisbridge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dotsconnect/loop"
)

// A batch is what a node publishes in a lane with one call. The log of the lane has it unchanged. In the lane's channel "EPOCH
// SEQ " precedes it, because only the script knows them. Its first byte is the format; format1.go and format2.go describe the
// rest.
//
// A node reads both formats. It writes the format that the nodes have agreed upon in the meta key, so that two versions of the
// program can run side by side until the older one is gone.

// nodeID names one run of a node. It is random; 0 means no node.
type nodeID uint64

func (id nodeID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// ident is the permanent name of a batch. Whatever happened to Redis, a batch whose name a receiver knows is not new.
type ident struct {
	node nodeID
	n    uint64 // of the node in the lane, from 1
}

// batch is the content of a batch that was read.
type batch struct {
	id     ident
	pubs   []*loop.Publication // into rooms with members here, with their index
	notice *notice             // nil: there is none; of its rooms it has those with members here
}

// rooms returns the rooms of the publications.
func (all *batch) rooms() (rooms []string) {
	for _, p := range all.pubs {
		if !slices.Contains(rooms, p.Room) {
			rooms = append(rooms, p.Room)
		}
	}
	return rooms
}

// finder returns the name of a room if it has members here, and false for any other room. name is valid until it returns.
type finder func(name []byte) (string, bool)

const (
	maxRoom  = 1 << 10
	maxValue = 64 << 20
)

var errBatch = errors.New("this is not a batch")

// appendBatch appends a batch in one of the formats to dst. Format 2 wants pubs sorted by room; only it has notices.
func appendBatch(dst []byte, format int, id ident, pubs []*loop.Publication, n *notice) []byte {
	if format == 1 {
		return appendBatch1(dst, id, pubs)
	}
	return appendBatch2(dst, id, pubs, n)
}

// parseBatch reads a whole batch of any format. The result shares no bytes with b.
func parseBatch(b []byte, find finder) (batch, error) {
	if len(b) > 0 {
		switch b[0] {
		case 1:
			return parseBatch1(b, find)
		case 2:
			return parseBatch2(b, find)
		}
	}
	return batch{}, errBatch
}

// nobody is a finder for which no room has members here.
func nobody([]byte) (string, bool) { return "", false }

// checkBatch reads the name of a batch, after checking that it is whole.
func checkBatch(b []byte) (ident, error) {
	all, err := parseBatch(b, nobody)
	return all.id, err
}

// senderOf is the node that a batch names as its sender, 0 if the batch is too short. Nothing is checked.
func senderOf(b []byte) nodeID {
	at := 1
	if len(b) > 0 && b[0] == 2 {
		at = 5
	}
	if len(b) < at+8 {
		return 0
	}
	return nodeID(binary.BigEndian.Uint64(b[at:]))
}

// appendIdent appends the name of a batch.
func appendIdent(dst []byte, id ident) []byte {
	return binary.AppendUvarint(binary.BigEndian.AppendUint64(dst, uint64(id.node)), id.n)
}

// cutIdent takes the name of a batch from the beginning of rest.
func cutIdent(rest *[]byte) (id ident, err error) {
	if len(*rest) < 9 {
		return ident{}, errBatch
	}
	id.node = nodeID(binary.BigEndian.Uint64(*rest))
	*rest = (*rest)[8:]
	if id.n, err = cutUvarint(rest); err != nil || id.node == 0 || id.n == 0 {
		return ident{}, errBatch
	}
	return id, nil
}

// cutText takes a text from the beginning of rest, where its length precedes it.
func cutText(rest *[]byte, limit uint64) ([]byte, error) {
	n, err := cutUvarint(rest)
	if err != nil || n > limit || n > uint64(len(*rest)) {
		return nil, errBatch
	}
	text := (*rest)[:n]
	*rest = (*rest)[n:]
	return text, nil
}

func cutUvarint(rest *[]byte) (x uint64, err error) {
	x, n := binary.Uvarint(*rest)
	if n <= 0 {
		return 0, errBatch
	}
	*rest = (*rest)[n:]
	return x, nil
}

func appendText[T string | []byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// sizeUvarint is how many bytes a number takes.
func sizeUvarint(x uint64) (n int) {
	for n = 1; x >= 0x80; n++ {
		x >>= 7
	}
	return n
}

func sizeText(n int) int { return sizeUvarint(uint64(n)) + n }

// message is a batch as it comes through the channel. batch shares the bytes of the payload.
type message struct {
	at    place
	batch []byte
}

func parseMessage(payload []byte) (m message, err error) {
	epoch, rest, ok := bytes.Cut(payload, []byte(" "))
	seq, batch, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 {
		return message{}, errBatch
	}
	if m.at, err = parsePlace(epoch, seq); err != nil || m.at.epoch == "" || m.at.seq == 0 {
		return message{}, errBatch
	}
	m.batch = batch
	return m, nil
}

// place is a position in a lane's order. An epoch is 16 hexadecimal digits, and a later one is greater; "" is before all.
type place struct {
	epoch string
	seq   uint64
}

// parsePlace reads a counter. If epoch is "", there is none.
func parsePlace(epoch, seq []byte) (place, error) {
	if len(epoch) == 0 {
		return place{}, nil
	}
	n, err := strconv.ParseUint(string(seq), 10, 53)
	if err != nil || !validEpoch(string(epoch)) {
		return place{}, errReply
	}
	return place{string(epoch), n}, nil
}

func (a place) before(b place) bool {
	return a.epoch < b.epoch || a.epoch == b.epoch && a.seq < b.seq
}

func validEpoch(epoch string) bool {
	return len(epoch) == 16 && strings.Trim(epoch, "0123456789abcdef") == ""
}

// number is the epoch for loop.ID.
func (a place) number() uint64 {
	n, _ := strconv.ParseUint(a.epoch, 16, 64) // checked when it arrived
	return n
}
