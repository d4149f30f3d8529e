package proof

// flight has the messages of a room that some members have and others do not:
// one counter for each, by position in the order of the room. It finds the
// first and the last arrival of a message without a table of messages.
type flight struct {
	base  uint32   // position of the first counter
	waits []uint16 // members that have not got the message yet
	head  int
	lost  bool // members got different messages: positions mean nothing any more
}

const (
	maxFlight = 1 << 16
	maxWaits  = 1<<16 - 1
)

// arrived records that one of the room's members got the message at a position.
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

// landed drops messages that all members have.
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

// without removes a member that got every message before a position.
func (f *flight) without(place uint32) {
	for i := int(place-f.base) + f.head; place >= f.base && i < len(f.waits); i++ {
		f.waits[i]--
	}
	f.landed()
}
