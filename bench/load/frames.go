package load

// Frames are the text messages of a server's protocol. {room} stands for the
// name of the room and {payload} for what the generator proves delivery by:
// ASCII without quotes and backslashes.
type Frames struct {
	Join      []string // sent one after the other when a connection is open
	Joined    string   // regular expression of the answer to the last of them; empty: none comes
	Send      string   // a publication; empty: {"message":"{payload}"}
	Heartbeat string   // empty: "heartbeat", a JSON string
	Many      bool     // one received message can hold several payloads
}
