package server

import (
	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// identity is the user that the other members see: the connection itself, under its tag. Its end is the end of the user, so it has no
// time of grace.
func (s v2) identity() loop.Identity {
	_, me := s.poller().srv.secrets.of(s.ID())
	return loop.Identity{User: string(protocol.AppendMe(nil, me))}
}

// watch returns what the client asks for with presence, nil if it asks for nothing.
func (s v2) watch(presence int) *loop.Watch {
	if presence == 0 {
		return nil
	}
	w := &loop.Watch{By: s.identity(), Listed: presence == 1, Variant: variantV2Presence}
	if s.speaks == speaksMany {
		w.Variant = variantManyPresence
	}
	return w
}

// Presence implements loop.Session.
func (s *session) Presence(room string, state []byte) {
	s.Say(protocol.AppendPresence(nil, s.named(room), nil, state))
}

// members answers {"members":true}.
func (s v2) members(r *protocol.Request) {
	room := ""
	if s.speaks == speaksMany {
		if room = chatPrefix + r.Room; !s.In(room) {
			s.badFor(r, "not_joined", "the connection is not in this room: join it first")
			return
		}
	}
	if !s.AskMembers(room) {
		s.refuse(protocol.ErrorEvent{Code: protocol.CloseRateLimited, Name: "rate_limited", Room: s.named(room), Retry: 1,
			Text: "the members of a room may be asked for once a second"})
	}
}

// writePresence writes an event of presence in the form that the encoding of variantV2Presence and session.Presence take.
func writePresence(e *loop.PresenceEvent) []byte {
	members := make([]protocol.Member, len(e.Members))
	for i, m := range e.Members {
		members[i] = protocol.Member(m)
	}
	if e.What == loop.PresenceState {
		return protocol.AppendMembersRest(nil, members, e.Count)
	}
	return protocol.AppendPresenceRest(nil, e.What == loop.PresenceChanges, members, e.Left, e.Count)
}
