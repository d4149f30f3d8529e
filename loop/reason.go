package loop

// CloseReason is the limit that a connection broke. Dropped frames have it as the reason label, too.
type CloseReason uint8

// The reasons.
const (
	ReasonLeft        CloseReason = iota // the peer closed, reset, or vanished
	ReasonClosed                         // ended by the session: close handshake, protocol error, drain
	ReasonHandshake                      // no whole handshake within HandshakeTimeout
	ReasonHeartbeat                      // no sign of life for MaxAge
	ReasonFrame                          // half a frame without progress for FrameTimeout
	ReasonBacklogHard                    // backlog over HardBacklog
	ReasonBacklogSoft                    // backlog over SoftBacklog for BacklogTime
	ReasonShed                           // the slowest, when the node was over BacklogTotal
	ReasonRoomFull                       // RoomMembers reached
	ReasonNodeFull                       // MaxRooms reached
	ReasonBackend                        // the bus could not deliver what it published (Node.Refuse)
	ReasonDoubt                          // the bus does not know whether it delivered what it published (Node.Doubt)
	ReasonGap                            // messages of its room may have been missed (Node.Gap), and the server is set to end it for that
	numReasons
)

var reasonNames = [numReasons]string{
	ReasonLeft:        "left",
	ReasonClosed:      "closed",
	ReasonHandshake:   "handshake_timeout",
	ReasonHeartbeat:   "heartbeat_missed",
	ReasonFrame:       "frame_stalled",
	ReasonBacklogHard: "backlog_hard",
	ReasonBacklogSoft: "backlog_soft",
	ReasonShed:        "shed",
	ReasonRoomFull:    "room_full",
	ReasonNodeFull:    "node_full",
	ReasonBackend:     "backend_unavailable",
	ReasonDoubt:       "backend_doubtful",
	ReasonGap:         "gap",
}

func (r CloseReason) String() string { return reasonNames[r] }

// Slow reports that the connection is a slow consumer.
func (r CloseReason) Slow() bool {
	return r == ReasonBacklogHard || r == ReasonBacklogSoft || r == ReasonShed
}

// NumReasons is the number of reasons, for tables by reason.
const NumReasons = int(numReasons)
