package protocol_test

import (
	"encoding/json"
	"strings"
	"testing"

	"dotsconnect/server/protocol"
)

// objects returns the data of the events in a stream, as an EventSource reads it, and the id that it then has.
func objects(stream string) (data []string, lastID string) {
	id, lines := "", []string(nil)
	for line := range strings.Lines(strings.ReplaceAll(strings.ReplaceAll(stream, "\r\n", "\n"), "\r", "\n")) {
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "data":
			lines = append(lines, value)
		case "":
			if line == "\n" {
				lastID = id
				if len(lines) > 0 {
					data = append(data, strings.Join(lines, "\n"))
				}
				lines = nil
			}
		}
	}
	return data, lastID
}

func TestAnEventHasTheObjectOfTheFrame(t *testing.T) {
	p := protocol.Position{Tag: 0x1a2b3c4d, Seq: 1042, Index: 5}
	for _, value := range []string{`"x"`, "{\"a\":[1,\r\n 2,\n\n3]}", "[\r1]", `"` + strings.Repeat("y", 70_000) + `"`, `"` + strings.Repeat("z", 100) + `"`} {
		for _, ref := range []uint64{0, 7, protocol.MaxRef} {
			for _, at := range []*protocol.Position{&p, nil} {
				m := protocol.MessageV2{Me: 9, Ref: ref, Value: []byte(value)}
				id := ""
				if at != nil {
					m.HasPosition, m.Position, id = true, p, "5XgwIF-----33V-4"
				}
				frame, event := m.Append(nil), m.AppendSSE([]byte("before"))
				if got, want := len(event)-len("before"), m.SizeSSE(); got != want {
					t.Errorf("%.20q: %d bytes, want %d", value, got, want)
				}
				data, lastID := objects(strings.TrimPrefix(string(event), "before"))
				want := strings.NewReplacer("\r", " ", "\n", " ").Replace(string(protocol.TextOf(frame)))
				if len(data) != 1 || data[0] != want || lastID != id {
					t.Errorf("%.20q: got %.100q with id %q, want %.100q", value, data, lastID, want)
				}
			}
		}
	}
}

// The events of the test vectors are the same objects in a stream.
func TestTheEventsOfTheServerCanBeStreamed(t *testing.T) {
	p := protocol.Position{Tag: 1, Seq: 2, Index: 3}
	for _, frame := range [][]byte{
		protocol.AppendLive(nil, "", &p, nil), protocol.AppendMark(nil, "", p), protocol.AppendGap(nil, "", &p, protocol.GapSlow, 5),
		(&protocol.ErrorEvent{Code: 4500, Name: "bad_frame", Text: strings.Repeat("\r\n\"", 100)}).Append(nil),
		(&protocol.ErrorEvent{Code: 4500, Name: "bad_frame", Text: strings.Repeat("long", 20_000)}).Append(nil),
	} {
		data, lastID := objects(string(protocol.AppendSSEFrame(nil, &p, frame)))
		if len(data) != 1 || !json.Valid([]byte(data[0])) || data[0] != string(protocol.TextOf(frame)) || lastID != string(p.Append(nil)) {
			t.Errorf("got %.200q with id %s", data, lastID)
		}
	}
}

func TestAStreamBeginsAndEnds(t *testing.T) {
	yes := true
	open := &protocol.Open{Position: protocol.Position{Tag: 0x1a2b3c4d, Seq: 1042, Index: 5}, HasPosition: true, Resumed: &yes, Count: 3, Heartbeat: 20}
	failed := &protocol.ErrorEvent{Code: 4503, Name: "kicked", Text: "x"}
	for want, got := range map[string][]byte{
		"retry: 7\nid: 5XgwIF-----33V-4\ndata: {\"event\":\"open\",\"v\":2,\"id\":\"5XgwIF-----33V-4\",\"resumed\":true,\"count\":3}\n\n": protocol.AppendSSEOpen(nil, open, 7),
		"retry: 7\nid: none\ndata: {\"event\":\"open\",\"v\":2,\"count\":3}\n\n":                                                          protocol.AppendSSEOpen(nil, &protocol.Open{Count: 3}, 7),
		"retry: 9\n: draining\n\n": protocol.AppendSSERetry(nil, 9, "draining"),
		"id: end-4503\ndata: {\"error\":{\"code\":4503,\"name\":\"kicked\",\"text\":\"x\"}}\n\n": protocol.AppendSSEError(nil, failed, 0),
		"retry: 3000\ndata: {\"error\":{\"code\":4503,\"name\":\"kicked\",\"text\":\"x\"}}\n\n":  protocol.AppendSSEError(nil, failed, 3000),
	} {
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for id, want := range map[string]bool{"end-4503": true, "": false, "end-": false, "end-45033": false, "5XgwIF-----33V-4": false} {
		if got := protocol.IsSSEEnd(id); got != want {
			t.Errorf("%q: got %v, want %v", id, got, want)
		}
	}
}
