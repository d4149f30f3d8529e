package proof

// flight finds the first and the last arrival of each message of a room without
// a table of messages. It has one counter for each message that some members
// have got and others have not. The counters are in the order of the room.
type flight struct {
	base  uint32   // position of the message to which waits[head] belongs
	waits []uint16 // by message: number of members that have not got it yet
	head  int
	lost  bool // members got different messages at one position, so the counters are no longer valid
}

const (
	maxFlight = 1 << 16
	maxWaits  = 1<<16 - 1
)

// arrived records that a member got the message at position place. It reports
// whether that member was the first or the last one.
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

// landed drops the counters of messages that all members have got.
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

// without removes a member that has got all messages before position place.
func (f *flight) without(place uint32) {
	for i := int(place-f.base) + f.head; place >= f.base && i < len(f.waits); i++ {
		f.waits[i]--
	}
	f.landed()
}
