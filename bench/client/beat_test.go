package client

import (
	"testing"
	"time"

	"dotsconnect/bench/internal/stub"
)

func TestHeartbeatsAreSpreadOverThePeriod(t *testing.T) {
	const period = 80 * time.Millisecond
	l := newLog(t, stub.Start(t, echo), func(c *Config) { c.BeatEvery = period })
	if err := l.e.OpenAll(8, 4, func(int) string { return "/" }, patience); err != nil {
		t.Fatal(err)
	}
	for id := range int32(8) {
		l.e.Beat(id, true)
	}
	l.until(t, "four rounds", func() bool { return len(l.beats) >= 33 })
	gaps := l.beats[32] - l.beats[0]
	if want := int64(4 * period); gaps < want-want/4 || gaps > 3*want {
		t.Errorf("four rounds took %v, want %v", time.Duration(gaps), time.Duration(want))
	}
	l.until(t, "their echoes", func() bool { return len(l.texts) >= 33 })
	if l.texts[0] != `"heartbeat"` {
		t.Errorf("got %q", l.texts[0])
	}
}

func TestCursorSkipsRoundsThatAStallMissed(t *testing.T) {
	var b beats
	b.init(100, "", 10, 1000)
	b.on = 1
	b.k = 3
	if got, want := b.next(), int64(1030); got != want {
		t.Errorf("beat 3 is due at %d, want %d", got, want)
	}
	b.skip(1130)
	if b.k != 3 {
		t.Errorf("a beat exactly one period late was left out")
	}
	b.skip(9999)
	if late := 9999 - b.next(); late > 100 || late < 90 {
		t.Errorf("after a stall the cursor is %d behind, want just under a period", late)
	}
}
