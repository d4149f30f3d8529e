package loop

import (
	"cmp"
	"slices"
	"time"
)

// Presence tells the members that watch a room who else is there. The state of a room exists only while a member on this node
// watches it; a room without watchers costs nothing. presences.go decides when the watchers are told, and watch.go connects the
// state with the members.
//
// A watcher first gets the state: the list of users, and the number of members. Each later event has only the users that have
// changed since the event before. So the state at a watcher is right after each event if the watcher applies all events. The
// event says for a user how many connections it has, not how many more or fewer.
//
// If the list is too long, or events come too late because the budget of the node is used up, the watchers get no names: an
// event then has only the number of members. When there may be names again, all watchers get the whole list.

// Identity is the user that a connection belongs to. Several connections may belong to one user.
type Identity struct {
	User  string
	Info  []byte        // shown with the user; of the user's latest connection
	Grace time.Duration // time after the end of a connection for which it still counts, so that a reload is not seen
}

// Watch says that a member wants to know who is in its room.
type Watch struct {
	By      Identity
	Listed  bool    // By is shown to the other watchers
	Variant Variant // the member has this variant as soon as it has the state: its former one with frames for KindPresence
}

// PresenceEvent is what watchers are told. Config.Presence writes it.
type PresenceEvent struct {
	What    PresenceKind
	Count   int            // members of the room, listed or not
	Members []PresenceUser // of PresenceState: all users; of PresenceChanges: the users that came, or whose N or Info changed
	Left    []string       // of PresenceChanges: the users that have no connection any more
}

// PresenceUser is a user with its number of connections.
type PresenceUser struct {
	User string
	N    int
	Info []byte
}

// PresenceKind is the kind of a PresenceEvent.
type PresenceKind uint8

// The kinds of events.
const (
	PresenceState   PresenceKind = iota // everybody: it replaces what the watcher knows
	PresenceChanges                     // what has changed
	PresenceCount                       // the number of members only: no names until the next PresenceState
	presenceKinds
)

// The limits and times of presence; times are in ticks.
const (
	presenceEvery      = 10       // time between two events of a room
	presenceLate       = 20       // an event that is later than this ends the names in its room …
	presenceCalm       = 100      // … for this time
	mostNames          = 48 << 10 // bytes of the longest list; there are names again when the list is half as long
	nameOverhead       = 20       // bytes that a user takes in a list, without its name and info
	presenceBudget     = 20_000   // default of Config.PresenceBudget
	presenceFrameBytes = 1 << 10  // a longer event counts as several against the budget
)

// presence is who is in a room. The mutex of the room's lane guards it.
type presence struct {
	room  string
	entry *Entry // nil while the room has no members on this node

	users    map[string]*user // with some that have left since the last event
	bytes    int              // of the list of users, approximately
	changed  []*user          // users that may differ from what the watchers know
	leaving  []*user          // users with connections in their time of grace; a user may be here twice
	watchers int              // on this node
	asks     []ask            // members that are to get the state

	count  int    // members of the room, as the watchers know
	told   bool   // there may be a watcher that has the state
	names  bool   // the watchers have the list
	again  bool   // the watchers must get the list again
	marked bool   // on the list of its lane
	since  uint32 // tick at which it was marked
	due    uint32 // tick from which on the next event may come
	calm   uint32 // tick from which on there may be names, after an event was late
	list   []byte // the written state; nil if it must be written again

	far *farPresence // what is known of the other nodes; nil without other nodes
}

// ask is a member that is to get the state of its room.
type ask struct {
	loop   *Loop
	member *Member
}

// user is a user in a room.
type user struct {
	PresenceUser          // N includes connections in their time of grace
	own          int      // the part of N on this node
	leaving      []uint32 // ends of the times of grace
	shown        int      // N as the watchers know it
	renewed      bool     // Info has changed
	changed      bool     // on presence.changed
	unsent       bool     // on farPresence.unsent
}

func newPresence(room string) *presence {
	return &presence{room: room, users: map[string]*user{}}
}

// change adds to the connections of a user, and returns the user.
func (p *presence) change(name string, by int) *user {
	u := p.users[name]
	if u == nil {
		u = &user{PresenceUser: PresenceUser{User: name}}
		p.users[name] = u
	}
	size := len(u.User) + len(u.Info) + nameOverhead
	if u.N == 0 && by > 0 {
		p.bytes += size
	}
	if u.N += by; u.N == 0 && by < 0 {
		p.bytes -= size
	}
	p.differs(u)
	return u
}

// differs notes that the watchers may have to be told of u.
func (p *presence) differs(u *user) {
	p.list = nil
	if !u.changed {
		u.changed = true
		p.changed = append(p.changed, u)
	}
}

// show sets what is shown with a user.
func (p *presence) show(u *user, info []byte) {
	if string(u.Info) == string(info) {
		return
	}
	p.bytes += len(info) - len(u.Info)
	u.Info, u.renewed = info, true
	p.differs(u)
}

// join adds a connection of this node. If another one is in its time of grace, it takes the place of that one.
func (p *presence) join(by *Identity) {
	u := p.users[by.User]
	if u != nil && len(u.leaving) > 0 {
		u.leaving = u.leaving[1:]
	} else {
		u = p.change(by.User, 1)
		u.own++
		p.unsent(u)
	}
	p.show(u, by.Info)
}

// leave removes a connection of this node, or lets its time of grace begin.
func (p *presence) leave(by *Identity, tick uint32) {
	u := p.users[by.User]
	if by.Grace > 0 {
		u.leaving = append(u.leaving, tick+ticks(by.Grace))
		p.leaving = append(p.leaving, u)
		return
	}
	p.end(u)
}

func (p *presence) end(u *user) {
	p.change(u.User, -1)
	u.own--
	p.unsent(u)
}

// expire removes the connections whose time of grace is over.
func (p *presence) expire(tick uint32) {
	p.leaving = slices.DeleteFunc(p.leaving, func(u *user) bool {
		for len(u.leaving) > 0 && int32(tick-u.leaving[0]) >= 0 {
			u.leaving = u.leaving[1:]
			p.end(u)
		}
		return len(u.leaving) == 0
	})
}

// may reports whether there may be names now.
func (p *presence) may(tick uint32) bool {
	most := mostNames
	if p.told && !p.names {
		most /= 2
	}
	return p.bytes <= most && int32(tick-p.calm) >= 0 && p.whole()
}

// next returns what the watchers must be told so that they know everything, nil if they do. count is the number of members.
func (p *presence) next(tick uint32, count int) (e *PresenceEvent) {
	names := p.may(tick)
	switch {
	case names && p.names && !p.again:
		e = p.changes()
		if e == nil && count != p.count {
			e = &PresenceEvent{What: PresenceChanges}
		}
	case names:
		e = &PresenceEvent{What: PresenceState, Members: p.members()}
	case p.names || p.again || count != p.count:
		e = &PresenceEvent{What: PresenceCount}
	}
	if count != p.count {
		p.list = nil
	}
	p.settle()
	p.names, p.again, p.count = names, false, count
	if e != nil {
		e.Count = count
	}
	return e
}

// changes returns the users that the watchers must be told of, nil if there are none.
func (p *presence) changes() *PresenceEvent {
	e := &PresenceEvent{What: PresenceChanges}
	for _, u := range p.changed {
		switch {
		case u.N == 0 && u.shown > 0:
			e.Left = append(e.Left, u.User)
		case u.N > 0 && (u.N != u.shown || u.renewed):
			e.Members = append(e.Members, u.PresenceUser)
		}
	}
	if len(e.Members)+len(e.Left) == 0 {
		return nil
	}
	return e
}

// settle notes that the watchers know everything.
func (p *presence) settle() {
	for _, u := range p.changed {
		u.changed, u.renewed, u.shown = false, false, u.N
		if u.N == 0 && !u.unsent {
			delete(p.users, u.User)
		}
	}
	clear(p.changed)
	p.changed = p.changed[:0]
	if cap(p.changed) > 1024 {
		p.changed = nil
	}
}

// members returns all users, in the order of their names.
func (p *presence) members() []PresenceUser {
	all := make([]PresenceUser, 0, len(p.users))
	for _, u := range p.users {
		if u.N > 0 {
			all = append(all, u.PresenceUser)
		}
	}
	slices.SortFunc(all, func(a, b PresenceUser) int { return cmp.Compare(a.User, b.User) })
	return all
}

// state returns the event that a member gets that knows nothing yet. The watchers must know everything.
func (p *presence) state() *PresenceEvent {
	if !p.names {
		return &PresenceEvent{What: PresenceCount, Count: p.count}
	}
	return &PresenceEvent{What: PresenceState, Count: p.count, Members: p.members()}
}

// idle reports whether nobody needs the state.
func (p *presence) idle() bool { return p.watchers+len(p.asks)+len(p.leaving) == 0 }
