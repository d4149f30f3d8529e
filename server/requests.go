package server

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
	"dotsconnect/server/websocket"
)

// v2 is what a session does in version 2 only: each frame of the client is a request or an array of requests, and each answer is an
// event or an error. A bad request does not end the connection.
type v2 struct{ *session }

// join asks the loop for membership in the room, from the position that the client names.
func (s v2) join(t *protocol.Target, v loop.Variant) {
	start := startOf(t.V2.Since, t.V2.Last, fenceOf(t.V2.Was))
	start.Watch = s.watch(t.V2.Presence)
	s.extra.handshake.asked = wish{t.V2.Since != "", t.V2.Last > 0}
	s.poller().srv.keepHistory()
	s.OnSlow(slowOf(t.V2.Slow))
	s.JoinFrom(t.Key(), v, start)
}

// startOf returns where the stream of a member begins that sends these values of since and last. Its former connection is fenced
// if it wants to go on from there.
func startOf(since string, last int, former *loop.Fence) loop.Start {
	start := loop.Start{Last: last}
	if since != "" {
		start.Fence = former
	}
	if p, ok := protocol.ParsePosition(since); ok {
		start.Since, start.HasSince = loop.ID{Tag: p.Tag, Seq: p.Seq, Index: uint32(p.Index)}, true
	}
	return start
}

// slowOf returns the loop's word for a value of slow.
func slowOf(value string) loop.Slow {
	switch value {
	case protocol.SlowGap:
		return loop.SlowGap
	case protocol.SlowLatest:
		return loop.SlowLatest
	}
	return loop.SlowKick
}

// wish says what a member has asked for when it joined.
type wish struct {
	since bool // a position to resume from
	last  bool // the newest publications
}

// appendOpen appends the event open, and the event live if nothing is repeated although the client asked for it.
func (s v2) appendOpen(dst []byte, room string, h wish) []byte {
	o := s.Loop().Opening()
	cfg := &s.rules().cfg
	e := protocol.Open{Room: s.named(room), Position: position(o.At), HasPosition: o.At.Tag != 0, Count: o.Members,
		Heartbeat: int(max(cfg.MaxAge/3, time.Second) / time.Second), MaxAge: int(cfg.MaxAge / time.Second)}
	e.Key, e.Me = s.poller().srv.secrets.of(s.ID())
	if h.since {
		e.Resumed = &o.Resumed
		s.poller().srv.counts.resume(o.Resumed)
	}
	dst = e.Append(dst)
	if (h.since || h.last) && !o.Repeats {
		dst = s.AppendLive(dst, room, o.At, o.Fenced)
	}
	return dst
}

// AppendLive implements loop.Session.
func (s *session) AppendLive(dst []byte, room string, at loop.ID, fenced loop.Fenced) []byte {
	if s.speaks == speaksSSE {
		return appendSSELive(dst, at)
	}
	var said *bool
	if fenced != loop.NotAsked {
		is := fenced == loop.IsFenced
		said = &is
	}
	return protocol.AppendLive(dst, s.named(room), positionOrNil(at), said)
}

// AppendGap implements loop.Session.
func (s *session) AppendGap(dst []byte, room string, at loop.ID, pubs int, why loop.GapReason) []byte {
	if s.speaks < speaksV2 {
		return dst
	}
	reason := protocol.GapSlow
	switch why {
	case loop.GapHistory:
		reason = protocol.GapHistory
	case loop.GapBackend:
		reason = protocol.GapBackend
	}
	s.poller().srv.counts.gaps.Add(1)
	p := positionOrNil(at)
	if s.speaks == speaksSSE {
		return protocol.AppendSSEFrame(dst, p, protocol.AppendGap(nil, "", p, reason, pubs))
	}
	return protocol.AppendGap(dst, s.named(room), p, reason, pubs)
}

// Ack implements loop.Session.
func (s *session) Ack(room string, ref uint64, at loop.ID, behind bool) {
	p := positionOrNil(at)
	nodeOnly := p == nil
	if behind {
		p = nil
	}
	s.Say(protocol.AppendAck(s.poller().answer[:0], s.named(room), ref, p, nodeOnly))
}

// named returns the name under which the client knows a room, if its frames must say it: those of a connection with many rooms.
func (s *session) named(key string) string {
	if s.speaks != speaksMany {
		return ""
	}
	return strings.TrimPrefix(key, chatPrefix)
}

// chatPrefix begins the keys of chat rooms.
var chatPrefix = protocol.Target{Space: protocol.Chat}.Key()

// Refused implements loop.Session: a client of version 2 is told, and stays.
func (s *session) Refused(p *loop.Publication, why loop.CloseReason) (goOn bool) {
	if s.speaks < speaksV2 {
		return false
	}
	_, ref := sender(p)
	v2{s}.refuse(protocol.ErrorEvent{Code: protocol.CloseBackendUnavailable, Name: "backend_unavailable",
		Text: "a message could not be passed on to the other nodes", Ref: ref, Maybe: why == loop.ReasonDoubt, Room: s.named(p.Room)})
	return true
}

func (s v2) refuse(e protocol.ErrorEvent) {
	s.poller().srv.counts.refuseRequest(e.Code)
	s.Say(e.Append(s.poller().answer[:0]))
}

// requests carries out a data frame.
func (s v2) requests(event websocket.Event, payload []byte) {
	if event == websocket.Binary {
		s.end(protocol.CloseBadFrame, protocol.ErrBinaryV2.Error(), loop.ReasonClosed)
		return
	}
	requests := 0
	err := s.poller().decoder.DecodeV2(payload, func(r *protocol.Request) bool {
		if requests++; requests > 1 {
			s.Took()
		}
		s.request(r)
		return s.Conn.Open()
	})
	if bad := (*protocol.BadFrame)(nil); errors.As(err, &bad) {
		s.end(protocol.CloseBadFrame, bad.Error(), loop.ReasonClosed)
	}
}

func (s v2) request(r *protocol.Request) {
	if r.Kind != protocol.RequestMessage && s.overspent() { // each has an answer of its own
		s.end(protocol.ClosePolicy, "too many heartbeats and requests other than messages (see --control-rate)", loop.ReasonClosed)
		return
	}
	switch r.Kind {
	case protocol.RequestHeartbeat:
		s.poller().srv.counts.heartbeats.Add(1)
		at, _ := s.Position()
		s.Control(protocol.AppendHeartbeatEvent(s.poller().answer[:0], positionOrNil(at)))
	case protocol.RequestMessage:
		s.publish(r)
	case protocol.RequestBad:
		s.bad(r, r.Text)
	case protocol.RequestJoin:
		s.joinOne(r)
	case protocol.RequestLeave:
		s.leaveOne(r)
	case protocol.RequestMembers:
		s.members(r)
	case protocol.RequestToken:
		s.refuse(protocol.ErrorEvent{Code: protocol.CloseUnauthorized, Name: "unauthorized", Text: "this server takes no tokens"})
	}
}

// bad answers a request that the server does not understand, or cannot carry out as it is.
func (s v2) bad(r *protocol.Request, text string) { s.badFor(r, "bad_frame", text) }

func (s v2) badFor(r *protocol.Request, name, text string) {
	e := protocol.ErrorEvent{Code: protocol.CloseBadFrame, Name: name, Text: text, Ref: r.Ref}
	if s.speaks == speaksMany {
		e.Room = r.Room
	}
	s.refuse(e)
}

func (s v2) publish(r *protocol.Request) {
	room := ""
	if s.speaks == speaksMany {
		room = chatPrefix + r.Room
		switch {
		case r.Room == "":
			s.bad(r, `a message on a connection with many rooms needs the key "room"`)
			return
		case !s.In(room):
			s.badFor(r, "not_joined", "the connection is not in this room: join it first")
			return
		}
	}
	if r.Ref == 0 {
		s.send(room, nil, r.Value)
		return
	}
	if s.extra == nil {
		s.extra = &extra{}
	}
	if r.Ref <= s.extra.ref {
		s.bad(r, "refs must grow: an earlier message of this connection had this ref or a greater one")
		return
	}
	if s.extra.me == 0 {
		_, s.extra.me = s.poller().srv.secrets.of(s.ID())
	}
	s.extra.ref = r.Ref
	s.send(room, &loop.Sender{Me: s.extra.me, Ref: r.Ref}, r.Value)
}

// send publishes into the room, "" for the only one.
func (s v2) send(room string, by *loop.Sender, value []byte) {
	if room == "" {
		s.PublishBy(by, loop.KindText, value)
		return
	}
	s.many().Publish(room, by, loop.KindText, value)
}

// notServed refuses the options of an address that this version of the server does not serve: a client that relied on one would
// notice too late. An address without a room takes fewer options.
func notServed(t *protocol.Target) *websocket.HeadError {
	o, key := &t.V2, ""
	switch {
	case t.Version != 2:
		return nil
	case t.Many && (o.Since != "" || o.Last != 0 || o.Presence != 0 || o.Slow != protocol.SlowClose):
		return &websocket.HeadError{Status: http.StatusBadRequest, Text: "since, last, presence and slow belong into the request that joins a room, as in {\"join\":\"ROOM\",\"last\":10}"}
	case !o.Echo:
		key = "echo=0"
	case o.Batch:
		key = "batch=1"
	default:
		return nil
	}
	return &websocket.HeadError{Status: http.StatusBadRequest, Text: key + " is not served by this version; leave it out"}
}
