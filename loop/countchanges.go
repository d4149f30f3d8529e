package loop

import "slices"

// Count changes answer one question: which rooms have another number of members than when somebody last asked?
//
// A bus that tells other machines how many members the rooms have here (redisbridge does, once a second) could visit all
// of them. With a million rooms that is a second of a core, to find the hundred that changed. So an entry has a mark, and a
// lane the list of the marked ones. Who changes a count marks the entry afterwards: one load if it is marked already, else
// the lane's mutex and an append. Who asks takes the whole list, which costs the same for any length, and then visits what
// is on it without the mutex.
//
// Invariant: no change is missed. The count is changed before the mark is looked at, and the mark is cleared before the
// count is read: whoever found the mark set has changed a count that is still to be read. A mark is set under the mutex,
// together with the append, and All clears under it too: so a marked entry is on the list, or on the one that was taken and
// is being visited, once.
//
// A room that vanishes stays on the list and says 0. Of a room that vanished and came back there are two entries, and only
// the newer one can have members: each loop leaves an entry after it has marked it, and the new one is made when all have.
//
// A list is bounded. Rooms that are there stand on it once; of those that are gone there are at most changesGone more than
// rooms. Beyond that the list is dropped, and all rooms of the lane must be read: they are fewer than the list was. Until
// then marks are set for nothing.

// changesGone is how many vanished rooms a lane remembers, beyond as many as it has rooms: 4,096 are 32 KiB and the entries.
const changesGone = 4096

// RoomCount is a room with its members on this node.
type RoomCount struct {
	Room    string
	Members int
}

// changes is what a lane remembers. Its mutex guards it.
type changes struct {
	list  []*Entry
	spare []*Entry // memory for the next list: else the loops would allocate
	lost  bool     // the list was longer than it may be: all rooms of the lane must be read
}

// Watch has the directory remember changes from now on, for good. All must be called for each lane before the first Changed.
// Any goroutine.
func (d *Directory) Watch() { d.watched.Store(true) }

// countChanged says that the number of members of e was changed. Any goroutine, after the change and before Leave.
func (d *Directory) countChanged(e *Entry) {
	if !d.watched.Load() || e.changed.Load() {
		return
	}
	ln := &d.lanes[e.lane]
	ln.mu.Lock()
	ln.noteChange(e)
	ln.mu.Unlock()
}

func (ln *lane) noteChange(e *Entry) {
	m := &ln.changes
	if e.changed.Swap(true) || m.lost {
		return
	}
	if len(m.list) >= changesGone+2*len(ln.entries) {
		*m = changes{lost: true}
		return
	}
	m.list = append(m.list, e)
}

// Changed appends to counts the rooms of a lane whose number of members changed since it, or All, was last called for this
// lane: each once with members, or any number of times with 0 if it is gone, or both if it vanished and came back. What
// changes meanwhile is there now or the next time. ok is false, and nothing appended, if there were too many: call All.
// One goroutine a lane.
func (d *Directory) Changed(laneIndex int, counts []RoomCount) (_ []RoomCount, ok bool) {
	ln := &d.lanes[laneIndex]
	ln.mu.Lock()
	list, lost := ln.changes.list, ln.changes.lost
	if len(list) > 0 {
		ln.changes.list, ln.changes.spare = ln.changes.spare, nil
	}
	ln.mu.Unlock()
	if lost || len(list) == 0 {
		return counts, !lost
	}
	for _, e := range list {
		e.changed.Store(false) // first: what changes from here on is on the next list
		counts = append(counts, RoomCount{e.Name, e.Members()})
	}
	if cap(list) <= changesGone { // a burst does not keep its memory
		clear(list)
		ln.mu.Lock()
		ln.changes.spare = list[:0]
		ln.mu.Unlock()
	}
	return counts, true
}

// All appends to counts every room of a lane that has members. It visits them all with the lane's mutex held, for some 50 ns
// a room. One goroutine a lane, the one that calls Changed.
func (d *Directory) All(laneIndex int, counts []RoomCount) []RoomCount {
	ln := &d.lanes[laneIndex]
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.changes = changes{}
	counts = slices.Grow(counts, len(ln.entries))
	for _, e := range ln.entries {
		e.changed.Store(false)
		if n := e.Members(); n > 0 {
			counts = append(counts, RoomCount{e.Name, n})
		}
	}
	return counts
}
