package load

import "sort"

// sends remembers the messages that this generator has sent: the sender, the
// number, the intended time, and how late each was sent. A receiver looks up
// the stamp of a message here, so a stamp in which any bit has changed is found,
// also one of its time. A message takes 12 bytes.
//
// Intended times never decrease from one message to the next, so a look-up is a
// binary search. The messages are kept in chunks, because a slice that grows
// would be copied, and the copy would delay a message.
type sends struct {
	base   int64 // time in us from which the times of the entries count
	chunks []*[sendsChunk]sent
	n      int
}

// sent is one message.
type sent struct {
	key  uint32 // hash of sender and number
	time uint32 // lower bits of the intended time in us since base
	more uint32 // upper bits of the time (4), and how late the message was sent, in us (28)
}

const (
	sendsChunk = 1 << 12
	lateBits   = 28
	maxLateUs  = 1<<lateBits - 1
)

func (s *sends) entry(i int) *sent { return &s.chunks[i/sendsChunk][i%sendsChunk] }

func (e *sent) at() int64 { return int64(e.more>>lateBits)<<32 | int64(e.time) }

// add records a message that was sent late nanoseconds after its intended time.
// The run lasts less than 19 hours, so the time fits into 36 bits.
func (s *sends) add(m stamp, late int64) {
	if s.n == 0 {
		s.base = m.intended / 1000
	}
	if s.n%sendsChunk == 0 {
		s.chunks = append(s.chunks, new([sendsChunk]sent))
	}
	s.n++
	us := m.intended/1000 - s.base
	*s.entry(s.n - 1) = sent{hash(m), uint32(us), uint32(us>>32)<<lateBits | uint32(min(max(late/1000, 0), maxLateUs))}
}

// find looks up a message that was received. It returns how late the message
// was sent, in nanoseconds, or false if no such message was sent.
func (s *sends) find(m stamp) (late int64, ok bool) {
	us, key := m.intended/1000-s.base, hash(m)
	i := sort.Search(s.n, func(i int) bool { return s.entry(i).at() >= us })
	for ; i < s.n; i++ {
		e := s.entry(i)
		if e.at() != us {
			break
		}
		if e.key == key {
			return int64(e.more&maxLateUs) * 1000, true
		}
	}
	return 0, false
}

func hash(m stamp) uint32 {
	x := uint64(m.sender)<<32 | uint64(m.seq)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return uint32(x >> 32)
}
