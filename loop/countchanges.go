package loop

import "slices"

// countchanges.go answers one question: in which rooms has the number of members changed since a reader last asked?
//
// Once a second, a bus may have to tell other machines how many members the rooms have on this node (redisbridge does). It could
// visit all rooms. With a million rooms this keeps one core busy for a second, although perhaps only a hundred rooms have
// changed. So an entry has a mark, and a lane has a list of its marked entries. Code that changes a count marks the entry
// afterwards. This costs one load if the entry is marked already; otherwise it costs the lane's mutex and an append. The reader
// takes the whole list, which costs the same for any length, and then visits the entries on it without the mutex.
//
// Invariant: no change is missed. A change updates the count before it looks at the mark, and the reader clears the mark before
// it reads the count. So if a change finds the mark set, the reader still has to read the count. A mark is set under the mutex,
// together with the append, and All clears marks under the mutex too. So a marked entry is exactly once on a list: on the lane's
// list, or on the list that a reader has taken and is visiting.
//
// A room that vanishes stays on the list, with the count 0. A room that vanished and came back has two entries. Only the newer
// one can have members: each loop leaves an entry after it has marked it, and the new entry is made when all loops have left.
//
// The length of a list is bounded. Each existing room is on it at most once. Vanished rooms may take changesGone places more than
// the number of existing rooms. If there were more, the list would be dropped, and the reader would have to read all rooms of
// the lane, which are fewer than the dropped entries. Marks that were set before that no longer count.

// changesGone is how many vanished rooms a lane remembers beyond the number of its existing rooms. For 4,096 rooms the list takes
// 32 KiB, and their entries take more.
const changesGone = 4096

// RoomCount is a room with the number of its members on this node.
type RoomCount struct {
	Room    string
	Members int
}

// changes is the part of a lane that remembers changes. The lane's mutex guards it.
type changes struct {
	list  []*Entry
	spare []*Entry // memory for the next list; without it the loops would allocate
	lost  bool     // the list grew too long: all rooms of the lane must be read
}

// Watch makes the directory remember changes from now on; this cannot be turned off. Call All for each lane before the first
// Changed. Any goroutine.
func (d *Directory) Watch() { d.watched.Store(true) }

// countChanged notes that the number of members of e has changed. Any goroutine, after the change and before Leave.
func (d *Directory) countChanged(e *Entry) {
	d.Presences().presenceChanged(e)
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
// lane. A room with members is in the answer once. A vanished room may be in it several times, with the count 0. A room that
// vanished and came back is in it both with 0 and with the number of its members. Changes made during the call appear in this
// answer or in the next. If there were too many changes, ok is false and nothing is appended: call All. One goroutine per lane.
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
		e.changed.Store(false) // before the count is read: later changes go on the next list
		counts = append(counts, RoomCount{e.Name, e.Members()})
	}
	if cap(list) <= changesGone { // do not keep the memory of a burst
		clear(list)
		ln.mu.Lock()
		ln.changes.spare = list[:0]
		ln.mu.Unlock()
	}
	return counts, true
}

// All appends to counts every room of a lane that has members. It visits all entries with the lane's mutex held, which takes
// about 50 ns per room. Only the goroutine that calls Changed for the lane may call it.
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
