package protocol_test

import (
	"fmt"

	"dotsconnect/server/protocol"
)

// A loop has one Decoder for all its connections. A value is passed on as its sender wrote it: the bytes of the value are a part
// of the message.
func ExampleDecoder_DecodeV1() {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	for _, text := range []string{
		`{"message": {"price": 1.50}}`,
		`"heartbeat"`,
		`{"msg": "hello"}`,
		`{"message": NaN}`,
	} {
		switch input, value, err := decoder.DecodeV1([]byte(text)); {
		case err != nil:
			fmt.Println(protocol.Reason(4500, err.Error()))
		case input == protocol.Heartbeat:
			fmt.Println("a sign of life")
		default:
			fmt.Printf("publish %s in the frame %q\n", value, protocol.AppendV1(nil, value))
		}
	}
	// Output:
	// publish {"price": 1.50} in the frame "\x81\x1b{\"message\":{\"price\": 1.50}}"
	// a sign of life
	// bad_frame: no key "message"
	// bad_frame: not JSON: NaN or Infinity at byte 12
}
