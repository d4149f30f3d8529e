package proof

// flight is the messages of a room that some members have and others have not:
// one counter each, by the place that it has in the order of the room. It tells
// the first and the last arrival of a message without a table of messages.
type flight struct {
	base  uint32   // place of the first counter
	waits []uint16 // members that have not got it yet
	head  int
	lost  bool // what members got does not match: places mean nothing any more
}

const (
	maxFlight = 1 << 16
	maxWaits  = 1<<16 - 1
)

// arrived enters that one of so many members got the message at a place.
func (f *flight) arrived(place uint32, members int) (first, last bool) {
	if f.lost || members > maxWaits {
		return false, false
	}
	i := int(place-f.base) + f.head
	switch {
	case place < f.base || i > len(f.waits) || i-f.head > maxFlight:
		f.lost, f.waits = true, nil
		return false, false
	case i == len(f.waits):
		f.waits = append(f.waits, uint16(members))
		first = true
	}
	f.waits[i]--
	last = f.waits[i] == 0
	f.landed()
	return first, last
}

// landed drops what all have.
func (f *flight) landed() {
	for f.head < len(f.waits) && f.waits[f.head] == 0 {
		f.head++
		f.base++
	}
	if f.head == len(f.waits) || f.head > maxFlight/16 {
		f.waits = f.waits[:copy(f.waits, f.waits[f.head:])]
		f.head = 0
	}
}

// without takes a member out that has got everything before a place.
func (f *flight) without(place uint32) {
	for i := int(place-f.base) + f.head; place >= f.base && i < len(f.waits); i++ {
		f.waits[i]--
	}
	f.landed()
}
