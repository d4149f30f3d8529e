// Package server is a node of dotsconnect without its command line: it accepts connections, speaks HTTP and WebSocket with
// them, and passes their messages to the loops.
//
//	server.go      the life of a node: New, Start, Close
//	config.go      every setting; settings.go has their outer forms, units.go their units, validate.go the checks
//	rules.go       the settings that may change while the server runs
//	descriptors.go how the limit of open files is divided
//	doors.go       the sockets that a node listens at
//	waiting.go     the answers at them while the node cannot begin
//	acceptor.go    takes connections from the listener and gives each to a loop
//	poller.go      the interface to nbio: one engine per loop, and the doorbell
//	socket.go      the transport of a connection: raw sends and reads
//	writable.go    connections that wait for room to write
//	session.go     one connection: frames in, messages to the loop, every end with its code
//	encodings.go   a publication becomes a frame
//	handshake.go   the request head, routed into a room or to the pages
//	pages.go       plain HTTP on the port for clients; hostnames.go is whose pages are our own
//	drain.go       out of service, in good order
//	gap.go         members that may have missed messages are closed, if that is wished
//	backend.go     the seam to the other nodes
//	admin.go       the admin address: metrics.go, api.go, health, profiles; its connections are in adminlistener.go
//	apiconnections.go  list and kick connections; top.go keeps the first few of many
//	counts.go      the server's own counters
//	log.go         log lines about connections
//	memory.go      how much garbage there may be; memory goes back when the work is over
//
// PROTOCOL.md describes the protocol, METRICS.md the metrics.
package server
