// Package proof is the ledger of a run. It records the messages that were sent
// and the messages that each member of each room got. Its verdict says whether
// each member got every message exactly once and in order, and whether no
// member got a foreign message.
//
// A log has the order of each room: each message is added to it when the first
// member gets it. For each member the ledger compares every message with the
// next one of the log, so a message that is missing, doubled or late is
// recognised at once, with its number (order.go). A log keeps only the messages
// that some member still has to get, and the newest ones.
//
// For each member it also keeps a count, a sum and a rolling hash of the
// messages that the member got: 24 bytes. The sum must be that of the messages
// that were sent. The hashes of all members must be equal, which proves that all
// of them saw one order. If a member saw another order than most, that member
// is wrong, even if it got its messages first and so decided the log.
//
// If a server promises only the order of each sender's messages, and no order
// of the room, the ledger keeps for each member the last number that it got of
// each sender. Scenarios with rooms of more than 4,096 members are then refused.
//
// All violations are counted as events at one member: a message that two members
// lost counts as two. If a member was so far behind that its messages left the
// log, the counts are a lower bound, and the verdict says so.
//
// Several generators can share a run. Each has a Ledger of all members, but
// judges only its own (Only). At the end it learns how many messages the
// members of other generators have sent (Remote). Votes show whether all
// generators saw the same order of a room.
//
// A Ledger belongs to one goroutine. Members are numbered from 0.
package proof

import (
	"fmt"
	"slices"
)

const (
	maxMatrix = 1 << 12 // largest number of members of a room that is judged only by the order of each sender
	maxHeld   = 1 << 16 // largest number of missing messages whose numbers are kept
	maxNotes  = 20
)

// Counts has the number of violations of each kind.
type Counts struct {
	Lost      int64 `json:"lost"`
	Doubled   int64 `json:"doubled"`
	Reordered int64 `json:"reordered"`
	Foreign   int64 `json:"foreign"`
	Damaged   int64 `json:"damaged"`
}

// Sum returns the number of all violations.
func (c Counts) Sum() int64 { return c.Lost + c.Doubled + c.Reordered + c.Foreign + c.Damaged }

// Verdict is the final judgment of a Ledger.
type Verdict struct {
	Counts
	Sent     int64    `json:"messages_sent"`
	Expected int64    `json:"deliveries_expected"` // deliveries expected at members that did not leave
	Received int64    `json:"deliveries_received"` // deliveries that arrived at members that did not leave
	Left     int64    `json:"members_that_left"`   // these members are judged only if they came back
	Notes    []string `json:"notes"`               // descriptions of the first violations

	AtLeast bool   `json:"counts_are_lower_bounds,omitempty"` // some events could not be counted one by one
	Guess   string `json:"guess,omitempty"`                   // what the user probably has to change

	Back         int64 `json:"members_that_came_back,omitempty"` // these members are judged from the time when they came back
	ReceivedBack int64 `json:"deliveries_after_coming_back,omitempty"`

	Votes []Vote `json:"votes,omitempty"` // one for each room that also has members in other generators
}

// Vote identifies, by its hash, the order of a room that most of this
// generator's members saw.
type Vote struct {
	Room    int32  `json:"room"`
	Hash    uint64 `json:"hash,string"`
	Members int    `json:"members"`
}

// Total says how many messages a member has sent.
type Total struct {
	Sender int32  `json:"s"`
	Count  uint32 `json:"n"`
}

// Ledger records the messages and deliveries of one run.
type Ledger struct {
	// These fields do not change after New.
	roomOrder bool
	echo      bool               // a member gets its own messages too
	roomOf    []int32            // by member: the number of its room
	indexOf   []int32            // by member: its index in its room
	mine      func(m int32) bool // whether this ledger judges a member; nil: it judges all

	// These fields belong to the goroutine of the run.
	rooms       []room
	members     []member
	sent        []uint32 // by member: the number of the last message that it has sent
	held        map[mark]bool
	diffs       map[int32]*diff // by member: how its messages differ from the log of its room
	missing     int             // number of messages in diffs
	guests      map[uint32]*guest
	backs       map[int32]*returned // by member that left and came back
	logged      int                 // number of entries in all logs
	atLeast     bool
	outstanding int64
	left        int64
	bad         Counts
	notes       []string
}

type room struct {
	members []int32  // the members that this ledger judges
	size    int      // number of all members
	gone    int      // number of members that left
	last    []uint32 // without room order: the last number that a member got of a sender; index: member*size+sender
	log     order    // with room order
	sent    uint32
	sum     uint64
	flight  flight
	split   bool // other ledgers judge some members of the room
	told    bool // the messages that no sender has sent were counted
}

type member struct {
	hash, sum uint64
	count     uint32
	left      bool
	bad       bool // a violation of this member was counted
}

type entry struct{ sender, seq uint32 }

type mark struct {
	member int32
	entry
}

// New makes a Ledger that judges all members. roomOf has the room of each
// member; rooms are numbered from 0. roomOrder: the server promises one order
// for each room, not only for each sender.
func New(roomOf []int32, roomOrder bool) *Ledger { return Only(roomOf, roomOrder, nil) }

// WithoutEcho says that the server does not send a message back to its sender.
// Then the ledger judges only the order of each sender, because each member of
// a room gets other messages. Call it before the first message is sent.
func (l *Ledger) WithoutEcho() { l.echo, l.roomOrder = false, false }

// Only is like New, but the Ledger judges only the members for which mine
// returns true. A nil mine means all members.
func Only(roomOf []int32, roomOrder bool, mine func(m int32) bool) *Ledger {
	l := &Ledger{
		roomOrder: roomOrder, echo: true, roomOf: roomOf, indexOf: make([]int32, len(roomOf)), mine: mine,
		members: make([]member, len(roomOf)), sent: make([]uint32, len(roomOf)),
		held: map[mark]bool{}, diffs: map[int32]*diff{}, guests: map[uint32]*guest{}, backs: map[int32]*returned{},
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

// Judges reports whether a room with this number of members can be judged if
// the server promises only the order of each sender.
func Judges(members int) bool { return members <= maxMatrix }

func (l *Ledger) judged(m int32) bool { return l.mine == nil || l.mine(m) }

// Next returns the number that the next message of a sender has.
func (l *Ledger) Next(sender int32) uint32 { return l.sent[sender] + 1 }

// Sent records that a sender has sent its next message.
func (l *Ledger) Sent(sender int32) {
	l.sent[sender]++
	r := &l.rooms[l.roomOf[sender]]
	r.sent++
	r.sum += mix(entry{uint32(sender), l.sent[sender]})
	for _, m := range r.members {
		if !l.members[m].left && (l.echo || m != sender) {
			l.outstanding++
		}
	}
}

// due returns how many of the messages of its room member m has to get.
func (l *Ledger) due(r *room, m int32) uint32 {
	if l.echo {
		return r.sent
	}
	return r.sent - l.sent[m]
}

// Totals returns how many messages each member that is judged here has sent. It
// leaves out rooms without members of other generators.
func (l *Ledger) Totals() []Total {
	totals := []Total{}
	for m, n := range l.sent {
		if n > 0 && l.judged(int32(m)) && l.rooms[l.roomOf[m]].split {
			totals = append(totals, Total{int32(m), n})
		}
	}
	return totals
}

// Remote records how many messages a member of another generator has sent in
// the whole run. Call it once for each such member, after the last message was
// sent.
func (l *Ledger) Remote(t Total) {
	if int(t.Sender) >= len(l.sent) || l.judged(t.Sender) {
		return
	}
	for l.sent[t.Sender] < t.Count {
		l.Sent(t.Sender)
	}
}

// Outstanding returns the number of deliveries that are still missing.
func (l *Ledger) Outstanding() int64 { return l.outstanding }

// Left records that a member has left: the ledger no longer expects deliveries
// to it.
func (l *Ledger) Left(m int32) {
	if p := &l.members[m]; !p.left {
		p.left = true
		l.left++
		r := &l.rooms[l.roomOf[m]]
		l.outstanding -= int64(l.due(r, m)) - int64(p.count)
		r.gone++
		r.flight.without(p.count)
	}
}

// Damaged records that a member got a message whose bytes were changed.
func (l *Ledger) Damaged(m int32, what string) {
	l.bad.Damaged++
	l.note("room %d: member %d got a damaged message: %s", l.roomOf[m], m, what)
}

// Foreign records that a member got a message that was never sent to its room.
func (l *Ledger) Foreign(m int32, what string) {
	l.bad.Foreign++
	l.note("room %d: member %d got a foreign message: %s", l.roomOf[m], m, what)
}

// Receive records a delivery to member m. It reports whether this is the first
// or the last delivery of the message. In rooms with members of other
// generators both are false, because no generator sees all deliveries.
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
	var isNew bool
	switch {
	case p.left:
		return false, false
	case l.roomOrder:
		isNew = l.follow(p, r, m, e)
	case !l.echo && int32(sender) == m:
		l.Foreign(m, fmt.Sprintf("its own message (number %d), although the server should not send messages back", seq))
		return false, false
	default:
		isNew = l.bySender(p, r, m, e)
	}
	if isNew {
		l.outstanding--
	}
	if !r.split && l.echo {
		first, last = r.flight.arrived(p.count, len(r.members)-r.gone)
	}
	h := mix(e)
	p.count++
	p.sum += h
	p.hash = p.hash*0x9e3779b97f4a7c15 + h
	return first, last
}

// bySender compares e with the last number that the member got of the same
// sender. It returns false for a second copy.
func (l *Ledger) bySender(p *member, r *room, m int32, e entry) bool {
	if r.last == nil {
		r.last = make([]uint32, r.size*r.size) // made only now, because rooms without messages do not need it
	}
	last := &r.last[int(l.indexOf[m])*r.size+int(l.indexOf[e.sender])]
	switch {
	case e.seq == *last+1:
	case e.seq > *last:
		for missing := *last + 1; missing < e.seq; missing++ {
			if len(l.held) < maxHeld {
				l.held[mark{m, entry{e.sender, missing}}] = true
			} else {
				l.bad.Lost++ // too many are missing to keep all of their numbers
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
		return false
	}
	*last = max(*last, e.seq)
	return true
}

func (l *Ledger) note(format string, args ...any) {
	if len(l.notes) < maxNotes {
		l.notes = append(l.notes, fmt.Sprintf(format, args...))
	}
}

// mix returns a 64-bit hash of a message (splitmix64), so that different sets
// of messages have different sums.
func mix(e entry) uint64 {
	x := uint64(e.sender)<<32 | uint64(e.seq)
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
