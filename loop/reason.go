package loop

// Why is the limit that a connection broke; also the reason label of dropped frames.
type Why uint8

// The reasons.
const (
	WhyLeft        Why = iota // the peer closed, reset, or vanished
	WhyClosed                 // ended by the session: close handshake, protocol error, drain
	WhyHandshake              // no whole handshake within HandshakeTimeout
	WhyHeartbeat              // no sign of life for MaxAge
	WhyFrame                  // half a frame without progress for FrameTimeout
	WhyBacklogHard            // backlog over HardBacklog
	WhyBacklogSoft            // backlog over SoftBacklog for BacklogTime
	WhyShed                   // the slowest, when the node was over BacklogTotal
	WhyRoomFull               // RoomMembers reached
	WhyNodeFull               // MaxRooms reached
	WhyBackend                // the bus could not deliver what it published (Node.Refuse)
	WhyDoubt                  // the bus does not know whether it delivered what it published (Node.Doubt)
	WhyGap                    // messages of its room may have passed it over (Node.Gap), and the server is set to end it for that
	numWhy
)

var whyNames = [numWhy]string{"left", "closed", "handshake_timeout", "heartbeat_missed", "frame_stalled", "backlog_hard",
	"backlog_soft", "shed", "room_full", "node_full",
	"backend_unavailable", "backend_doubtful", "gap"}

func (w Why) String() string { return whyNames[w] }

// Slow reports that the connection is a slow consumer.
func (w Why) Slow() bool { return w == WhyBacklogHard || w == WhyBacklogSoft || w == WhyShed }

// NumWhy is the number of reasons, for tables by reason.
const NumWhy = int(numWhy)
