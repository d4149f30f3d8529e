package load

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/internal/stub"
	"dotsconnect/bench/proof"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// Some connections fail, each for another reason. The run goes on with the
// others, and the causes have names.
func TestConnectionsThatFailAreCountedByCause(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{}
	var n atomic.Int64
	addr := stub.StartRaw(t, func(nc *net.TCPConn) {
		var number int64 // of the connections that send a request; another one only checks that the server listens
		stub.ServeIf(nc, func(c *stub.Conn) {
			if number == 2 {
				c.Write([]byte{0x81, 0x80, 1, 2, 3, 4}) // a masked frame
			}
			hub.Serve(c)
		}, func(string) bool {
			if number = n.Add(1); number == 1 {
				_, _ = io.WriteString(nc, "HTTP/1.1 503 Service Unavailable\r\n\r\nfull\n")
			}
			return number != 1 && number != 3
		})
	})
	s := small(func(*scenario.Scenario) {})
	r := mustRun(t, Config{URL: "ws://" + addr, Scenario: s})
	want := map[string]int{"rejected with HTTP 503 full": 1, "broken: a masked frame from the server": 1, "closed without a close frame": 1}
	if c := r.Connects; c.Tried != 32 || c.Failed != 3 || result.Causes(c.Causes) != result.Causes(want) {
		t.Errorf("got %+v, want %v", c, want)
	}
	if r.Proof.Sum() != 0 || r.Proof.Received == 0 || r.Proof.Received != r.Proof.Expected || r.Traffic.Conns != 29 {
		t.Errorf("proof %+v, %d connections", r.Proof, r.Traffic.Conns)
	}
	// Without a threshold no connection may fail. If the machine is busy, the
	// run is INVALID too.
	if o := r.Thresholds; len(o) != 1 || o[0].Met || r.Exit != cli.Missed && r.Exit != cli.Invalid {
		t.Errorf("thresholds %+v, exit %d", o, r.Exit)
	}
}

func TestIfNoConnectionOpensThereIsNoRun(t *testing.T) {
	t.Parallel()
	addr := stub.StartRaw(t, func(nc *net.TCPConn) {
		_, _ = io.WriteString(nc, "HTTP/1.1 404 Not Found\r\n\r\nno such room\n")
		_, _ = io.Copy(io.Discard, nc)
	})
	_, err := Run(Config{URL: "ws://" + addr, Scenario: small(func(*scenario.Scenario) {})})
	want := "none of 32 connections could be opened: rejected with HTTP 404 no such room: 32"
	if err == nil || err.Error() != want || cli.Exit(io.Discard, "", err) != cli.Usage {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestMessagesWithoutAStampAreCountedByKind(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{Tamper: func(_ string, member, n int, m []byte) [][]byte {
		frames := [][]byte{stub.Frame(stub.Text, m)}
		if member == 0 && n == 1 {
			frames = append(frames, stub.Frame(stub.Text, []byte("hello")), stub.Frame(stub.Text, []byte(`"heartbeat"`)), stub.Frame(stub.Binary, []byte{1, 0xff}))
		}
		return frames
	}}
	r := mustRun(t, Config{URL: stub.Start(t, hub.Serve), Scenario: small(func(s *scenario.Scenario) { s.Rooms = 1 })})
	want := map[string]int64{otherText: 1, otherBeat: 1, otherBinary: 1}
	if got := r.Traffic.OtherKinds; result.Causes(got) != result.Causes(want) || r.Traffic.Other != 3 || r.Proof.Sum() != 0 || len(r.Broken) > 0 {
		t.Errorf("got %v, want %v; proof %+v, broken %v", got, want, r.Proof.Counts, r.Broken)
	}
}

// A flipped bit in the time of a stamp must not change a latency.
func TestAWrongTimeIsDamageAndNoLatency(t *testing.T) {
	t.Parallel()
	hub := &stub.Hub{Tamper: func(_ string, member, n int, m []byte) [][]byte {
		if member == 1 && n == 5 {
			m = append([]byte(nil), m...)
			at := len(`{"message":"`) + timeAt
			m[at] = alphabet[(digits[m[at]]+1)%64]
		}
		return [][]byte{stub.Frame(stub.Text, m)}
	}}
	r := mustRun(t, Config{URL: stub.Start(t, hub.Serve), Scenario: small(func(*scenario.Scenario) {})})
	if r.Proof.Counts != (proof.Counts{Damaged: 4, Lost: 4}) || r.Latency.Count != 1600-4 || r.FromSend.Count != r.Latency.Count {
		t.Errorf("got %+v, %d latencies, %d from the send", r.Proof, r.Latency.Count, r.FromSend.Count)
	}
}
