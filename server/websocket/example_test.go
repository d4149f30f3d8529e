package websocket_test

import (
	"fmt"

	"dotsconnect/server/websocket"
)

// A server gives the Parser the bytes that it read from one connection, however the network has split them. Each call of Next
// consumes one frame and unmasks it in place.
func ExampleParser() {
	var parser websocket.Parser // the zero value is ready
	limits := &websocket.Limits{MaxMessage: 1024}

	hello := []byte{0x81, 0x85, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'} // a text of 5 bytes; its masking key is 0
	ping := []byte{0x89, 0x80, 0, 0, 0, 0}
	unmasked := []byte{0x81, 0x05}

	reads := [][]byte{append(hello, ping[:3]...), ping[3:], unmasked}
	for _, read := range reads {
		for len(read) > 0 {
			n, event, payload, err := parser.Next(read, limits)
			if err != nil {
				fmt.Println("close the connection:", err)
				return
			}
			switch event {
			case websocket.Text:
				fmt.Printf("text %q\n", payload)
			case websocket.Ping:
				fmt.Printf("ping, answer with %x\n", websocket.AppendControl(nil, websocket.OpPong, payload))
			case websocket.None:
				fmt.Println("half a frame: read more")
			}
			read = read[n:]
		}
	}
	// Output:
	// text "hello"
	// half a frame: read more
	// ping, answer with 8a00
	// close the connection: websocket: close 1002: protocol error: unmasked frame
}

// Scan checks the head of a request before net/http reads it. It refuses every head that two parsers could read differently.
func ExampleHeadScanner_Scan() {
	scanner := websocket.NewHeadScanner(websocket.DefaultMaxHead)
	for _, read := range []string{
		"GET /ws/chat/lobby/ HTTP/1.1\r\nHost: lo",
		"GET /ws/chat/lobby/ HTTP/1.1\r\nHost: localhost\r\n\r\nframes",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	} {
		switch n, err := scanner.Scan([]byte(read)); {
		case err != nil:
			fmt.Printf("refuse with %d: %s\n", err.Status, err.Text)
		case n == 0:
			fmt.Println("read more")
		default:
			fmt.Printf("a head of %d bytes, behind it %q\n", n, read[n:])
		}
	}
	// Output:
	// read more
	// a head of 49 bytes, behind it "frames"
	// refuse with 400: two Host fields
}
