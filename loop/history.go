package loop

import "encoding/binary"

// A history keeps the latest publications of a lane, so that a member that was away can get what it missed (repeat.go). It is
// limited in bytes and in age, for all rooms of the lane together: it needs no setting and no memory for each room beyond one
// entry of a map, and a room that nobody uses any more costs nothing once its publications are gone.
//
// Publications lie one behind the other in segments of 256 KiB. Each refers to the one before it in the same room, and a map has
// the latest of each room. So the publications that a member missed are found from the end, and those of other rooms are not
// looked at. A whole segment is dropped at once, the oldest first.
//
// The mutex of the lane guards a history.
type history struct {
	limit int64  // bytes of all segments and of the map
	age   uint32 // ticks after which a segment is dropped; 0: never

	partial  bool   // the node may be behind other nodes
	walked   uint64 // publications that plan has looked at
	fresh    bool   // nothing is kept until the next batch
	filling  bool   // the bus is about to give what came before (fill.go)
	bytes    int64
	floor    ID             // every later publication of the lane is here
	start    ID             // floor at the last restart
	segments []*segment     // the oldest first
	first    uint32         // number of segments[0]
	rooms    map[string]int // index in chains
	chains   []chain
	free     []int // indexes in chains that are not used
}

// segment is a part of a history. Its number is its place among all segments that the history ever had.
type segment struct {
	buf  []byte
	last ID     // of its last publication
	tick uint32 // when that was appended
}

// chain is a room in a history.
type chain struct {
	room   string
	newest loc // of its latest publication
}

// loc is where a publication lies: the number of its segment in the upper half, the offset in the lower. 0 is nowhere.
type loc uint64

const (
	segmentSize = 256 << 10
	// roomMemory is about what a room takes in rooms and chains, without its name.
	roomMemory = 80
)

// A record is prev (8 bytes) · chain (4) · seq (8) · index (4) · me (8) · ref (8) · length of the value (4) · kind (1) · value.
const recordSize = 45

// record is a publication in a history. value shares the memory of the history, so it is valid while the lane's mutex is held.
type record struct {
	prev  loc
	id    ID
	by    Sender
	kind  Kind
	value []byte
}

func newHistory(limit int64, age uint32, floor ID) *history {
	return &history{limit: limit, age: age, floor: floor, start: floor, first: 1, rooms: map[string]int{}}
}

// restart forgets everything: only what is behind floor is kept from now on.
func (h *history) restart(floor ID) {
	partial, filling := h.partial, h.filling
	next := h.first + uint32(len(h.segments)) // members may hold locations in the dropped segments
	*h = *newHistory(h.limit, h.age, floor)
	h.first, h.partial, h.filling = next, partial, filling
}

// name returns the name of a room, without an allocation if the history has it.
func (h *history) name(room []byte) string {
	if i, ok := h.rooms[string(room)]; ok {
		return h.chains[i].room
	}
	return string(room)
}

// append adds a publication, whose id is greater than that of all others.
func (h *history) append(room string, p *Publication, tick uint32) {
	size := recordSize + len(p.Value)
	s := h.room(size)
	i, known := h.rooms[room]
	if !known {
		i = h.newChain(room)
	}
	at := loc(h.first+uint32(len(h.segments))-1)<<32 | loc(len(s.buf))
	b := binary.BigEndian.AppendUint64(s.buf, uint64(h.chains[i].newest))
	b = binary.BigEndian.AppendUint32(b, uint32(i))
	b = binary.BigEndian.AppendUint64(b, p.ID.Seq)
	b = binary.BigEndian.AppendUint32(b, p.ID.Index)
	var by Sender
	if p.By != nil {
		by = *p.By
	}
	b = binary.BigEndian.AppendUint64(b, by.Me)
	b = binary.BigEndian.AppendUint64(b, by.Ref)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.Value)))
	s.buf = append(append(b, byte(p.Kind)), p.Value...)
	s.last, s.tick = p.ID, tick
	h.chains[i].newest = at
	h.shrink(tick)
}

// room returns the segment into which the next record goes.
func (h *history) room(size int) *segment {
	if n := len(h.segments); n > 0 {
		if s := h.segments[n-1]; len(s.buf)+size <= cap(s.buf) {
			return s
		}
	}
	s := &segment{buf: make([]byte, 0, max(segmentSize, size))}
	h.segments = append(h.segments, s)
	h.bytes += int64(cap(s.buf))
	return s
}

func (h *history) newChain(room string) (i int) {
	if n := len(h.free); n > 0 {
		i, h.free = h.free[n-1], h.free[:n-1]
		h.chains[i] = chain{room: room}
	} else {
		i = len(h.chains)
		h.chains = append(h.chains, chain{room: room})
	}
	h.rooms[room] = i
	h.bytes += roomMemory + int64(len(room))
	return i
}

// shrink drops the oldest segments while there are too many bytes, or they are too old. The newest segment stays if it is not too
// old: it is the one that is being filled.
func (h *history) shrink(tick uint32) {
	for len(h.segments) > 1 && h.bytes > h.limit || h.age > 0 && len(h.segments) > 0 && tick-h.segments[0].tick > h.age {
		h.drop()
	}
}

// drop drops the oldest segment, and the rooms that have nothing in later ones.
func (h *history) drop() {
	s := h.segments[0]
	for at := 0; at < len(s.buf); {
		i := binary.BigEndian.Uint32(s.buf[at+8:])
		if c := &h.chains[i]; c.newest == loc(h.first)<<32|loc(at) {
			delete(h.rooms, c.room)
			h.bytes -= roomMemory + int64(len(c.room))
			*c = chain{}
			h.free = append(h.free, int(i))
		}
		at += recordSize + int(binary.BigEndian.Uint32(s.buf[at+40:]))
	}
	h.bytes -= int64(cap(s.buf))
	h.floor = s.last
	h.segments[0] = nil
	h.segments = h.segments[1:]
	h.first++
}

// at returns the record at l, and false if it was dropped.
func (h *history) at(l loc) (r record, ok bool) {
	n := uint32(l >> 32)
	if n < h.first || l == 0 {
		return record{}, false
	}
	b := h.segments[n-h.first].buf[uint32(l):]
	size := binary.BigEndian.Uint32(b[40:])
	return record{
		prev:  loc(binary.BigEndian.Uint64(b)),
		id:    ID{Tag: h.floor.Tag, Seq: binary.BigEndian.Uint64(b[12:]), Index: binary.BigEndian.Uint32(b[20:])},
		by:    Sender{binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:])},
		kind:  Kind(b[44]),
		value: b[recordSize : recordSize+size : recordSize+size],
	}, true
}

// newest returns where the latest publication of the room is, 0 if there is none.
func (h *history) newest(room string) loc {
	if i, ok := h.rooms[room]; ok {
		return h.chains[i].newest
	}
	return 0
}

// half returns a position in the middle of the history: behind it there is at least half of what the history can hold.
func (h *history) half(tick uint32) ID {
	at := h.floor
	for i, s := range h.segments {
		old := h.age > 0 && tick-s.tick > h.age/2
		full := h.bytes > h.limit/2 && i < len(h.segments)/2
		if !old && !full {
			break
		}
		at = s.last
	}
	return at
}
