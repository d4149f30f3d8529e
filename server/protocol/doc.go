// Package protocol defines the meaning of the bytes of an address, a message and a close. It is the contract of PROTOCOL.md as
// code: bytes in, bytes out, without sockets, goroutines, a clock, or state except a reused decoder.
//
// Reading order: target.go (the room that a request asks for), envelope.go (what a client sent), badframe.go (why it was
// refused), frame.go (what the members of the room receive), codes.go (how a connection ends).
package protocol
