package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	_ "net/http/pprof" // registers the debug pages that --admin needs
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
)

// generateAgainst runs "scale generate" with the hub as the server. The flags
// make a short run with 203 connections; more has further flags.
func generateAgainst(t *testing.T, hub *stub.Hub, more ...string) (code int, out, errs string) {
	t.Helper()
	return generateServed(t, hub.Serve, more...)
}

func generateServed(t *testing.T, serve func(*stub.Conn), more ...string) (code int, out, errs string) {
	t.Helper()
	args := append([]string{"--url", stub.Start(t, serve), "--conns", "203", "--room", "70", "--messages", "3", "--warmup", "20",
		"--beat", "20ms", "--patience", "5s"}, more...)
	o, err := parseGenerate(args, os.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	o.twice = 20 * time.Millisecond
	var text, problems bytes.Buffer
	code = cli.Exit(&problems, "scale", newGenerator(o, &text).generate())
	return code, text.String(), problems.String()
}

func TestEveryConnectionGetsItsRoomsBroadcasts(t *testing.T) {
	admin := httptest.NewServer(http.DefaultServeMux)
	t.Cleanup(admin.Close)
	code, out, errs := generateAgainst(t, &stub.Hub{}, "--admin", admin.URL)
	if code != cli.OK {
		t.Fatalf("exit %d: %s\n%s", code, errs, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var order []string
	var last step
	for _, l := range lines {
		if name, ok := strings.CutPrefix(l, "@mark "); ok {
			order = append(order, "@"+name)
			continue
		}
		if err := json.Unmarshal([]byte(l), &last); err != nil {
			t.Fatalf("%q is neither a mark nor JSON: %v", l, err)
		}
		order = append(order, last.Phase)
		if last.Phase == "idle" && last.Heartbeats != 203 {
			t.Errorf("%d of 203 connections sent a heartbeat while idle", last.Heartbeats)
		}
	}
	got, want := strings.Join(order, " "), "@baseline connected @connected idle @idle @broadcast broadcast"
	if got != want {
		t.Errorf("lines: got %s, want %s", got, want)
	}
	if last.Connections != 203 || last.Rooms != 3 || last.Complete != 203 || last.Proof.Sent != 9 || last.Proof.Expected != 609 ||
		last.Proof.Received != 609 {
		t.Errorf("last line: %+v %+v", last, last.Proof)
	}
}

func TestViolationsAreNamedAndExitWith4(t *testing.T) {
	frame := func(m []byte) []byte { return stub.Frame(stub.Text, m) }
	for name, row := range map[string]struct {
		tamper func(kept, m []byte) [][]byte // returns the frames for the second message m; kept is the first message, if it was withheld
		want   string
	}{
		"a drop":   {func(_, _ []byte) [][]byte { return nil }, "1 lost, 0 doubled"},
		"a double": {func(_, m []byte) [][]byte { return [][]byte{frame(m), frame(m)} }, "0 lost, 1 doubled"},
		"a changed byte": {func(_, m []byte) [][]byte {
			return [][]byte{frame(bytes.Replace(m, []byte("scale"), []byte("Scale"), 1))}
		}, "1 damaged"},
		"a message of another run": {func(_, _ []byte) [][]byte {
			return [][]byte{frame(message{1, 2, 3}.appendTo(nil))}
		}, "1 foreign"},
		"two swapped": {func(kept, m []byte) [][]byte { return [][]byte{frame(m), frame(kept)} }, "1 reordered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var kept []byte
			hub := &stub.Hub{Tamper: func(room string, member, n int, m []byte) [][]byte {
				switch hit := strings.HasSuffix(room, "-1/") && member == 5; {
				case hit && n == 1 && name == "two swapped":
					kept = m
					return nil
				case hit && n == 2:
					return row.tamper(kept, m)
				}
				return [][]byte{frame(m)}
			}}
			code, out, errs := generateAgainst(t, hub, "--patience", "1s")
			if code != cli.Violated || !strings.Contains(errs, row.want) || strings.Count(errs, "\n") != 1 {
				t.Errorf("exit %d, want %d and %q in\n%s%s", code, cli.Violated, row.want, errs, out)
			}
		})
	}
}

func TestAConnectionThatIsNotHeldIsAViolation(t *testing.T) {
	hub := &stub.Hub{}
	seventh := make(chan bool, 1)
	seventh <- true
	code, _, errs := generateServed(t, func(c *stub.Conn) {
		if strings.Contains(c.Room, "scale-") {
			select {
			case <-seventh:
				c.Write(stub.CloseFrame(4100, "heartbeat_missed"))
				return
			default:
			}
		}
		hub.Serve(c)
	})
	if code != cli.Violated || !strings.Contains(errs, "4100 heartbeat_missed") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestAServerThatIsNotThereMakesTheRunInvalid(t *testing.T) {
	var errs bytes.Buffer
	code := cli.Exit(&errs, "scale", run([]string{"generate", "--url", "ws://127.0.0.1:1", "--conns", "5"}, &errs, &errs))
	if code != cli.Invalid || !strings.Contains(errs.String(), "ws://127.0.0.1:1") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestAMarkIsWaitedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mark")
	g := newGenerator(options{marked: file, patience: 50 * time.Millisecond, conns: 1, room: 1}, &bytes.Buffer{})
	if err := g.mark("idle"); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a mark that the lab does not take: got %v", err)
	}
	if err := os.WriteFile(file, []byte("idle\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.mark("idle"); err != nil {
		t.Error(err)
	}
}

func TestMessagesAreComparedWhole(t *testing.T) {
	m := message{0x2a, 7, 0xfffffff1}
	text := m.appendTo(nil)
	if want := `{"message":"~scale 0000002a 00000007 fffffff1"}`; string(text) != want {
		t.Fatalf("got %s, want %s", text, want)
	}
	if got, ok, _ := parseMessage(text, nil); !ok || got != m {
		t.Errorf("got %+v, %v", got, ok)
	}
	for i := range text {
		bad := append([]byte(nil), text...)
		bad[i] ^= 0x80
		if _, ok, _ := parseMessage(bad, nil); ok {
			t.Errorf("byte %d changed: %q was accepted", i, bad)
		}
	}
	for _, bad := range []string{"", `{"message":"x"}`, string(text) + " ", strings.ToUpper(string(text))} {
		if _, ok, _ := parseMessage([]byte(bad), nil); ok {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestSendersOfARoomAreDifferentMembers(t *testing.T) {
	for _, row := range []struct{ conns, room, messages int }{{203, 70, 3}, {20000, 1000, 4}, {7, 3, 2}, {1, 1000, 1}, {9, 2, 2}} {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			g := newGenerator(options{conns: row.conns, room: row.room, messages: row.messages}, &bytes.Buffer{})
			seen := map[int32]bool{}
			for r := range g.rooms {
				for j := range row.messages {
					id := g.sender(r, j)
					members := (row.conns - r + g.rooms - 1) / g.rooms
					if int(id) >= row.conns || int(id)%g.rooms != r || seen[id] && members >= row.messages {
						t.Fatalf("message %d of room %d comes from %d", j, r, id)
					}
					seen[id] = true
				}
			}
		})
	}
}
