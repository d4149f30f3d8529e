package protocol_test

import (
	"strings"
	"testing"

	"dotsconnect/server/protocol"
)

// A query may be nearly as long as a whole request head and costs its sender nothing. So reading it must leave no garbage.
func TestALongQueryLeavesNoGarbage(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	for _, query := range []string{
		strings.Repeat("a&", 8000), strings.Repeat("%61=%62&", 2000), strings.Repeat("=&", 5000) + "EIO=4",
		strings.Repeat("v=%32&%76=2&", 1000), "v=2&" + strings.Repeat("%61=%62&", 2000), "v=2&" + strings.Repeat("%zz&last=5&", 1000),
		"v=2&" + strings.Repeat("s%69nce=%41&", 1000) + "since=",
	} {
		if got := testing.AllocsPerRun(10, func() {
			if _, ok, err := protocol.ParseTarget("/ws/chat/lobby/", query); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if system := protocol.Foreign("/ws/chat/lobby/", query, nil); system != "" {
				t.Fatalf("speaks %s", system)
			}
		}); got > 1 { // one allocation for the parsed name of the room
			t.Errorf("%.10q…: %.0f allocations, want 1", query, got)
		}
	}
}
