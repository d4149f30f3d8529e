// Package protocol defines the meaning of an address, of a message and of a close. It is the contract of PROTOCOL.md as code:
// bytes in, bytes out, without sockets, goroutines, a clock, or state except a reused decoder.
//
// Reading order: target.go (the room that a request asks for), envelope.go (the message that a client sent), badframe.go (why a
// message was refused), frame.go (the frame that the members of the room receive), codes.go (how a connection ends).
package protocol
