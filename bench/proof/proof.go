// Package proof is the ledger of a run. It records what was sent and what each
// member of each room got, and gives a verdict: every message exactly once, in
// order, and no foreign messages.
//
// It uses three methods, from exact and expensive to cheap:
//
//   - In rooms of up to 16 members each member remembers the last number of each
//     sender: 4 bytes times the number of members. This distinguishes at once a
//     lost message from one that came twice or late.
//   - Each member of any room keeps a count, a sum and a rolling hash of the
//     messages that it got: 24 bytes. Members that stayed must agree on count and
//     sum with the messages that were sent (exactly once), and on the hash with
//     each other (one order).
//   - The order in which the first member of a room saw the messages is kept for
//     the first million messages. If a member disagrees, this shows the first
//     message at which it does.
//
// A server that promises only the order of each sender is judged by the first
// method, in rooms of up to 4,096 members; larger rooms are refused.
//
// Several generators can share a run. Each has a Ledger over all members, judges
// its own members (Only), and learns at the end how much the members of the
// others sent (Remote) and which order they saw (Votes).
//
// A Ledger belongs to one goroutine. A member is the number of its connection.
package proof

import (
	"fmt"
	"slices"
)

const (
	smallRoom = 16
	maxMatrix = 1 << 12 // members of a room that is judged only by the order of each sender
	maxLog    = 1 << 20 // entries over all rooms
	maxHeld   = 1 << 16 // missing messages that are kept by number
	maxNotes  = 20
)

// Counts are violations by kind.
type Counts struct {
	Lost      int64 `json:"lost"`
	Doubled   int64 `json:"doubled"`
	Reordered int64 `json:"reordered"`
	Foreign   int64 `json:"foreign"`
	Damaged   int64 `json:"damaged"`
}

// Sum is the number of violations.
func (c Counts) Sum() int64 { return c.Lost + c.Doubled + c.Reordered + c.Foreign + c.Damaged }

// Verdict is the final judgment of a Ledger.
type Verdict struct {
	Counts
	Sent     int64    `json:"messages_sent"`
	Expected int64    `json:"deliveries_expected"` // to members that stayed
	Received int64    `json:"deliveries_received"` // by members that stayed
	Left     int64    `json:"members_that_left"`   // not judged, except for those that came back
	Notes    []string `json:"notes"`               // the first violations, with room, sender and number

	Back         int64 `json:"members_that_came_back,omitempty"` // judged from their return on
	ReceivedBack int64 `json:"deliveries_after_coming_back,omitempty"`

	Votes []Vote `json:"votes,omitempty"` // rooms with members in other generators: the order that this generator saw
}

// Vote is the order in which members of one room saw their messages.
type Vote struct {
	Room    int32  `json:"room"`
	Hash    uint64 `json:"hash,string"`
	Members int    `json:"members"`
}

// Total is how many messages a member has sent.
type Total struct {
	Sender int32  `json:"s"`
	Count  uint32 `json:"n"`
}

// Ledger records one run.
type Ledger struct {
	// Not changed after New.
	roomOrder bool
	roomOf    []int32            // by member
	indexOf   []int32            // by member: its index in its room
	mine      func(m int32) bool // nil: all members are judged here

	// Belongs to the goroutine of the run.
	rooms       []room
	members     []member
	sent        []uint32 // by member: the number of its last message
	held        map[mark]bool
	strays      map[int32]stray // members that deviated from the order of the room's first member
	guests      map[uint32]*guest
	backs       map[int32]*returned // members that left and came back
	logged      int
	outstanding int64
	left        int64
	bad         Counts
	notes       []string
}

type room struct {
	members []int32  // judged here
	size    int      // members in total
	gone    int      // members that left
	ahead   uint32   // messages of the member that has the most
	last    []uint32 // small rooms: by member index * size + sender index
	log     []entry
	logSeq  map[uint32]uint32 // large rooms: the last number of each sender in the log
	sent    uint32
	sum     uint64
	flight  flight
	split   bool // some of its members are judged elsewhere
}

type member struct {
	hash, sum uint64
	count     uint32
	left      bool
	bad       bool // has a violation that was counted
}

// stray is where a member first got another message than the others.
type stray struct {
	at  uint32
	got entry
}

type entry struct{ sender, seq uint32 }

type mark struct {
	member int32
	entry
}

// New makes a Ledger for members, given their rooms, which are numbered from
// 0.
func New(roomOf []int32, roomOrder bool) *Ledger { return Only(roomOf, roomOrder, nil) }

// Only makes a Ledger that judges only the members for which mine returns
// true; nil: all.
func Only(roomOf []int32, roomOrder bool, mine func(m int32) bool) *Ledger {
	l := &Ledger{
		roomOrder: roomOrder, roomOf: roomOf, indexOf: make([]int32, len(roomOf)), mine: mine,
		members: make([]member, len(roomOf)), sent: make([]uint32, len(roomOf)),
		held: map[mark]bool{}, strays: map[int32]stray{}, guests: map[uint32]*guest{}, backs: map[int32]*returned{},
	}
	if len(roomOf) > 0 {
		l.rooms = make([]room, slices.Max(roomOf)+1)
	}
	for m, number := range roomOf {
		r := &l.rooms[number]
		l.indexOf[m] = int32(r.size)
		r.size++
		if l.judged(int32(m)) {
			r.members = append(r.members, int32(m))
		}
	}
	for i := range l.rooms {
		r := &l.rooms[i]
		r.split = len(r.members) < r.size
		if len(r.members) == 0 {
			continue
		}
		r.members = slices.Clip(r.members)
	}
	return l
}

// byName reports whether each member of a room remembers the last number of
// each sender: in small rooms, and if only the order of each sender is
// promised.
func (l *Ledger) byName(r *room) bool {
	return r.size <= smallRoom || !l.roomOrder && r.size <= maxMatrix
}

// Judges reports whether a room of this size can be judged by the order of
// each sender alone.
func Judges(members int) bool { return members <= maxMatrix }

func (l *Ledger) judged(m int32) bool { return l.mine == nil || l.mine(m) }

// Next is the number of the next message of a sender.
func (l *Ledger) Next(sender int32) uint32 { return l.sent[sender] + 1 }

// Sent records that the next message of a sender was sent.
func (l *Ledger) Sent(sender int32) {
	l.sent[sender]++
	r := &l.rooms[l.roomOf[sender]]
	r.sent++
	r.sum += mix(entry{uint32(sender), l.sent[sender]})
	for _, m := range r.members {
		if !l.members[m].left {
			l.outstanding++
		}
	}
}

// Totals is how many messages the members of this generator sent into rooms
// that have members elsewhere.
func (l *Ledger) Totals() []Total {
	totals := []Total{}
	for m, n := range l.sent {
		if n > 0 && l.judged(int32(m)) && l.rooms[l.roomOf[m]].split {
			totals = append(totals, Total{int32(m), n})
		}
	}
	return totals
}

// Remote records how many messages a member of another generator sent in
// total. It is called once for each, when no more messages will be sent.
func (l *Ledger) Remote(t Total) {
	if int(t.Sender) >= len(l.sent) || l.judged(t.Sender) {
		return
	}
	for l.sent[t.Sender] < t.Count {
		l.Sent(t.Sender)
	}
}

// Outstanding is the number of deliveries that are still missing.
func (l *Ledger) Outstanding() int64 { return l.outstanding }

// Left removes a member: its deliveries are no longer judged.
func (l *Ledger) Left(m int32) {
	if p := &l.members[m]; !p.left {
		p.left = true
		l.left++
		r := &l.rooms[l.roomOf[m]]
		l.outstanding -= int64(r.sent) - int64(p.count)
		r.gone++
		r.flight.without(p.count)
	}
}

// Damaged records a message whose bytes differ from those that were sent.
func (l *Ledger) Damaged(m int32, what string) {
	l.bad.Damaged++
	l.note("room %d: member %d got a damaged message: %s", l.roomOf[m], m, what)
}

// Foreign records a message of another run.
func (l *Ledger) Foreign(m int32, what string) {
	l.bad.Foreign++
	l.note("room %d: member %d got a foreign message: %s", l.roomOf[m], m, what)
}

// Receive records a delivery, and reports whether it was the first or the last
// one of its message. In rooms with members elsewhere that is not known.
func (l *Ledger) Receive(m int32, sender, seq uint32) (first, last bool) {
	number := l.roomOf[m]
	switch {
	case sender == Guest:
		l.fromGuest(m, seq)
		return false, false
	case int64(sender) >= int64(len(l.sent)):
		l.Foreign(m, fmt.Sprintf("sender %d does not exist", sender))
		return false, false
	case l.roomOf[sender] != number:
		l.Foreign(m, fmt.Sprintf("number %d of sender %d, of room %d", seq, sender, l.roomOf[sender]))
		return false, false
	case seq == 0 || seq > l.sent[sender] && l.judged(int32(sender)):
		l.Foreign(m, fmt.Sprintf("number %d of sender %d, which has sent %d", seq, sender, l.sent[sender]))
		return false, false
	}
	p, r, e := &l.members[m], &l.rooms[number], entry{sender, seq}
	if p.left {
		if b := l.backs[m]; b != nil {
			l.fromBack(b, m, e)
			return false, false
		}
	}
	if l.byName(r) {
		l.inSmall(p, r, m, e)
	}
	if l.roomOrder {
		l.inOrder(p, r, m, e)
	}
	if !p.left {
		l.outstanding--
		if !r.split {
			first, last = r.flight.arrived(p.count, len(r.members)-r.gone)
		}
	}
	h := mix(e)
	p.count++
	p.sum += h
	p.hash = p.hash*0x9e3779b97f4a7c15 + h
	return first, last
}

// inSmall compares with the last number of this sender at this member.
func (l *Ledger) inSmall(p *member, r *room, m int32, e entry) {
	if r.last == nil {
		r.last = make([]uint32, r.size*r.size) // rooms without messages need none
	}
	last := &r.last[int(l.indexOf[m])*r.size+int(l.indexOf[e.sender])]
	switch {
	case e.seq == *last+1:
	case e.seq > *last:
		for missing := *last + 1; missing < e.seq; missing++ {
			if len(l.held) < maxHeld {
				l.held[mark{m, entry{e.sender, missing}}] = true
			} else {
				l.bad.Lost++ // too many to keep each by number
			}
		}
		p.bad = true
	case l.held[mark{m, e}]:
		delete(l.held, mark{m, e})
		l.bad.Reordered++
		l.note("room %d: member %d got number %d of sender %d after number %d", l.roomOf[m], m, e.seq, e.sender, *last)
	default:
		p.bad = true
		l.bad.Doubled++
		l.note("room %d: member %d got number %d of sender %d again (last was %d)", l.roomOf[m], m, e.seq, e.sender, *last)
	}
	*last = max(*last, e.seq)
}

// inOrder compares with the order of the first member, or extends it.
func (l *Ledger) inOrder(p *member, r *room, m int32, e entry) {
	switch at := int(p.count); {
	case at < len(r.log):
		if r.log[at] != e {
			if _, known := l.strays[m]; !known && len(l.strays) < maxHeld {
				l.strays[m] = stray{p.count, e}
			}
		}
	case p.count == r.ahead:
		r.ahead++
		if at == len(r.log) && l.logged < maxLog {
			l.logged++
			r.log = append(r.log, e)
		}
		if r.size <= smallRoom {
			return
		}
		if r.logSeq == nil {
			r.logSeq = map[uint32]uint32{}
		}
		if before := r.logSeq[e.sender]; e.seq < before {
			l.bad.Reordered++
			p.bad = true
			l.note("room %d: member %d got number %d of sender %d after number %d", l.roomOf[m], m, e.seq, e.sender, before)
		} else {
			r.logSeq[e.sender] = e.seq
		}
	}
}

func (l *Ledger) note(format string, args ...any) {
	if len(l.notes) < maxNotes {
		l.notes = append(l.notes, fmt.Sprintf(format, args...))
	}
}

// mix spreads a message over 64 bits (the finalizer of splitmix64), so that
// sums of different messages do not collide.
func mix(e entry) uint64 {
	x := uint64(e.sender)<<32 | uint64(e.seq)
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
