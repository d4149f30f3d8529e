package server

import (
	"strconv"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// A connection with many rooms (/ws/?v=2) joins and leaves rooms by requests. Each frame about a room names it.

// many returns the calls of a connection with many rooms.
func (s v2) many() loop.Many { return loop.Many{Conn: &s.Conn} }

// beMany answers the handshake of a connection with many rooms. It is a member of none yet.
func (s v2) beMany(was string) {
	s.poller().srv.keepHistory()
	s.speaks = speaksMany
	s.many().Begin(variantMany)
	s.upgraded("")
	if was != "" {
		if s.extra == nil {
			s.extra = &extra{}
		}
		s.extra.was = was
	}
}

// joinOne carries out {"join":ROOM}.
func (s v2) joinOne(r *protocol.Request) {
	if s.speaks != speaksMany {
		s.bad(r, "this connection has one room, that of its address; join and leave are for connections to /ws/?v=2")
		return
	}
	key := chatPrefix + r.Room
	limit := s.rules().cfg.RoomsPerSocket
	err := protocol.CheckRoom(r.Room)
	switch {
	case err != nil:
		s.bad(r, err.Error())
		return
	case s.In(key):
		s.badFor(r, "already_joined", "the connection is in this room already")
		return
	case s.many().Rooms() >= limit:
		s.refuse(protocol.ErrorEvent{Code: protocol.CloseRoomFull, Name: "too_many_rooms", Room: r.Room,
			Text: "a connection may be in at most " + strconv.Itoa(limit) + " rooms: leave one first, or open another connection"})
		return
	}
	if s.extra == nil {
		s.extra = &extra{}
	}
	if h := (wish{r.Since != "", r.Last > 0}); h != (wish{}) {
		if s.extra.joins == nil {
			s.extra.joins = map[string]wish{}
		}
		s.extra.joins[key] = h
	}
	start := startOf(r.Since, r.Last, fenceOf(s.extra.was))
	start.Watch = s.watch(r.Presence)
	s.many().Join(key, start, slowOf(r.Slow))
}

// leaveOne carries out {"leave":ROOM}.
func (s v2) leaveOne(r *protocol.Request) {
	switch {
	case s.speaks != speaksMany:
		s.bad(r, "this connection has one room, that of its address; join and leave are for connections to /ws/?v=2")
	case !s.many().Leave(chatPrefix + r.Room):
		s.badFor(r, "not_joined", "the connection is not in this room")
	default:
		delete(s.extra.joins, chatPrefix+r.Room)
		s.Say(protocol.AppendLeft(s.poller().answer[:0], r.Room, nil))
	}
}

// joinedOne tells the client that it is in one more room.
func (s v2) joinedOne(key string) {
	h := s.extra.joins[key]
	delete(s.extra.joins, key)
	s.Say(s.appendOpen(s.poller().answer[:0], key, h))
}

// NotJoined implements loop.Session.
func (s *session) NotJoined(key string, why loop.CloseReason) {
	delete(s.extra.joins, key)
	cfg := &s.rules().cfg
	text := "the limit of the room is " + counted(cfg.RoomMembers, "member")
	if why == loop.ReasonNodeFull {
		text = "the limit of this node is " + counted(cfg.MaxRooms, "room")
	}
	v2{s}.refuse(protocol.ErrorEvent{Code: protocol.CloseRoomFull, Name: "room_full", Text: text, Room: s.named(key)})
}
