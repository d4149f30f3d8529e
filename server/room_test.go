package server

import "testing"

func TestEverybodyInTheRoomGetsTheMessageTheSenderIncluded(t *testing.T) {
	s := startServer(t, nil)
	a, b, other := s.join(t, "/ws/chat/lobby/"), s.join(t, "/ws/chat/lobby"), s.join(t, "/ws/chat/Lobby/")
	a.say("hello")
	a.hears("hello")
	b.hears("hello")
	other.say("alone")
	other.hears("alone")
}
