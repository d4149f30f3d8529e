// Command melody is the room server on github.com/olahol/melody, which uses
// gorilla/websocket.
//
// From its documentation: handlers for connect, message and disconnect, and
// values stored in sessions. Its BroadcastFilter checks every session of the
// server for each message, which suits only few sessions. So we write to the
// sessions of a room, as its BroadcastMultiple does; that function, however,
// stops at the first session that has gone. Write buffers are pooled, as
// gorilla's documentation recommends.
//
// A session whose queue of 256 messages is full loses messages: that is melody's
// own policy. Its ping interval is a day; clients send heartbeats.
package main

import (
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/olahol/melody"

	"dotsconnect/bench/peers/internal/peer"
)

const (
	roomKey = "room"
	seatKey = "seat"
)

type seat = peer.Seat[*melody.Session]

func seatOf(s *melody.Session) *seat { return s.MustGet(seatKey).(*seat) }

func main() {
	var rooms peer.Rooms[*melody.Session]
	m := melody.New()
	m.Config.MaxMessageSize = peer.MaxMessage
	m.Config.PingPeriod = 24 * time.Hour
	m.Config.PongWait = 25 * time.Hour
	m.Upgrader.WriteBufferPool = &sync.Pool{}
	m.HandleConnect(func(s *melody.Session) {
		s.Set(seatKey, rooms.Join(s.MustGet(roomKey).(string), s))
	})
	m.HandleDisconnect(func(s *melody.Session) { seatOf(s).Leave() })
	m.HandleMessage(func(s *melody.Session, message []byte) {
		if !peer.IsHeartbeat(message) {
			seatOf(s).Publish(func(member *melody.Session) { _ = member.Write(message) })
		}
	})
	peer.Serve(peer.Listen(), peer.Mux(func(room string, w http.ResponseWriter, r *http.Request) {
		if err := m.HandleRequestWithKeys(w, r, map[string]any{roomKey: room}); err != nil {
			log.Print(err)
		}
	}))
}
