package loop

// CloseReason is the reason why a connection ended. In the metrics it is also a label of the frames that were dropped with
// the connection.
type CloseReason uint8

// The reasons.
const (
	ReasonLeft        CloseReason = iota // the peer closed or reset the connection, or vanished
	ReasonClosed                         // ended by the session: close handshake, protocol error, drain
	ReasonHandshake                      // no whole handshake within HandshakeTimeout
	ReasonHeartbeat                      // no sign of life for MaxAge
	ReasonFrame                          // no next byte inside a frame for FrameTimeout
	ReasonBacklogHard                    // backlog over HardBacklog
	ReasonBacklogSoft                    // backlog over SoftBacklog for BacklogTime
	ReasonShed                           // the slowest member when the node was over BacklogTotal
	ReasonRoomFull                       // RoomMembers reached
	ReasonNodeFull                       // MaxRooms reached
	ReasonBackend                        // the bus could not deliver a publication of the connection (Node.Refuse)
	ReasonDoubt                          // the bus does not know whether it delivered a publication of the connection (Node.Doubt)
	ReasonGap                            // its room had a gap (Node.Gap), and the server closes members after a gap
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

// Slow reports whether the reason is that the connection is a slow consumer.
func (r CloseReason) Slow() bool {
	return r == ReasonBacklogHard || r == ReasonBacklogSoft || r == ReasonShed
}

// NumReasons is the number of reasons, for tables by reason.
const NumReasons = int(numReasons)
