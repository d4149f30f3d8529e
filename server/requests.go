package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"time"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
	"dotsconnect/server/websocket"
)

// v2 is what a session does in version 2 only: each frame of the client is a request or an array of requests, and each answer is an
// event or an error. A bad request does not end the connection.
type v2 struct{ *session }

// join asks the loop for membership in the room, from the position that the client names.
func (s v2) join(t *protocol.Target) {
	start := loop.Start{Last: t.V2.Last}
	if p, ok := protocol.ParsePosition(t.V2.Since); ok {
		start.Since, start.HasSince = loop.ID{Tag: p.Tag, Seq: p.Seq, Index: uint32(p.Index)}, true
	}
	s.extra.handshake.asked, s.extra.handshake.last = t.V2.Since != "", t.V2.Last > 0
	srv := s.poller().srv
	srv.node.KeepHistory(srv.backend != nil)
	s.JoinFrom(t.Key(), variantV2, start)
}

// secret returns the key of the connection, which only its client gets, and the tag that other clients see. Neither is stored.
func (s v2) secret() (key [12]byte, me uint64) {
	mac := hmac.New(sha256.New, s.poller().srv.keys[:])
	_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(s.ID())))
	copy(key[:], mac.Sum(nil))
	return key, protocol.MeOf(key)
}

// appendOpen appends the event open, and the event live if nothing is repeated although the client asked for it.
func (s v2) appendOpen(dst []byte, h *handshake) []byte {
	o := s.Loop().Opening()
	cfg := &s.rules().cfg
	e := protocol.Open{Position: position(o.At), HasPosition: o.At.Tag != 0, Heartbeat: int(max(cfg.MaxAge/3, time.Second) / time.Second),
		MaxAge: int(cfg.MaxAge / time.Second), Count: o.Members}
	e.Key, e.Me = s.secret()
	if h.asked {
		e.Resumed = &o.Resumed
		s.poller().srv.counts.resume(o.Resumed)
	}
	dst = e.Append(dst)
	if (h.asked || h.last) && !o.Repeats {
		dst = protocol.AppendLive(dst, positionOrNil(o.At), nil)
	}
	return dst
}

// Live implements loop.Session.
func (s *session) Live(at loop.ID) { s.Say(protocol.AppendLive(nil, positionOrNil(at), nil)) }

// Ack implements loop.Session.
func (s *session) Ack(ref uint64, at loop.ID, behind bool) {
	p := positionOrNil(at)
	nodeOnly := p == nil
	if behind {
		p = nil
	}
	s.Say(protocol.AppendAck(s.poller().answer[:0], ref, p, nodeOnly))
}

// Refused implements loop.Session: a client of version 2 is told, and stays.
func (s *session) Refused(p *loop.Publication, why loop.CloseReason) (goOn bool) {
	if s.speaks != speaksV2 {
		return false
	}
	_, ref := sender(p)
	v2{s}.refuse(protocol.CloseBackendUnavailable, "backend_unavailable", "a message could not be passed on to the other nodes", ref, why == loop.ReasonDoubt)
	return true
}

func (s v2) refuse(code int, name, text string, ref uint64, maybe bool) {
	s.poller().srv.counts.refuseRequest(code)
	e := protocol.ErrorEvent{Code: code, Name: name, Text: text, Ref: ref, Maybe: maybe}
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
		s.bad(r.Text, r.Ref)
	case protocol.RequestJoin, protocol.RequestLeave:
		s.bad("this connection has one room, the one of its address; join and leave are for a connection with many rooms", 0)
	case protocol.RequestMembers:
		s.bad("the list of members is not served by this version", 0)
	case protocol.RequestToken:
		s.refuse(protocol.CloseUnauthorized, "unauthorized", "this server takes no tokens", 0, false)
	}
}

func (s v2) bad(text string, ref uint64) {
	s.refuse(protocol.CloseBadFrame, "bad_frame", text, ref, false)
}

func (s v2) publish(r *protocol.Request) {
	if r.Ref == 0 {
		s.Publish(loop.KindText, r.Value)
		return
	}
	if s.extra == nil {
		s.extra = &extra{}
	}
	if r.Ref <= s.extra.ref {
		s.bad("refs must grow: an earlier message of this connection had this ref or a greater one", r.Ref)
		return
	}
	s.extra.ref = r.Ref
	_, me := s.secret()
	s.PublishBy(&loop.Sender{Me: me, Ref: r.Ref}, loop.KindText, r.Value)
}

// notServed refuses the options that this version of the server does not serve: a client that relied on one would notice too late.
func notServed(o *protocol.Options) *websocket.HeadError {
	key := ""
	switch {
	case o.Presence != 0:
		key = "presence"
	case !o.Echo:
		key = "echo=0"
	case o.Slow != protocol.SlowClose:
		key = "slow=" + o.Slow
	case o.Batch:
		key = "batch=1"
	case o.Was != "":
		key = "was"
	default:
		return nil
	}
	return &websocket.HeadError{Status: http.StatusBadRequest, Text: key + " is not served by this version; leave it out"}
}
