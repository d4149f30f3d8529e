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

// A batch contains the publications that a node sends into a lane with one call. It is stored unchanged in the log of the lane.
// In the lane's channel the text "EPOCH SEQ " precedes the batch, because only publish.lua knows the epoch and the seq. The
// first byte of a batch is its format; format1.go and format2.go describe the rest.
//
// A node reads both formats. It writes the format that the nodes have agreed upon in the meta key. So two versions of the
// program can run side by side until no node of the older version is left.

// nodeID names one run of a node. It is random; 0 means no node.
type nodeID uint64

func (id nodeID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// ident is the permanent name of a batch. If a receiver knows the name of a batch, it had the batch before, whatever happened
// to Redis since then.
type ident struct {
	node nodeID
	n    uint64 // number of the batch among the node's batches in the lane, from 1
}

// batch is the content of a batch that was read.
type batch struct {
	id     ident
	pubs   []*loop.Publication // publications into rooms with members here, each with its index
	notice *notice             // nil: the batch has none; it names only rooms with members here
}

// rooms returns the rooms of the messages.
func (all *batch) rooms() (rooms []string) {
	for _, p := range all.pubs {
		if !ofPresence(p) && !slices.Contains(rooms, p.Room) {
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

// appendBatch appends a batch in the given format to dst. Format 2 needs pubs sorted by room, and only format 2 can carry a notice.
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

// nobody is a finder that finds no room.
func nobody([]byte) (string, bool) { return "", false }

// checkBatch checks that a batch is whole, and returns its name.
func checkBatch(b []byte) (ident, error) {
	all, err := parseBatch(b, nobody)
	return all.id, err
}

// senderOf returns the node that a batch names as its sender, or 0 if the batch is too short. senderOf checks nothing else.
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

// cutText takes a text from the beginning of rest. The length of the text precedes it.
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

// sizeUvarint returns the number of bytes that x takes as a varint.
func sizeUvarint(x uint64) (n int) {
	for n = 1; x >= 0x80; n++ {
		x >>= 7
	}
	return n
}

func sizeText(n int) int { return sizeUvarint(uint64(n)) + n }

// message is a batch as it comes through the channel. Its field batch shares the bytes of the payload.
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

// place is a position in a lane's order. An epoch is 16 hexadecimal digits; a later epoch is greater, and "" is before all
// others.
type place struct {
	epoch string
	seq   uint64
}

// parsePlace reads a lane's counter. If the epoch of the result is "", there is no counter.
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

// number returns the epoch as a number for loop.ID.
func (a place) number() uint64 {
	n, _ := strconv.ParseUint(a.epoch, 16, 64) // cannot fail: the digits were checked when the place was read
	return n
}
