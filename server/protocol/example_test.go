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

// A client of version 2 may send several requests in one text. A wrong request does not stop the others.
func ExampleDecoder_DecodeV2() {
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	text := `[{"message": {"price": 1.50}, "ref": 7}, {"members": true}, {"msg": "hello", "ref": 8}]`
	err := decoder.DecodeV2([]byte(text), func(r *protocol.Request) bool {
		switch r.Kind {
		case protocol.RequestMessage:
			m := protocol.MessageV2{Position: protocol.Position{Tag: 0x1a2b3c4d, Seq: 1042, Index: 5}, HasPosition: true, Ref: r.Ref, Value: r.Value}
			fmt.Printf("%s\n", m.AppendObject(nil))
		case protocol.RequestBad:
			e := protocol.ErrorEvent{Code: protocol.CloseBadFrame, Name: "bad_frame", Text: r.Text, Ref: r.Ref}
			fmt.Printf("%s\n", e.Append(nil)[4:])
		default:
			fmt.Println("list the members")
		}
		return true
	})
	fmt.Println(err)
	// Output:
	// {"id":"5XgwIF-----33V-4","from":"--------","ref":7,"message":{"price": 1.50}}
	// list the members
	// {"error":{"code":4500,"name":"bad_frame","text":"none of the keys \"message\", \"join\", \"leave\", \"members\" and \"token\""},"ref":8}
	// <nil>
}
