// Package loop is the core of dotsconnect: connections, rooms, timeouts, fan-out, back-pressure and the bus between
// loops. It knows no socket, no clock, no goroutine and no logger; all of them are arguments, so that the same code
// runs in the server and in a seeded simulation.
//
// The way of a message, in reading order of the files:
//
//	read.go         Readable: a socket has bytes; the session parses them within a budget      (read, pause, ready list)
//	conn.go         Conn.Publish: the session hands over a message
//	publication.go  the message becomes a Publication; its frame is encoded once per variant
//	embedded.go     Embedded.Publish gives it its place in the order of its lane               (the Bus seam is in bus.go)
//	directory.go    which loops have members of the room                                       (lanes, entries)
//	parking.go      what comes from other nodes at once waits here for its room
//	inbox.go        each of these loops finds it in its inbox and hears its doorbell ring
//	turn.go         Loop.Turn: adopt, take the inbox, resend, wheel, reads left over, flush, sweep
//	room.go         the publication is appended to the batch of the room
//	fanout.go       every dirty room writes its batch to every member, ONE write a member
//	backlog.go      what a slow member could not take waits here; three stages of back-pressure
//	stall.go        how long such a member may hold up its room
//	ending.go       how a connection ends: last words, close frame, FIN, time limit
//	marks.go        which rooms have another number of members, for a bus that tells other nodes
//	wheel.go        every timeout of a connection is one entry here
//	worklist.go     work that goes on where a panic has left it
//	bus.go          what the loops expect of a bus
//	gaps.go         which members may have missed something
//	node.go         the loops of a process, and what they have in common
//	ledger.go       accepted × members = delivered + dropped + in flight, checked
//
// Threads: everything of a Loop belongs to the one goroutine that calls Turn, Readable and Writable ("the loop's
// goroutine"). The exceptions say so: Adopt, Call, Closed, Joined and Ring may be called from anywhere. Between loops
// there is only the inbox of each loop, and the mutex of a lane.
package loop
