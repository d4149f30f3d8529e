package proof

import (
	"maps"
	"slices"
)

// Guest is the sender number of all guests. A guest is a connection that is not
// a member: it connects, writes one message, and resets. Nobody knows whether
// the message reached the server before the reset. So there are two correct
// outcomes: all members that did not leave got the message, each once and at
// the same position, or no member got it.
const Guest = 1<<21 - 1

// guest is the message of a guest.
type guest struct {
	room int32
	got  map[int32]bool
}

// GuestSent records that the guest with this number wrote its message to a
// room.
func (l *Ledger) GuestSent(number uint32, room int32) {
	l.guests[number] = &guest{room: room, got: map[int32]bool{}}
}

// GuestIn reports whether the guest with this number wrote its message to this
// room.
func (l *Ledger) GuestIn(number uint32, room int32) bool {
	g := l.guests[number]
	return g != nil && g.room == room
}

func (l *Ledger) fromGuest(m int32, number uint32) {
	g := l.guests[number]
	switch {
	case g == nil:
		l.Foreign(m, "a message that no guest sent")
		return
	case g.room != l.roomOf[m]:
		l.Foreign(m, "a guest's message to another room")
		return
	case g.got[m]:
		l.bad.Doubled++
		l.note("room %d: member %d got the message of guest %d again", g.room, m, number)
		return
	}
	g.got[m] = true
	// The message changes the hash, so its position in the room is checked. It
	// does not change the count, because the ledger does not expect it.
	p := &l.members[m]
	p.hash = p.hash*0x9e3779b97f4a7c15 + mix(entry{Guest, number})
}

// GuestsSeen returns how many messages of guests at least one member got.
func (l *Ledger) GuestsSeen() int64 {
	n := int64(0)
	for _, g := range l.guests {
		if len(g.got) > 0 {
			n++
		}
	}
	return n
}

// guestsAgree finds messages of guests that only some members got.
func (l *Ledger) guestsAgree() {
	for _, number := range slices.Sorted(maps.Keys(l.guests)) {
		g := l.guests[number]
		if len(g.got) == 0 {
			continue
		}
		for _, m := range l.rooms[g.room].members {
			if p := &l.members[m]; !p.left && !g.got[m] {
				p.bad = true
				l.bad.Lost++
				l.note("room %d: member %d lost the message of guest %d, which %d others got", g.room, m, number, len(g.got))
			}
		}
	}
}
