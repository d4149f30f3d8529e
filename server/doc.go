// Package server is a node of dotsconnect without its command line: it accepts connections, speaks HTTP and WebSocket with their
// clients, and passes their messages to the loops.
//
//	server.go      the life of a node: New, Start, Close
//	config.go      every setting; settings.go: as flags and variables; units.go: sizes; validate.go: the checks
//	rules.go       the settings that may change while the server runs
//	descriptors.go how the limit of open files is divided
//	doors.go       the sockets on which a node listens
//	waiting.go     the answers on these sockets while the node waits for Redis
//	acceptor.go    takes connections from the listener and gives each to a loop
//	poller.go      the interface to nbio: one engine per loop, and the doorbell; goyield.go lets other goroutines run
//	socket.go      the transport of a connection: raw sends and reads
//	writable.go    connections that wait for room to write
//	session.go     one connection: parses frames, passes messages to the loop, ends with a close code
//	requests.go    a connection of version 2: requests, answers, and what the client missed
//	manyrooms.go   a connection of version 2 with many rooms
//	presence.go    who is in a room
//	secrets.go     the keys of connections of version 2
//	encodings.go   a publication becomes a frame
//	handshake.go   the request head, routed into a room or to the pages
//	roomhttp.go    rooms over plain HTTP: which pages and hosts may use them, and the answers
//	sse.go         a reader of Server-Sent Events
//	post.go        a POST that publishes; idempotency.go remembers keys of such requests
//	pages.go       plain HTTP on the port for clients; hostnames.go finds the names of this machine
//	drain.go       takes the node out of service and loses no accepted message
//	gap.go         closes members that may have missed messages, with --on-gap=close
//	backend.go     the interface to the other nodes
//	admin.go       the admin address: metrics.go, api.go, health, profiles; its connections are in adminlistener.go
//	apiconnections.go  lists and kicks connections; top.go keeps the first connections in a given order
//	counts.go      the server's own counters
//	log.go         log lines about connections
//	memory.go      limits the garbage on the heap, and returns memory to the system after a busy time
//
// PROTOCOL.md describes the protocol, METRICS.md the metrics.
package server
