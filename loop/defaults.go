package loop

// The methods of Session that a session without ids does not need. Every peer has them because it embeds a Conn.

type withoutIDs struct{}

// NotJoined says nothing.
func (withoutIDs) NotJoined(string, CloseReason) {}

// AppendLive says nothing.
func (withoutIDs) AppendLive(dst []byte, _ string, _ ID, _ Fenced) []byte { return dst }

// AppendGap says nothing.
func (withoutIDs) AppendGap(dst []byte, _ string, _ ID, _ int, _ GapReason) []byte { return dst }

// Ack says nothing.
func (withoutIDs) Ack(string, uint64, ID, bool) {}

// Presence implements Session.
func (withoutIDs) Presence(string, []byte) {}

// Refused makes the loop kick c.
func (withoutIDs) Refused(*Publication, CloseReason) (goOn bool) { return false }
