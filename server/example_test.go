package server_test

import (
	"context"
	"fmt"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"dotsconnect/server"
)

// The example runs a node in this process, and one client that receives its own message.
func ExampleNew() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cfg := server.Default()
	cfg.Listen = "127.0.0.1:0" // any free port
	cfg.Admin = ""             // no admin address

	node, err := server.New(cfg, zap.NewNop(), "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := node.Start(); err != nil {
		fmt.Println(err)
		return
	}
	client, _, err := websocket.Dial(ctx, "ws://"+node.Addr()+"/ws/chat/lobby/", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := client.Write(ctx, websocket.MessageText, []byte(`{"message": "hello"}`)); err != nil {
		fmt.Println(err)
	}
	_, text, err := client.Read(ctx)
	fmt.Printf("%s %v\n", text, err)

	drained := make(chan error, 1)
	go func() { drained <- node.Drain(ctx, 0) }() // tells every client to go to another node
	_, _, err = client.Read(ctx)
	fmt.Println(websocket.CloseStatus(err))
	fmt.Println("drained:", <-drained, "closed:", node.Close())
	// Output:
	// {"message":"hello"} <nil>
	// StatusCode(4200)
	// drained: <nil> closed: <nil>
}
