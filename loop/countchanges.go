package loop

import "slices"

// Count changes answer one question: in which rooms has the number of members changed since the last time somebody asked?
//
// A bus that tells other machines how many members the rooms have here (redisbridge does, once a second) could visit all rooms.
// With a million rooms that takes one core a second, to find the hundred that changed. So an entry has a mark, and a lane has a
// list of the marked entries. Code that changes a count marks the entry afterwards: one load if it is marked already, else the
// lane's mutex and an append. The reader takes the whole list, which costs the same for any length, and then visits the entries
// on it without the mutex.
//
// Invariant: no change is missed. A change updates the count before it looks at the mark, and the reader clears the mark before
// it reads the count. So a change that found the mark set will still be read. A mark is set under the mutex, together with the
// append, and All clears marks under it too. So a marked entry is exactly once either on the list, or on the list that was taken
// and is being visited.
//
// A room that vanishes stays on the list, with the count 0. A room that vanished and came back has two entries. Only the newer
// one can have members: each loop leaves an entry after it has marked it, and the new entry is made when all loops have left.
//
// A list is bounded. Existing rooms are on it once; vanished rooms at most changesGone times more than there are rooms. If it
// grows longer, the list is dropped, and all rooms of the lane must be read: they are fewer than the list was. Marks set until
// then have no effect.

// changesGone is how many vanished rooms a lane remembers, in addition to as many as it has rooms: 4,096 take 32 KiB and the
// entries.
const changesGone = 4096

// RoomCount is a room with its members on this node.
type RoomCount struct {
	Room    string
	Members int
}

// changes is what a lane remembers. Its mutex guards it.
type changes struct {
	list  []*Entry
	spare []*Entry // memory for the next list; without it the loops would allocate
	lost  bool     // the list grew too long: all rooms of the lane must be read
}

// Watch makes the directory remember changes, from now on permanently. Call All for each lane before the first Changed. Any
// goroutine.
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

// Changed appends to counts the rooms of a lane whose number of members changed since the last call of Changed or All for this
// lane. A room with members is there once; a vanished room any number of times, with 0; a room that vanished and came back both
// ways. Changes made meanwhile appear now or the next time. If there were too many changes, ok is false and nothing is appended:
// call All. One goroutine per lane.
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
		e.changed.Store(false) // first: changes from here on go on the next list
		counts = append(counts, RoomCount{e.Name, e.Members()})
	}
	if cap(list) <= changesGone { // the memory of a burst is not kept
		clear(list)
		ln.mu.Lock()
		ln.changes.spare = list[:0]
		ln.mu.Unlock()
	}
	return counts, true
}

// All appends to counts every room of a lane that has members. It visits them all with the lane's mutex held, at some 50 ns per
// room. One goroutine per lane, the one that calls Changed.
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
