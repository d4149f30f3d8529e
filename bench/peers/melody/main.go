// Command melody is the room server on github.com/olahol/melody, which uses
// gorilla/websocket.
//
// As its documentation shows, it has handlers for connect, message and
// disconnect, and stores values in sessions. The library's BroadcastFilter
// checks every session of the server for each message, which is only good for
// few sessions. Its BroadcastMultiple writes to given sessions, but stops at
// the first one that has ended. So this server writes to the sessions of a room
// itself. Write buffers are pooled, as the documentation of gorilla/websocket
// recommends.
//
// If the queue of a session, which has 256 messages, is full, the library drops
// further messages. Its pings are practically off: the interval is a day.
// Clients send heartbeats.
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
