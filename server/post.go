package server

import (
	"crypto/sha256"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// POST /chat/ROOM/ publishes its body, which is one JSON value, and answers when the message has its place in the order. The whole request
// must arrive within --handshake-timeout, however many bytes of it come. While the session waits for the place, it is held: a request behind
// it on the connection is parsed after the answer.

// post is a request whose answer was not sent yet.
type post struct {
	exchange
	room   string
	length int // of the body
	key    string
	body   []byte // what has come of it, unless it came in one piece
}

const (
	longestKey = 255     // bytes of an Idempotency-Key
	firstBody  = 4 << 10 // bytes reserved for the first part of a body
)

// mostInPost is how long a body may be: not longer than X in {"message":X}, because members get it in such a frame.
func mostInPost(cfg *Config) int { return max(int(cfg.MaxMessage)-len(`{"message":}`), 0) }

// beginPost checks the head of the request. The body follows.
func (s overHTTP) beginPost(x *exchange, t *protocol.Target) {
	cfg := &s.rules().cfg
	bad := func(status int, code int, name, text string) { s.deny(x, status, code, name, text) }
	keys := x.r.Header["Idempotency-Key"]
	switch {
	case cfg.Publish != publishOpen:
		bad(http.StatusForbidden, protocol.CloseForbidden, "forbidden", "this server takes no messages by POST: the setting --publish=open lets everybody publish")
	case x.r.ContentLength > int64(mostInPost(cfg)):
		bad(http.StatusRequestEntityTooLarge, protocol.CloseTooBig, "too_big", "the body may have at most "+counted(mostInPost(cfg), "byte")+" (see --max-message)")
	case len(keys) > 1 || len(keys) == 1 && (keys[0] == "" || len(keys[0]) > longestKey):
		bad(http.StatusBadRequest, protocol.CloseBadFrame, "bad_request", "Idempotency-Key must be one text of 1 to "+counted(longestKey, "byte"))
	case x.r.Header.Get("Expect") != "" && !strings.EqualFold(x.r.Header.Get("Expect"), "100-continue"):
		bad(http.StatusExpectationFailed, protocol.CloseBadFrame, "bad_request", "the only expectation that is served is 100-continue")
	default:
		p := &post{exchange: *x, room: t.Key(), length: int(x.r.ContentLength)}
		p.keep = x.r.ProtoAtLeast(1, 1) && !x.r.Close
		if len(keys) == 1 {
			p.key = strings.Clone(keys[0])
		}
		extraOf(s.session).post = p
		s.phase = phaseBody
		switch {
		case p.length == 0:
			s.publishBody(nil)
		case x.r.Header.Get("Expect") != "" && x.r.ProtoAtLeast(1, 1):
			s.Say([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
		}
	}
}

// body takes the next part of the body.
func (s overHTTP) body(part []byte) (used int) {
	p := s.extra.post
	missing := p.length - len(p.body)
	used = min(len(part), missing)
	if p.body == nil && used == missing {
		s.publishBody(part[:used])
		return used
	}
	if need := len(p.body) + used; need > cap(p.body) {
		p.body = append(make([]byte, 0, min(max(2*cap(p.body), need, firstBody), p.length)), p.body...)
	}
	p.body = append(p.body, part[:used]...)
	if used == missing {
		s.publishBody(p.body)
	}
	return used
}

// publishBody publishes a whole body.
func (s overHTTP) publishBody(body []byte) {
	p, srv := s.extra.post, s.poller().srv
	value, err := s.poller().decoder.DecodeValue(body)
	if err != nil {
		s.denyWith(&p.exchange, http.StatusBadRequest, &protocol.ErrorEvent{Code: protocol.CloseBadFrame, Name: "bad_frame", Text: err.Error()})
		return
	}
	var k *keyed
	if p.key != "" {
		var known bool
		if k, known = srv.posted.begin(digest(p.room, p.key), digest(string(body)), srv.now()); known {
			s.repeatAnswer(p, k, digest(string(body)))
			return
		}
	}
	s.phase = phasePost
	s.Hold()
	if e := s.offer(p, k, value); e != nil {
		srv.posted.forget(k)
		s.denyWith(&p.exchange, http.StatusServiceUnavailable, e)
	}
}

// offer publishes a value, or returns the reason why it cannot. posted is called later with the outcome.
func (s overHTTP) offer(p *post, k *keyed, value []byte) *protocol.ErrorEvent {
	srv, l, id := s.poller().srv, s.Loop(), s.ID()
	if b := srv.backend; b != nil && b.Refuses(p.room) {
		return notPassedOn(false)
	}
	done := func(o loop.Outcome, at loop.ID) {
		srv.posted.settle(k, o, at)
		if o == loop.Placed {
			srv.counts.posts.Add(1)
		}
		l.Call(func(l *loop.Loop) {
			if c := l.Conn(id); c != nil {
				overHTTP{c.Peer().(*session)}.posted(o, at)
			}
		})
	}
	if !srv.node.OfferFor(p.room, variantV1, loop.KindText, value, done) {
		return &protocol.ErrorEvent{Code: protocol.CloseRateLimited, Name: "rate_limited", Retry: 1,
			Text: "the room or the node is still busy delivering earlier messages; try again"}
	}
	return nil
}

// posted is called with the outcome of the message that the session has published.
func (s overHTTP) posted(o loop.Outcome, at loop.ID) {
	if !s.Conn.Open() || s.phase != phasePost {
		return
	}
	p := s.extra.post
	if line := s.poller().srv.log.Check(zap.DebugLevel, "message published by POST"); line != nil && o == loop.Placed {
		line.Write(zap.String("room", p.room), zap.String("remote", s.remoteAddr()))
	}
	s.answerPost(p, o, at)
}

func (s overHTTP) answerPost(p *post, o loop.Outcome, at loop.ID) {
	if o != loop.Placed {
		s.denyWith(&p.exchange, http.StatusServiceUnavailable, notPassedOn(o == loop.Doubted))
		return
	}
	body := `{"scope":"node"}`
	if at.Tag != 0 {
		body = `{"id":"` + string(position(at).Append(nil)) + `"}`
	}
	s.reply(&p.exchange, http.StatusOK, "", []byte(body))
}

// notPassedOn is the error for a message that may not reach the other nodes. maybe says that the message may have got its place all the
// same.
func notPassedOn(maybe bool) *protocol.ErrorEvent {
	return &protocol.ErrorEvent{Code: protocol.CloseBackendUnavailable, Name: "backend_unavailable", Retry: 5, Maybe: maybe,
		Text: "the message could not be passed on to the other nodes"}
}

// repeatAnswer answers a request whose key is known.
func (s overHTTP) repeatAnswer(p *post, k *keyed, body [sha256.Size]byte) {
	o, at, answered := s.poller().srv.posted.answer(k)
	switch {
	case k.body != body:
		s.denyWith(&p.exchange, http.StatusUnprocessableEntity, &protocol.ErrorEvent{Code: protocol.CloseBadFrame, Name: "key_reused",
			Text: "an earlier request with this Idempotency-Key had another body"})
	case !answered:
		s.denyWith(&p.exchange, http.StatusServiceUnavailable, &protocol.ErrorEvent{Code: protocol.CloseRateLimited, Name: "rate_limited", Retry: 1,
			Text: "an earlier request with this Idempotency-Key still waits for its answer; try again"})
	default:
		s.answerPost(p, o, at)
	}
}

// digest identifies texts of any length.
func digest(texts ...string) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join(texts, "\x00")))
}
