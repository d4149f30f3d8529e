package redisbridge

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"strings"
)

// The names of keys and channels in Redis. Clients cannot choose any part of these names. Names of rooms are only values, and
// fields of the hashes with counts.
//
//	dots:meta                 how the nodes divide the rooms into lanes
//	dots:nodes                the nodes that were seen
//	dots:node:ID              lease of a node
//	dots:{3.0}:state          lane 3: epoch, seq, and the last batch of each node
//	dots:{3.0}:log            lane 3: published batches, which can be read again
//	dots:{3.0}:log:EPOCH      lane 3: the log of an epoch that is over
//	dots:{3.0}:counts:ID      lane 3: members of each room on a node
//	dots:{3.0}:beat           never exists (beat.go)
//	dots:{3.0}                the channel of lane 3; dots:{3.0}:db:1 in database 1
//
// On a Cluster the part in braces decides the slot. The names are chosen so that lane i of n has a slot in the i-th of n equal
// parts of all slots. So the lanes spread over the servers if each server has contiguous ranges of slots.
type names struct {
	prefix string
	db     int // number of the database; channels, unlike keys, are shared by all databases of a Redis
	tags   []string
}

// slots is the number of slots of a Redis Cluster.
const slots = 16384

func newNames(prefix string, lanes int) *names {
	n := &names{prefix: prefix}
	for i := range lanes {
		n.tags = append(n.tags, laneTag(i, lanes))
	}
	return n
}

func laneTag(lane, lanes int) string {
	for k := 0; ; k++ {
		tag := strconv.Itoa(lane) + "." + strconv.Itoa(k)
		if slotOf(tag)*lanes/slots == lane {
			return tag
		}
	}
}

func (n *names) meta() string             { return n.prefix + ":meta" }
func (n *names) nodes() string            { return n.prefix + ":nodes" }
func (n *names) lease(node string) string { return n.prefix + ":node:" + node }
func (n *names) lane(lane int) string     { return n.prefix + ":{" + n.tags[lane] + "}" }
func (n *names) state(lane int) string    { return n.lane(lane) + ":state" }
func (n *names) log(lane int) string      { return n.lane(lane) + ":log" }
func (n *names) beat(lane int) string     { return n.lane(lane) + ":beat" }
func (n *names) counts(lane int, node string) string {
	return n.lane(lane) + ":counts:" + node
}
func (n *names) channel(lane int) string { return n.lane(lane) + n.database() }

// database returns the suffix of channel names for the database.
func (n *names) database() string {
	if n.db == 0 {
		return ""
	}
	return ":db:" + strconv.Itoa(n.db)
}

// owns reports whether a channel belongs to this database. Its name must begin like the names of the lanes' channels.
func (n *names) owns(channel string) bool { return strings.HasSuffix(channel, "}"+n.database()) }

// slotOf is the slot of a hash tag: CRC-16/XMODEM, according to the Redis Cluster specification.
func slotOf(tag string) int {
	crc := uint16(0)
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			carry := crc & 0x8000
			crc <<= 1
			if carry != 0 {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % slots
}

// sipHash is SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"). Its values stay evenly spread even if an
// attacker who does not know the key chooses the names. The standard library offers such a hash only with a random key per
// process, but all nodes must use the same key.
func sipHash[T string | []byte](k0, k1 uint64, text T) uint64 {
	v0, v1 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d
	v2, v3 := k0^0x6c7967656e657261, k1^0x7465646279746573
	round := func() {
		v0, v2 = v0+v1, v2+v3
		v1, v3 = bits.RotateLeft64(v1, 13)^v0, bits.RotateLeft64(v3, 16)^v2
		v0 = bits.RotateLeft64(v0, 32) + v3
		v2 += v1
		v3, v1 = bits.RotateLeft64(v3, 21)^v0, bits.RotateLeft64(v1, 17)^v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	word := func(m uint64) {
		v3 ^= m
		round()
		round()
		v0 ^= m
	}
	last := uint64(len(text)) << 56
	var b [8]byte
	for ; len(text) >= 8; text = text[8:] {
		copy(b[:], text)
		word(binary.LittleEndian.Uint64(b[:]))
	}
	b = [8]byte{}
	copy(b[:], text)
	word(last | binary.LittleEndian.Uint64(b[:]))
	v2 ^= 0xff
	for range 4 {
		round()
	}
	return v0 ^ v1 ^ v2 ^ v3
}
