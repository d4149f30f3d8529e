package server

import (
	"fmt"
	"strconv"

	"go.uber.org/zap"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
	"dotsconnect/server/websocket"
)

// session is one connection: the loop's part (rooms, timeouts, backlog), the socket, and the parser. It is one object, because
// there are hundreds of thousands of sessions. Only the loop's goroutine uses it.
type session struct {
	loop.Conn
	socket
	parser websocket.Parser
	extra  *extra // nil until it is needed
	gaps   uint64 // number of gaps on the node when the session joined its room
	phase  phase
	speaks speech
	told   bool // the end of the connection has been logged
}

// extra has the fields that only some connections need. Most of these need them only for a moment; raw connections keep them
// after their first ping.
type extra struct {
	awaits    bool            // registered with writable
	scanned   int             // size of an incomplete head at its last scan, see head
	handshake *handshake      // set while the join is on its way
	post      *post           // set while a POST is not answered
	discarded int             // bytes that a reader of events has sent behind its request
	me        uint64          // the tag of the connection, if it has sent a ref
	was       string          // the key of the former connection, on a connection with many rooms
	ref       uint64          // the latest ref of the client
	joins     map[string]wish // rooms that a connection with many rooms waits to join, if it asked for more than new messages
	spent     int64           // cheap frames that count against the budget of the peer, in tenths, see overspent
	spentT    uint32          // the tick up to which spent was refilled
}

// speech is the protocol that a connection speaks after its handshake.
type speech uint8

const (
	speaksV1 speech = iota
	speaksRaw
	speaksV2
	speaksMany // version 2, many rooms
	speaksSSE
)

// String is the name in the API.
func (p speech) String() string { return [...]string{"v1", "raw", "v2", "v2", "sse"}[p] }

type phase uint8

const (
	phaseHead   phase = iota // reading the request head
	phaseAnswer              // waiting for the join; then the handshake is answered
	phaseFrames
	phaseNext // waiting for another request, after the answer to a POST
	phaseBody // reading the body of a POST
	phasePost // waiting for the outcome of a POST
)

// extraOf returns the fields that few sessions need.
func extraOf(s *session) *extra {
	if s.extra == nil {
		s.extra = &extra{}
	}
	return s.extra
}

// forgetExtra drops these fields, except the one that belongs to the socket.
func forgetExtra(s *session) {
	if s.extra != nil && s.extra.awaits {
		s.extra = &extra{awaits: true}
	} else {
		s.extra = nil
	}
}

// poller returns the poller of the session's loop.
func (s *session) poller() *poller { return s.Loop().Host().(*poller) }

// rules returns the current rules.
func (s *session) rules() *rules { return s.poller().srv.rules.Load() }

// Open implements loop.Socket: it adds the socket to the poller. If that fails, the poller closes the socket.
func (s *session) Open() error {
	nb := adoptFile(s.fd)
	nb.SetSession(s)
	_, err := s.poller().engine.AddConn(nb)
	return err
}

// Shutdown implements loop.Socket. The poller closes the socket when it reports the event that Shutdown causes.
//
// The session gives up its buffers here. Half a message can take 64 KiB, and nbio may keep a pointer to the session for a
// while, because it shortens its list of closed connections without clearing the rest.
func (s *session) Shutdown() {
	s.logLost()
	s.shut()
	s.parser, s.extra = websocket.Parser{}, nil
}

// Input implements loop.Session.
func (s *session) Input(p []byte) (used int) {
	for len(p) > 0 && s.MayParse() {
		var n int
		switch {
		case s.phase == phaseHead || s.phase == phaseNext:
			if n = s.head(p); n == 0 {
				return used // more bytes are needed, or the connection is ending
			}
		case s.phase == phaseBody:
			n = overHTTP{s}.body(p)
		case s.speaks == speaksSSE:
			n = sse{s}.discard(p)
		default:
			n = s.frame(p)
		}
		p, used = p[n:], used+n
	}
	if s.phase == phaseFrames && s.Conn.Open() {
		s.SetPartial(s.parser.Partial())
	}
	return used
}

// frame parses p up to the end of the next frame and handles that frame.
func (s *session) frame(p []byte) (used int) {
	used, event, payload, err := s.parser.Next(p, &s.rules().limits)
	if err != nil {
		s.finish(err.Code, err.Reason, loop.ReasonClosed)
		return used
	}
	if event == websocket.None {
		return used
	}
	s.Took()
	if s.everyFrameCounts() {
		s.Touch(s.Loop().Now())
	}
	if cheap(event, s.speaks == speaksRaw, len(payload)) && s.overspent() {
		s.end(protocol.ClosePolicy, "too many control frames, fragments or tiny messages (see --control-rate)", loop.ReasonClosed)
		return used
	}
	switch event {
	case websocket.Text, websocket.Binary:
		s.message(event, payload)
	case websocket.Ping:
		s.Control(websocket.AppendControl(s.poller().control[:0], websocket.OpPong, payload))
	case websocket.Close:
		code, reason := websocket.ParseClose(payload)
		s.finish(code, string(reason), loop.ReasonClosed)
	}
	return used
}

// message accepts a data message.
func (s *session) message(event websocket.Event, payload []byte) {
	switch {
	case s.speaks == speaksRaw && event == websocket.Binary:
		s.Publish(loop.KindBinary, payload)
	case s.speaks == speaksRaw:
		s.Publish(loop.KindText, payload)
	case s.speaks >= speaksV2:
		v2{s}.requests(event, payload)
	case event == websocket.Binary:
		s.end(protocol.CloseBadFrame, protocol.ErrBinary.Error(), loop.ReasonClosed)
	default:
		in, value, err := s.poller().decoder.DecodeV1(payload)
		if err != nil {
			s.end(protocol.CloseBadFrame, err.Error(), loop.ReasonClosed)
			return
		}
		s.Touch(s.Loop().Now())
		if in == protocol.Heartbeat {
			s.poller().srv.counts.heartbeats.Add(1)
			return
		}
		s.Publish(loop.KindText, value)
	}
}

// tinyMessage is the size below which most of the work for a raw message is overhead.
const tinyMessage = 4

// cheap reports whether a frame costs the server more work than its sender. Such frames have a budget (ControlRate,
// ControlBurst).
func cheap(event websocket.Event, raw bool, size int) bool {
	switch event {
	case websocket.Text, websocket.Binary:
		return raw && size < tinyMessage
	case websocket.Close:
		return false
	}
	return true
}

// overspent takes one cheap frame from the budget, and reports whether the budget is used up. The budget is a token bucket that
// refills at ControlRate a second up to ControlBurst. It counts in tenths of a frame, because a tick is a tenth of a second.
func (s *session) overspent() bool {
	cfg := &s.rules().cfg
	now := uint32(s.Loop().Now() / loop.Tick)
	if s.extra == nil {
		s.extra = &extra{spentT: now}
	}
	x := s.extra
	back := int64(now-x.spentT) * int64(cfg.ControlRate)
	x.spentT = now
	x.spent = max(x.spent-back, 0) + 10
	return x.spent > 10*int64(cfg.ControlBurst)
}

// Joined implements loop.Session. The handshake is answered only now, so that the client gets everything that is published after
// it has seen the answer.
func (s *session) Joined(room string) {
	switch s.speaks {
	case speaksMany:
		v2{s}.joinedOne(room)
	case speaksSSE:
		sse{s}.joined()
	default:
		s.upgraded(room)
	}
}

// upgraded answers the handshake. room is "" if the connection is in no room yet.
func (s *session) upgraded(room string) {
	now := s.Loop().Now()
	s.phase = phaseFrames
	s.gaps = s.poller().srv.node.Gaps()
	s.poller().srv.counts.upgraded.Add(1)
	h := s.extra.handshake
	forgetExtra(s) // before the answer, because writing the answer may need extra
	answer := websocket.AppendSwitchingProtocols(nil, h.key, h.subprotocol)
	if s.speaks == speaksV2 {
		answer = v2{s}.appendOpen(answer, room, h.asked)
	}
	s.Control(answer)
	s.Upgraded(now)
	if s.everyFrameCounts() {
		s.WantPings()
	}
	s.logOpened(h)
	s.Release()
}

// everyFrameCounts reports whether every frame of the client is a sign of life.
func (s *session) everyFrameCounts() bool {
	return s.speaks != speaksV1 || s.poller().srv.anyLife
}

// Ping implements loop.Session.
func (s *session) Ping() {
	if s.speaks == speaksSSE {
		loop.Plain{Conn: &s.Conn}.Pulse([]byte(protocol.SSEComment))
		return
	}
	s.Control(websocket.AppendControl(s.poller().control[:0], websocket.OpPing, nil))
}

// Kick implements loop.Session.
func (s *session) Kick(why loop.CloseReason) {
	cfg := &s.rules().cfg
	switch why {
	case loop.ReasonHandshake:
		s.refuse(&websocket.HeadError{Status: 408, Text: "the request did not arrive within " + cfg.HandshakeTimeout.String()}, why)
	case loop.ReasonHeartbeat:
		s.end(protocol.CloseHeartbeatMissed, "no sign of life for "+cfg.MaxAge.String(), why)
	case loop.ReasonFrame:
		s.end(protocol.ClosePolicy, "a frame stayed incomplete without progress for "+cfg.FrameTimeout.String(), why)
	case loop.ReasonRoomFull:
		s.refuseInFrame(protocol.CloseRoomFull, "the limit of the room is "+counted(cfg.RoomMembers, "member"), why)
	case loop.ReasonNodeFull:
		s.refuseInFrame(protocol.CloseRoomFull, "the limit of this node is "+counted(cfg.MaxRooms, "room"), why)
	case loop.ReasonBackend:
		s.end(protocol.CloseBackendUnavailable, "a message could not be passed on to the other nodes", why)
	case loop.ReasonDoubt:
		s.end(protocol.CloseBackendUnavailable, "a message may or may not have reached the room", why)
	case loop.ReasonBacklogHard:
		s.end(protocol.CloseSlowConsumer, "the backlog of this member was over "+cfg.HardBacklog.String(), why)
	case loop.ReasonBacklogSoft:
		s.end(protocol.CloseSlowConsumer, "the backlog of this member was over "+cfg.SoftBacklog.String()+" for "+cfg.BacklogTime.String(), why)
	case loop.ReasonShed:
		s.end(protocol.CloseSlowConsumer, "all backlogs together were over "+cfg.BacklogTotal.String(), why)
	default:
		s.poller().srv.log.Error("a reason to kick has no close code", zap.Stringer("reason", why))
		s.end(protocol.CloseInternalError, why.String(), why)
	}
}

// kick ends the connection at the request of an operator.
func (s *session) kick(detail string) {
	s.end(protocol.CloseKicked, detail, loop.ReasonClosed)
}

// leave ends the connection because the node is going out of service.
func (s *session) leave() {
	switch s.phase {
	case phaseFrames:
		s.end(protocol.CloseDraining, "", loop.ReasonClosed)
		return
	case phasePost: // it gets its answer first
		s.extra.post.keep = false
		return
	}
	s.refuse(&websocket.HeadError{Status: 503, Text: "this node is going out of service"}, loop.ReasonClosed)
}

// end closes the connection with a code from protocol.Codes.
func (s *session) end(code int, detail string, why loop.CloseReason) {
	if s.phase != phaseFrames {
		s.refuse(&websocket.HeadError{Status: 500, Text: detail}, why)
		return
	}
	s.finish(code, protocol.Reason(code, detail), why)
}

// finish sends a close frame as the last words.
func (s *session) finish(code int, reason string, why loop.CloseReason) {
	if !s.Conn.Open() && !why.Slow() {
		return
	}
	s.poller().srv.counts.close(code)
	s.logEnded(code, reason)
	if s.speaks == speaksSSE {
		s.Finish(appendStreamEnd(nil, code, reason), why)
		return
	}
	s.Finish(websocket.AppendClose(nil, code, reason), why)
}

// refuseInFrame accepts the handshake and then closes at once with a code, because a browser does not show the status of a failed
// handshake to the page.
func (s *session) refuseInFrame(code int, detail string, why loop.CloseReason) {
	if s.speaks == speaksSSE {
		sse{s}.refuse(code, detail, why)
		return
	}
	s.poller().srv.counts.upgraded.Add(1)
	s.poller().srv.counts.close(code)
	h := s.extra.handshake
	last := websocket.AppendSwitchingProtocols(nil, h.key, h.subprotocol)
	s.phase = phaseFrames
	s.logEnded(code, protocol.Reason(code, detail))
	s.Finish(websocket.AppendClose(last, code, protocol.Reason(code, detail)), why)
}

// refuse answers a request, which may be incomplete, with an HTTP status.
func (s *session) refuse(e *websocket.HeadError, why loop.CloseReason) {
	if (overHTTP{s}).refuseRoom(e, why) {
		return
	}
	s.logRefused(nil, e)
	s.poller().srv.counts.refuse(e.Status)
	s.Finish(websocket.AppendRefusal(nil, e), why)
}

// counted writes a number with its noun: 1 member, 2 members.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// formatID writes the id of a connection in the form that logs and the API use.
func formatID(id loop.ConnID) string { return fmt.Sprintf("%016x", uint64(id)) }
