// Command go is a small client: it sends one message to a room, and prints the messages of the room.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

func main() {
	ctx := context.Background()
	conn, _, err := websocket.Dial(ctx, "ws://localhost:8000/ws/chat/lobby/", nil)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for ; wsjson.Write(ctx, conn, "heartbeat") == nil; time.Sleep(10 * time.Second) {
		}
	}()
	err = wsjson.Write(ctx, conn, map[string]any{"message": "hello from Go"})
	for err == nil {
		var received struct{ Message any }
		if err = wsjson.Read(ctx, conn, &received); err == nil {
			fmt.Println(received.Message)
		}
	}
	log.Fatal(err)
}
