package loop

// The methods of Session that a session without ids does not need. Every peer has them because it embeds a Conn.

// NotJoined kicks c.
func (c *Conn) NotJoined(_ string, why CloseReason) { c.peer.Kick(why) }

// AppendLive says nothing.
func (*Conn) AppendLive(dst []byte, _ string, _ ID, _ Fenced) []byte { return dst }

// AppendGap says nothing.
func (*Conn) AppendGap(dst []byte, _ string, _ ID, _ int, _ GapReason) []byte { return dst }

// Ack says nothing.
func (*Conn) Ack(string, uint64, ID, bool) {}

// Presence implements Session.
func (*Conn) Presence(string, []byte) {}

// Refused makes the loop kick c.
func (*Conn) Refused(*Publication, CloseReason) (goOn bool) { return false }
