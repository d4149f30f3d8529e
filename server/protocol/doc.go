// Package protocol defines the meaning of the bytes of an address, a message and a close. It is the contract of PROTOCOL.md as
// code. It turns bytes into values and values into bytes. It has no sockets, goroutines or clock. Only its Decoder has state,
// so that its memory can be reused.
//
// Reading order: target.go (the room that a request asks for), envelope.go (parses the message of a client), badframe.go (why a
// message was refused), frame.go (the frame that the members of the room receive), codes.go (the close codes).
//
// Version 2: options.go (the query of an address), request.go and requestfields.go (the messages of a client), id.go (positions),
// framev2.go (the frame that members receive), events.go (the frames that the server itself writes). testdata/v2.json has test
// vectors, for clients too. sse.go writes the same objects as Server-Sent Events; httptarget.go and value.go read the addresses and bodies
// of rooms over plain HTTP.
package protocol
