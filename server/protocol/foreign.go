package protocol

import (
	"slices"
	"strings"
)

// foreignSubprotocols are subprotocols that identify clients of other systems.
var foreignSubprotocols = []struct{ name, system string }{
	{"graphql-ws", "GraphQL"}, {"graphql-transport-ws", "GraphQL"},
	{"mqtt", "MQTT"}, {"mqttv3.1", "MQTT"},
	{"v10.stomp", "STOMP"}, {"v11.stomp", "STOMP"}, {"v12.stomp", "STOMP"},
	{"wamp.2.json", "WAMP"}, {"wamp.2.msgpack", "WAMP"}, {"wamp.2.cbor", "WAMP"},
	{"actioncable-v1-json", "Action Cable"}, {"actioncable-unsupported", "Action Cable"},
	{"centrifuge-json", "Centrifugo"}, {"centrifuge-protobuf", "Centrifugo"},
	{"phoenix", "Phoenix"}, {"xmpp", "XMPP"}, {"ocpp1.6", "OCPP"}, {"ocpp2.0.1", "OCPP"},
}

// Foreign returns the name of the system that a client was written for, or "" if nothing points to another system. A client of
// another system would connect, and then wait for an answer that never comes, until its own timeout. The signs are the keys EIO
// and transport together (Socket.IO, Engine.IO), vsn on a path that ends in /websocket (Phoenix), protocol and client on a path
// with /app/ (Pusher), and foreignSubprotocols.
func Foreign(path, rawQuery string, subprotocols []string) (system string) {
	for _, f := range foreignSubprotocols {
		if slices.Contains(subprotocols, f.name) {
			return f.system
		}
	}
	var eio, transport, vsn, version, client bool
	for pair := range strings.SplitSeq(rawQuery, "&") { // not parsed into a map, because a query may have thousands of keys
		switch key, _, _ := strings.Cut(pair, "="); key {
		case "EIO":
			eio = true
		case "transport":
			transport = true
		case "vsn":
			vsn = true
		case "protocol":
			version = true
		case "client":
			client = true
		}
	}
	switch {
	case eio && transport:
		return "Socket.IO"
	case vsn && strings.HasSuffix(path, "/websocket"):
		return "Phoenix"
	case version && client && strings.Contains(path, "/app/"):
		return "Pusher"
	}
	return ""
}
