// Package loop is the core of dotsconnect: connections, rooms, timeouts, fan-out, back-pressure and the bus between loops. It has
// no socket, clock, goroutine or logger: the caller passes them in, so that the same code runs in the server and in a seeded
// simulation.
//
// The path of a message: read.go reads bytes, and the session parses them within a budget. calls.go accepts the message.
// publication.go encodes its frame once per variant. embedded.go gives it its place in the order of its lane. directory.go puts
// it into the inbox (inbox.go) of each loop that has members of the room. In the loop, intake.go takes it out of the inbox,
// rooms.go appends it to the batch of its room, and fanout.go writes that batch to every member. Bytes that a member does not
// take wait in its backlog (backlog.go).
//
// The files, from top to bottom. A file uses only files below it, with few exceptions (a test counts them).
//
//	ledger.go        accepted × members = delivered + dropped + in flight, checked
//	loop.go          Loop.Turn: take the inbox, resend, wheel, reads left over, flush, sweep
//	calls.go         the methods by which a session acts on its connection: Publish, Join, Control, Hold, …
//	intake.go        handles the items that the turn took from the inbox: adoptions, publications, joins, calls
//	read.go          a socket has bytes; the session parses them within a budget (read, pause, ready list)
//	timeouts.go      which deadline of a connection is next, and which connections missed theirs
//	rooms.go         the rooms of a loop: join, leave; a publication is appended to the batch of its room
//	close.go         how a connection ends: last words, close frame, FIN, time limit
//	fanout.go        every dirty room writes its batch to every member, ONE write per member
//	slow.go          the members with a backlog: resend, limits, shed
//	backlog.go       the frames that wait for a slow member; three stages of back-pressure
//	stall.go         how long a slow member may hold up its room
//	embedded.go      the Bus of a single node gives a publication its place in the order of its lane
//	gaps.go          which members may have missed publications
//	node.go          the loops of a process, and the state that they share
//	countchanges.go  which rooms have another number of members, for a bus that tells other nodes
//	directory.go     which loops have members of the room (lanes, entries)
//	inbox.go         the queue in which other goroutines leave publications and calls for a loop; its doorbell
//	deferred.go      publications of other nodes that come all at once are deferred until their room admits them
//	flow.go          decides whether members, the API and other nodes may add to a room (accounts, gates)
//	bus.go           the interface that gives publications their order and carries them
//	config.go        the limits and times, with their defaults
//	wheel.go         every timeout of a connection is one entry here
//	slots.go         the connections of a loop by their ids
//	conn.go          a connection as its loop sees it
//	room.go          a room as one loop sees it: members and batches
//	batch.go         publications that are written at once, and their encoded frames
//	publication.go   a message that was accepted; its frame is encoded once per variant
//	peer.go          the interfaces of a connection to its socket and to its session
//	reason.go        why a connection is closed
//	stats.go         the counters
//	worklist.go      lists of work, which go on after a panic
//
// Threads: everything in a Loop belongs to the one goroutine that calls Turn, Readable and Writable ("the loop's goroutine"). The
// exceptions say so: Adopt, Call, Closed, Connections, Index, Joined, Ring and Stats may be called from any goroutine. Loops
// share only their inboxes and the mutexes of the lanes.
package loop
