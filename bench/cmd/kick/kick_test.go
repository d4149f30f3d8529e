package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dotsconnect/bench/client"
	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
)

const testAge = 500 * time.Millisecond

// kicker is a server that kicks rightly, unless a field says otherwise.
type kicker struct {
	shift time.Duration // kicks that much later
	deaf  bool          // heartbeats are no sign of life
	never bool
	end   []byte // instead of the right close frame; empty: EOF
	one   bool   // only the first kick is wrong
	taken atomic.Bool
}

func (k *kicker) serve(c *stub.Conn) {
	for life := time.Now(); ; {
		c.ReadUntil(life.Add(testAge + min(k.shift, 0)))
		_, _, err := c.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			k.kick(c, life)
			return
		}
		if err != nil {
			return
		}
		if !k.deaf {
			life = time.Now()
		}
	}
}

func (k *kicker) kick(c *stub.Conn, life time.Time) {
	if k.one && !k.taken.CompareAndSwap(false, true) {
		time.Sleep(time.Until(life.Add(testAge)))
		c.Write(stub.CloseFrame(4100, "heartbeat_missed"))
		return
	}
	if k.never {
		c.ReadUntil(time.Time{})
		_, _, _ = c.Read()
		return
	}
	time.Sleep(time.Until(life.Add(testAge + k.shift)))
	end := k.end
	if end == nil {
		end = stub.CloseFrame(4100, "heartbeat_missed")
	}
	c.Write(end)
}

func kick(t *testing.T, url string, more ...string) (int, string) {
	t.Helper()
	args := append([]string{"--url", url, "--silent", "4", "--beating", "4", "--max-age", testAge.String(), "--beat", "100ms",
		"--slack", "400ms", "--duration", (testAge + 40*time.Millisecond).String()}, more...)
	var out, errs bytes.Buffer
	code := cli.Exit(&errs, "kick", run(args, &out, &errs))
	return code, out.String() + errs.String()
}

func TestServersThatKickWronglyAreCaught(t *testing.T) {
	tests := map[string]struct {
		server *kicker
		code   int
		want   string
	}{
		"right":                   {&kicker{}, cli.OK, "4 kicked with 4100, 0 early, 0 other ends, 0 not closed"},
		"a detail in the reason":  {&kicker{end: stub.CloseFrame(4100, "heartbeat_missed: 60s")}, cli.OK, "4 kicked"},
		"all early":               {&kicker{shift: -100 * time.Millisecond}, cli.Violated, "4 early"},
		"one early":               {&kicker{shift: -100 * time.Millisecond, one: true}, cli.Violated, "1 early"},
		"one never":               {&kicker{never: true, one: true}, cli.Violated, "1 not closed"},
		"one with another code":   {&kicker{end: stub.CloseFrame(4101, "slow_consumer"), one: true}, cli.Violated, "1 in another way"},
		"one with another reason": {&kicker{end: stub.CloseFrame(4100, "bye"), one: true}, cli.Violated, "1 in another way"},
		"one without a word":      {&kicker{end: []byte{}, one: true}, cli.Violated, "1 in another way"},
		"deaf to heartbeats":      {&kicker{deaf: true}, cli.Violated, "4 wrongly closed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A machine that stalls can spoil a run; a wrong check spoils all.
			var code int
			var out string
			for range 3 {
				test.server.taken.Store(false)
				code, out = kick(t, stub.Start(t, test.server.serve))
				if code == test.code && strings.Contains(out, test.want) {
					return
				}
			}
			t.Errorf("exit %d, want %d and %q in\n%s", code, test.code, test.want, out)
		})
	}
}

func TestBeatingConnectionsMayNotEndInAnyWay(t *testing.T) {
	for how, serve := range map[string]func(c *stub.Conn){
		"EOF":   func(c *stub.Conn) { _, _, _ = c.Read() },
		"RST":   func(c *stub.Conn) { _, _, _ = c.Read(); c.Reset() },
		"close": func(c *stub.Conn) { _, _, _ = c.Read(); c.Write(stub.CloseFrame(1011, "")) },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			code, out := kick(t, stub.Start(t, serve), "--silent", "0")
			if code != cli.Violated || strings.Contains(out, " 0 wrongly closed") {
				t.Errorf("exit %d\n%s", code, out)
			}
		})
	}
}

func TestServerThatGoesAwayIsToldFromOneThatKicks(t *testing.T) {
	url := ""
	t.Run("served", func(t *testing.T) { url = stub.Start(t, func(*stub.Conn) {}) })
	code, out := kick(t, url)
	if code != cli.Usage || !strings.Contains(out, "nobody listens") || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestOnlyWhatThisProgramWroteInTimeIsHeldAgainstTheServer(t *testing.T) {
	const age = 100
	kick := client.Close{How: client.ByFrame, Code: 4100, Reason: "heartbeat_missed"}
	at := func(c client.Close, stamp int64) client.Close { c.Stamp = stamp; return c }
	tests := map[string]struct {
		beats []int64 // stamps before and after each write
		end   client.Close
		want  verdict
	}{
		"in time":                  {[]int64{50, 51, 140, 141}, at(kick, 200), wrong},
		"last gap at the limit":    {[]int64{50, 51}, at(kick, 150), excused},
		"last gap just below":      {[]int64{50, 51}, at(kick, 149), wrong},
		"an earlier gap":           {[]int64{50, 51, 160, 161}, at(kick, 162), excused},
		"write that took too long": {[]int64{50, 51, 149, 150}, at(kick, 160), excused},
		"late, but another end":    {[]int64{50, 51}, at(client.Close{How: client.ByReset}, 190), wrong},
	}
	for name, test := range tests {
		l := life{beats: true}
		for i := 0; i < len(test.beats); i += 2 {
			l.beat(test.beats[i], test.beats[i+1], age)
		}
		if got, _ := l.judge(test.end, age); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
	silent := life{requested: 10, opened: 14}
	for stamp, want := range map[int64]verdict{109: early, 110: kicked, 120: kicked} {
		got, late := silent.judge(at(kick, stamp), age)
		if got != want || want == kicked && int64(late) != stamp-114 {
			t.Errorf("silent, closed at %d: got %v %d, want %v", stamp, got, late, want)
		}
	}
}

func TestJSONIsOneObjectWithTheHistogram(t *testing.T) {
	var k kicker
	args := []string{"--url", stub.Start(t, k.serve), "--silent", "5", "--beating", "0", "--max-age", testAge.String(), "--json"}
	var out, errs bytes.Buffer
	if err := run(args, &out, &errs); err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, b := range r.LatenessMs.Buckets {
		sum += b.Count
	}
	if sum != 5 || r.Counts["kicked"] != 5 || !strings.Contains(errs.String(), "lateness") {
		t.Errorf("got %s", &out)
	}
}

func TestPercentilesAreSamples(t *testing.T) {
	var s []time.Duration
	for i := range 200 {
		s = append(s, time.Duration(200-i)*time.Millisecond)
	}
	l := summarize(s)
	if l.P50 != 100 || l.P90 != 180 || l.P99 != 198 || l.Max != 200 || l.Min != 1 || len(l.Buckets) > 21 {
		t.Errorf("got %+v", l)
	}
	if l := summarize([]time.Duration{-1500 * time.Microsecond}); l.P99 != -1.5 || l.Buckets[0].From != -2 {
		t.Errorf("got %+v", l)
	}
}

func TestUselessSettingsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"--silent", "0", "--beating", "0"}, {"--beat", "60s"}, {"--duration", "1s"},
		{"--url", "http://x"}, {"--silent", "9000000"}} {
		var out, errs bytes.Buffer
		if code := cli.Exit(&errs, "kick", run(args, &out, &errs)); code != cli.Usage || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%v: exit %d, %q", args, code, &errs)
		}
	}
}
