// Package server is a node of dotsconnect without its command line: it accepts connections, speaks HTTP and WebSocket with their
// clients, and passes their messages to the loops.
//
//	server.go      the life of a node: New, Start, Close
//	config.go      every setting; settings.go has its name, default and help, units.go the units, validate.go the checks
//	rules.go       the settings that may change while the server runs
//	descriptors.go how the limit of open files is divided
//	doors.go       the sockets that a node listens at
//	waiting.go     the answers to clients while the node cannot begin
//	acceptor.go    takes connections from the listener and gives each to a loop
//	poller.go      the interface to nbio: one engine per loop, and the doorbell
//	socket.go      the transport of a connection: raw sends and reads
//	writable.go    connections that wait until their sockets can be written
//	session.go     one connection: parses frames, passes messages to the loop, ends with a code in every case
//	encodings.go   a publication becomes a frame
//	handshake.go   the request head, routed into a room or to the pages
//	pages.go       plain HTTP on the port for clients; hostnames.go has the names under which a page is our own
//	drain.go       takes the node out of service without losing messages
//	gap.go         closes members that may have missed messages, if --on-gap says so
//	backend.go     the interface to the other nodes
//	admin.go       the admin address: metrics.go, api.go, health, profiles; its connections are in adminlistener.go
//	apiconnections.go  lists and kicks connections; top.go keeps the first few of many
//	counts.go      the server's own counters
//	log.go         log lines about connections
//	memory.go      decides how much garbage there may be, and returns memory after a busy time
//
// PROTOCOL.md describes the protocol, METRICS.md the metrics.
package server
