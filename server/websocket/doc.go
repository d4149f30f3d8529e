// Package websocket is the server's side of RFC 6455 as a codec: it turns bytes into events, and values into bytes.
//
// It has no sockets, goroutines, clocks or locks, so an event loop can drive hundreds of thousands of connections with it:
//
//   - HeadScanner, CheckHandshake and AppendSwitchingProtocols (or AppendRefusal) handle the opening handshake; OriginPolicy
//     decides which web pages may connect;
//   - Parser is the state of one connection's incoming frames: 64 bytes, and a buffer only while a message is unfinished;
//   - AppendHeader, AppendControl and AppendClose write outgoing frames.
//
// Every parser in this package follows one rule: the first violation in the order of the bytes decides about the result,
// however the bytes were split into segments. So a refusal does not depend on network timing, and all messages before the
// violation are delivered.
//
// No extensions are supported: see AppendSwitchingProtocols.
package websocket
