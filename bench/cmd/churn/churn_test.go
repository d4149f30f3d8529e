package main

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/mark"
	"dotsconnect/bench/internal/stub"
)

func churn(url string, more ...string) (int, string) {
	args := append([]string{"--url", url, "--resets", "400", "--parallel", "8", "--rooms", "2", "--members", "2",
		"--rate", "2000/s", "--settle", "400ms", "--seed", "7", "--limit", "20s"}, more...)
	var out, errs bytes.Buffer
	code := cli.Exit(&errs, "churn", run(args, &out, &errs))
	return code, out.String() + errs.String()
}

type tamper = func(room string, member, n int, message []byte) [][]byte

// victim does something to the 20th message of the first member of a hot room,
// once; everything else passes.
func victim(do func(room string, message []byte) [][]byte) tamper {
	done := false
	return func(room string, member, n int, message []byte) [][]byte {
		if done || member != 0 || n < 20 || !strings.Contains(room, "hot-") {
			return pass(message)
		}
		frames := do(room, message)
		done = frames != nil
		if frames == nil {
			return pass(message)
		}
		return frames
	}
}

func pass(message []byte) [][]byte { return [][]byte{stub.Frame(stub.Text, message)} }

func isHonest(message []byte) bool {
	m, err := mark.Parse(message)
	return err == nil && m.Run%2 == 0
}

func TestAnHonestServerPasses(t *testing.T) {
	var hub stub.Hub
	code, out := churn(stub.Start(t, hub.Serve))
	if code != cli.OK || !strings.Contains(out, "violations:  none") || strings.Contains(out, " 0 of them from resetters") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// held swaps a message with later ones: with the next of the room, or with the
// next of the same sender.
func held(sameSender bool) tamper {
	var kept []byte
	var who mark.Mark
	done := false
	return func(room string, member, n int, message []byte) [][]byte {
		m, _ := mark.Parse(message)
		switch {
		case done || member != 0 || n < 20 || !strings.HasSuffix(room, "-0/") || !isHonest(message):
			return pass(message)
		case kept == nil:
			kept, who = bytes.Clone(message), m
			return nil
		case (m.Sender == who.Sender) != sameSender:
			return pass(message)
		}
		done = true
		return append(pass(message), stub.Frame(stub.Text, kept))
	}
}

func TestServersThatBreakPromisesAreCaught(t *testing.T) {
	var other []byte // a message of another room
	tests := map[string]struct {
		tamper tamper
		want   string
	}{
		"doubles": {victim(func(_ string, m []byte) [][]byte { return append(pass(m), pass(m)...) }), "doubled: room "},
		"loses": {victim(func(_ string, m []byte) [][]byte {
			if !isHonest(m) {
				return nil
			}
			return [][]byte{{}}
		}), "lost: room "},
		"reorders a sender":   {held(true), "reordered: room 0 member "},
		"reorders a room":     {held(false), "disagreed: room 0"},
		"damages":             {victim(func(_ string, m []byte) [][]byte { m = bytes.Clone(m); m[30] ^= 1; return pass(m) }), "damaged: room "},
		"replaces":            {victim(func(string, []byte) [][]byte { return pass([]byte("hello")) }), "damaged: room "},
		"joins two in one":    {victim(func(_ string, m []byte) [][]byte { return pass(append(bytes.Clone(m), m...)) }), "damaged: room "},
		"drops a member":      {victim(func(string, []byte) [][]byte { return [][]byte{stub.CloseFrame(4101, "slow_consumer")} }), "dropped: room "},
		"breaks the protocol": {victim(func(string, []byte) [][]byte { return [][]byte{{0xff, 0xff}} }), "dropped: room "},
		"invents": {victim(func(_ string, m []byte) [][]byte {
			return append(pass(m), pass(mark.AppendMessage(nil, mark.Mark{Run: 60, Sender: 0, Seq: 99999}))...)
		}), "nobody here wrote"},
		"crosses rooms": {victim(func(room string, m []byte) [][]byte {
			if strings.HasSuffix(room, "-1/") {
				other = bytes.Clone(m)
				return nil
			}
			if other == nil {
				return nil
			}
			return append(pass(m), pass(other)...)
		}), "foreign: room 0 member "},
		"gives a resetter's message to some": {victim(func(_ string, m []byte) [][]byte {
			if isHonest(m) {
				return nil
			}
			return [][]byte{{}}
		}), "split: room "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			hub := stub.Hub{Tamper: test.tamper}
			code, out := churn(stub.Start(t, hub.Serve))
			if code != cli.Violated || !strings.Contains(out, test.want) {
				t.Errorf("exit %d, want %q in\n%s", code, test.want, out)
			}
		})
	}
}

func TestARunThatTestedNothingIsInvalid(t *testing.T) {
	var hub stub.Hub
	if code, out := churn(stub.Start(t, hub.Serve), "--limit", "10ms", "--resets", "100000"); code != cli.Invalid {
		t.Errorf("time limit: exit %d\n%s", code, out)
	}
	// Half of the resetters' handshakes get no answer.
	addr := stub.StartRaw(t, func(nc *net.TCPConn) {
		stub.ServeIf(nc, hub.Serve, func(room string) bool { return strings.Contains(room, "hot-") })
	})
	if code, out := churn("ws://" + addr); code != cli.Invalid || !strings.Contains(out, "handshakes of resetters") {
		t.Errorf("no answers: exit %d\n%s", code, out)
	}
}

func TestNobodyThereIsOneLine(t *testing.T) {
	url := ""
	t.Run("served", func(t *testing.T) { url = stub.Start(t, func(*stub.Conn) {}) })
	if code, out := churn(url); code != cli.Usage || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestLedgerNamesWhatIsMissing(t *testing.T) {
	l := newLedger(2, 1, 2, 0)
	l.sent[0] = 10
	for seq := range uint32(10) {
		m := mark.AppendMessage(nil, mark.Mark{Run: 2, Sender: 0, Seq: seq})
		l.take(0, m)
		if seq != 3 && seq < 8 {
			l.take(1, m)
		}
	}
	if l.complete() {
		t.Error("complete, with the last two missing")
	}
	l.finish(true)
	want := "lost: room 0 member 1 lacks 3 of the 10 messages of room 0 member 0, numbers [3 8 9]"
	if len(l.lines) != 1 || l.lines[0] != want {
		t.Errorf("got %q, want %q", l.lines, want)
	}
}

func TestJSONIsOneObject(t *testing.T) {
	var hub stub.Hub
	args := []string{"--url", stub.Start(t, hub.Serve), "--resets", "50", "--rooms", "1", "--members", "2", "--json"}
	var out, errs bytes.Buffer
	if err := run(args, &out, &errs); err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if r.Deliveries == 0 || len(r.Violations) != 0 || r.Sent == 0 {
		t.Errorf("got %s", &out)
	}
}
