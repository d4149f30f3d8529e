// Command go says hello to a room and prints its messages, also those that were sent while the connection was lost:
//
//	go run . ws://localhost:8000/ws/chat/lobby/
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

func main() {
	for since := ""; ; time.Sleep(500*time.Millisecond + rand.N(4500*time.Millisecond)) {
		err := listen(os.Args[1], &since)
		if websocket.CloseStatus(err) >= 4500 { // another attempt would end in the same way
			log.Fatal(err)
		}
		log.Print(err)
	}
}

// listen prints what comes until the connection ends. It keeps its position in the room in since.
func listen(url string, since *string) error {
	ctx := context.Background()
	conn, _, err := websocket.Dial(ctx, url+"?v=2&since="+*since, nil)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(-1)
	go ping(ctx, conn)
	for {
		var frame struct {
			ID, Event string
			Resumed   *bool
			Message   json.RawMessage
		}
		if err := wsjson.Read(ctx, conn, &frame); err != nil {
			return err
		}
		if frame.Event == "open" && *since == "" {
			_ = wsjson.Write(ctx, conn, map[string]any{"message": "hello from Go"}) // after an error Read fails too
		}
		if frame.Event == "gap" || frame.Resumed != nil && !*frame.Resumed {
			fmt.Println("some messages were missed")
		}
		if frame.Message != nil {
			fmt.Println(string(frame.Message))
		}
		*since = cmp.Or(frame.ID, *since, "none") // with "none" the server will say that it cannot resume
	}
}

// ping ends the connection when the server does not answer a ping for 25 s.
func ping(ctx context.Context, conn *websocket.Conn) {
	for {
		limit, cancel := context.WithTimeout(ctx, 25*time.Second)
		err := conn.Ping(limit)
		cancel()
		if err != nil {
			_ = conn.CloseNow()
			return
		}
		time.Sleep(25 * time.Second)
	}
}
