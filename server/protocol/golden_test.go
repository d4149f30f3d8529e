package protocol_test

import (
	"testing"

	"dotsconnect/server/internal/golden"
	"dotsconnect/server/protocol"
)

func TestValuesGoThroughAsInTheOriginal(t *testing.T) {
	rows, err := golden.LoadValues("../testdata/seed-golden/values.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	decoder := protocol.NewDecoder(protocol.MaxDepth)
	counts := map[golden.Outcome]int{}
	for _, row := range rows {
		outcome, want, _ := row.Expect()
		counts[outcome]++
		input, value, err := decoder.DecodeV1([]byte(row.Sent))
		var got golden.Outcome
		switch {
		case err != nil:
			got = golden.Refused
		case input == protocol.Heartbeat:
			got = golden.Silent
		}
		if got != outcome {
			t.Errorf("%.60q: got %s (%v), want %s", row.Sent, got, err, outcome)
			continue
		}
		if got != golden.Broadcast {
			continue
		}
		frame := protocol.AppendV1(nil, value)
		payload := string(frame[len(frame)-len(value)-len(`{"message":}`):])
		if !golden.SameValue(payload, want) {
			t.Errorf("%.60q: members receive %.60q, want the value of %.60q", row.Sent, payload, want)
		}
	}
	if counts[golden.Broadcast] == 0 || counts[golden.Silent] == 0 || counts[golden.Refused] == 0 {
		t.Errorf("got outcomes %v, want some of each", counts)
	}
	if protocol.CloseBadFrame != golden.Refusal {
		t.Errorf("a refusal closes with %d, want %d", protocol.CloseBadFrame, golden.Refusal)
	}
}
