// Package loop is the core of dotsconnect: connections, rooms, timeouts, fan-out, back-pressure and the bus between loops. It
// creates no socket, clock, goroutine or logger: its caller passes them in, so that the same code runs in the server and in a
// seeded simulation.
//
// The path of a message: read.go reads bytes, and the session parses them within a budget. calls.go accepts the message.
// publication.go encodes its frame once per variant. embedded.go gives the publication its place in the order of its lane.
// directory.go puts it into the inbox (inbox.go) of each loop that has members of the room. In that loop intake.go takes it out
// of the inbox, rooms.go appends it to the batch of its room, and fanout.go writes that batch to every member. Bytes that a
// member does not take wait in its backlog (backlog.go).
//
// The list below has all files. A file uses only files that are below it in the list; a test counts the few exceptions.
//
//	ledger.go        accepted × members = delivered + dropped + in flight, checked
//	loop.go          Loop.Turn: take the inbox, resend, move the wheel, parse input left over, flush, sweep
//	calls.go         the methods of a connection that its session calls: Publish, Join, Control, Hold, …
//	manyrooms.go     the calls of sessions with many rooms
//	plain.go         the same for a connection that speaks plain HTTP
//	intake.go        handles the posts that the turn took from the inbox: adoptions, publications, joins, calls
//	read.go          a socket has bytes; the session parses them within a budget (read, pause, ready list)
//	timeouts.go      finds the next deadline of a connection, and the connections whose deadline has passed
//	rooms.go         the rooms of a loop: join, leave; a publication is appended to the batch of its room
//	marks.go         moves the position of the members of quiet rooms
//	close.go         how a connection ends: last words, close frame, FIN, time limit
//	fanout.go        every dirty room writes its batch to every member, with ONE write per member
//	acks.go          tells senders that their publications have their place in the order
//	slow.go          the members with a backlog: resend, limits, shed
//	skip.go          members that lose their backlog, and are told of the gap, instead of a kick
//	late.go          members that wait for their position or their fence before they join
//	repeat.go        gives members what they missed, from the history
//	watch.go         the members that watch their rooms, and how they get the state
//	backlog.go       the frames that wait for a member with a backlog; three stages of back-pressure
//	stall.go         how long a member with a backlog may hold up its room
//	embedded.go      the Bus of a single node gives a publication its place in the order of its lane
//	gaps.go          finds the members that may have missed messages
//	outcome.go       tells a publisher that is not a member what became of its publication
//	node.go          the loops of a process, and what they have in common
//	fill.go          a history that a bus fills with what came before
//	history.go       keeps the latest publications of a lane
//	countchanges.go  the rooms whose number of members has changed, for a bus that tells other nodes
//	presences.go     tells the watchers of rooms who is there, within a budget
//	presencefar.go   exchanges with other nodes who is in a room
//	presencewire.go  the form in which nodes tell each other
//	presence.go      who is in a room
//	directory.go     knows which loops have members of a room (lanes, entries)
//	fence.go         drops what a client's former connection publishes behind the fence
//	inbox.go         other goroutines leave publications and calls for a loop here and ring its doorbell
//	deferred.go      publications of other nodes wait here while their room can take no more
//	flow.go          decides whether a member, the API or another node may add to a room (accounts, gates)
//	bus.go           the interface that gives publications their order and carries them
//	config.go        the limits and times, with their defaults
//	wheel.go         the timing wheel: one entry for each connection, for its next timeout
//	slots.go         the connections of a loop by their ids
//	conn.go          a connection as its loop sees it
//	member.go        a connection in a room, and the rooms of a connection with many
//	room.go          a room as one loop sees it: members and batches
//	batch.go         publications that are written together, and their encoded frames
//	publication.go   a message that was accepted; its frame is encoded once per variant
//	defaults.go      the methods of a session that a session without ids does not need
//	peer.go          the interfaces of the socket and of the session that a connection needs
//	reason.go        why a connection is closed
//	stats.go         the counters
//	worklist.go      lists of work that continue after a panic
//
// Threads: only one goroutine, "the loop's goroutine", may use a Loop: the one that calls Turn, Readable and Writable. The
// exceptions are Adopt, Call, Closed, Connections, Index, Joined, Ring and Stats, which any goroutine may call; their comments
// say so. Loops share only their inboxes and the mutexes of the lanes.
package loop
