package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"dotsconnect/loop"
)

// Tests of connections that end: messages that have arrived must be delivered, and the peer must be able to read the reason.

// A fan-out may be the first to learn of a reset, from an error. The bytes that arrived before the reset must still be read.
func TestAttackWhatArrivedBeforeAResetIsDeliveredThoughAFanOutMeetsItFirst(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.Loops = 1 })
	by := s.watch(t, "/ws/raw/room")
	victim := s.join(t, "/ws/raw/room")
	s.holdBeforeFlush(t, s.node.Loops()[0], "raw/room", variantRaw, "for all", func() {
		for i := range 50 {
			victim.text(fmt.Sprintf("message %d", i))
		}
		victim.arrived()
		victim.reset()
	})
	s.empty(t, 2, 1)
	if got := by.exchange(); len(got) != 51 {
		t.Errorf("the others heard %d messages, want 51: %q", len(got), got)
	}
}

// Here the reset member has a backlog, and the flush of this backlog learns of the reset first. The bytes that arrived before
// the reset must still be read.
func TestAttackWhatASlowMemberSaidBeforeItsResetIsDelivered(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.Loops = 1; cfg.HardBacklog = 4 * MiB; cfg.SoftBacklog = 4 * MiB })
	by := s.watch(t, "/ws/raw/room")
	victim := s.join(t, "/ws/raw/room")
	l := s.node.Loops()[0]
	big := make([]byte, 60000)
	for i := range big {
		big[i] = 'x'
	}
	sent := 0
	for l.Stats().LaggingConns == 0 {
		by.pair[0].text(string(big))
		sent++
		by.hear(1)
		if sent > 2000 {
			t.Fatal("the member never lagged")
		}
	}
	held, goOn := make(chan struct{}), make(chan struct{})
	l.Call(func(*loop.Loop) { close(held); <-goOn })
	<-held
	for i := range 50 {
		victim.text(fmt.Sprintf("message %d", i))
	}
	victim.arrived()
	victim.reset()
	close(goOn)
	s.empty(t, 2, 1)
	if got := by.exchange(); len(got) != 50 {
		t.Errorf("the others heard %d messages, want 50", len(got))
	}
}

// holdBeforeFlush publishes a message. It calls f in the turn that handles the publication: after the turn has added the
// publication to the room's batch, and before it flushes the room.
func (s *testServer) holdBeforeFlush(t *testing.T, l *loop.Loop, room string, variant loop.Variant, value string, f func()) {
	t.Helper()
	held, goOn := make(chan struct{}), make(chan struct{})
	l.Call(func(l *loop.Loop) { // the publication and the call are in the inbox of the next turn
		s.node.Publish(room, variant, loop.KindText, []byte(value))
		l.Call(func(*loop.Loop) { close(held); <-goOn })
	})
	<-held
	f()
	close(goOn)
}

func TestAttackTheReasonOfAProtocolErrorReadsNameAndDetail(t *testing.T) {
	s := startServer(t, hostile)
	for bytes, want := range map[string]string{
		"\x83\x80":                 "protocol error: reserved opcode",
		head(0x81, 1) + "\xff":     "invalid UTF-8: text message",
		head(0x81, 64<<10+1):       "too big: message over the limit (see --max-message)",
		"\x81\x01":                 "protocol error: unmasked frame",
		head(0x88, 2) + "\x03\xec": "protocol error: close code not allowed",
	} {
		w := s.join(t, "/ws/chat/room")
		w.write(bytes)
		if _, reason, _ := w.ends(); reason != want {
			t.Errorf("got reason %q, want %q", reason, want)
		}
	}
}

// A page's goroutine may call into a loop after Close. The loop must not ring its doorbell then, because the descriptor number
// may belong to another file.
func TestAttackACallAfterCloseWritesIntoNobodysFile(t *testing.T) {
	cfg := Default()
	cfg.Listen, cfg.Admin, cfg.Loops = "127.0.0.1:0", "", 1
	s, err := New(cfg, zap.NewNop(), "test")
	if err != nil {
		t.Fatal(err)
	}
	p := s.pollers[0]
	number := p.bellFile
	if err := errors.Join(s.Start(), s.Close()); err != nil {
		t.Fatal(err)
	}
	var innocent *os.File
	for range 1000 {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		if int(f.Fd()) == number {
			innocent = f
			break
		}
	}
	if innocent == nil {
		t.Skip("the number was not given out again")
	}
	p.loop.Call(func(*loop.Loop) {})
	if info, err := innocent.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("%d bytes were written into a file that is not ours, %v", info.Size(), err)
	}
}

// All messages that have arrived must be delivered before the sender leaves, in whichever way its connection ends.
func TestAttackHundredThousandMessagesAndThenGone(t *testing.T) {
	const messages = 100_000
	for how, leave := range map[string]func(w *wire){
		"FIN":   func(w *wire) { w.finish() },
		"close": func(w *wire) { w.write(closeFrame(1000, "")) },
		"RST":   func(w *wire) { w.arrived(); w.reset() },
	} {
		t.Run(how, func(t *testing.T) {
			s := startServer(t, hostile)
			by := s.watch(t, "/ws/raw/room")
			w := s.join(t, "/ws/raw/room")
			var reading sync.WaitGroup
			reading.Go(func() { _, _ = io.Copy(io.Discard, w.r) })
			stream := masked(1, messages, func(i int) string { return fmt.Sprintf("%06d", i) })
			var writing sync.WaitGroup
			writing.Go(func() {
				if w.try(string(stream)) {
					leave(w)
				}
			})
			others := by.hear(messages)
			writing.Wait()
			if len(others) != messages {
				t.Fatalf("the others heard %d messages, want %d", len(others), messages)
			}
			for i, text := range others {
				if text != fmt.Sprintf("%06d", i) {
					t.Fatalf("message %d reads %q", i, text)
				}
			}
			s.empty(t, 2, 1)
			w.Close()
			reading.Wait()
		})
	}
}

// A peer sends frames while its join is on its way, and leaves at once. Its complete messages must be delivered.
func TestAttackEarlyFramesOfWhoIsGoneAlreadyAreDelivered(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/raw/room")
	for i := range 50 {
		w := s.dial(t)
		w.write(upgradeRequest("/ws/raw/room") + textFrame("one") + textFrame("two") + textFrame("three"))
		switch i % 3 {
		case 0:
			w.finish()
		case 1:
			w.arrived()
			w.reset()
		default:
			w.Close()
		}
		if others := by.hear(3); strings.Join(others, " ") != "one two three" {
			t.Fatalf("round %d: the others heard %q", i, others)
		}
		w.Close()
	}
	// A peer does this in an empty room, so that the join has to wait for the bus.
	for i := range 50 {
		w := s.dial(t)
		w.write(upgradeRequest(fmt.Sprintf("/ws/raw/new%d", i)) + textFrame("one"))
		w.reset()
	}
	s.empty(t, 2, 1)
	by.exchange()
}

func TestAttackFINInTheMiddleOfAHandshakeOrOfAFrameJustEndsIt(t *testing.T) {
	s := startServer(t, nil) // with the real timeouts, because the test does not wait for them
	by := s.watch(t, "/ws/raw/room")
	request := upgradeRequest("/ws/raw/room")
	for _, begun := range []string{"", "G", request[:40], request[:len(request)-1]} {
		w := s.dial(t)
		w.write(begun)
		w.finish()
		w.closed()
	}
	for _, begun := range []string{"", "\x81", head(0x81, 10) + "half", head(0x01, 4) + "half"} {
		w := s.join(t, "/ws/raw/room")
		w.write(textFrame("whole") + begun)
		w.finish()
		_, _ = io.Copy(io.Discard, w.r)
		if others := by.exchange(); len(others) > 1 {
			t.Errorf("the others heard %q", others)
		}
		w.Close()
	}
	s.empty(t, 2, 1)
	by.exchange()
}

func TestAttackUrgentDataIsNotPartOfTheStream(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/raw/room")
	w := s.join(t, "/ws/raw/room")
	for i := range 20 {
		text := fmt.Sprintf("message %d", i)
		bytes := textFrame(text)
		w.write(bytes[:7])
		s.settle(t)
		w.control(func(fd int) error { return unix.Sendto(fd, []byte{'!'}, unix.MSG_OOB, nil) })
		s.settle(t)
		w.write(bytes[7:])
		if got := w.message(); got != text {
			t.Fatalf("got %q, want %q", got, text)
		}
	}
	if others := by.exchange(); len(others) != 20 {
		t.Errorf("the others heard %d, want 20", len(others))
	}
	s.quiet(t)
}

// When the server drains, every connection that is busy must get an answer in the protocol that it speaks at that point.
func TestAttackFramesAndHalfHandshakesWhileTheServerDrains(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.DrainTime = 300 * time.Millisecond })
	members := make([]*wire, 40)
	for i := range members {
		members[i] = s.join(t, "/ws/raw/room")
	}
	half := s.dial(t)
	half.write("GET /ws/chat/room HTTP/1.1\r\nHost")
	halfFrame := s.join(t, "/ws/raw/other")
	halfFrame.write(head(0x82, 100) + "half")
	s.settle(t)
	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		drained <- s.Drain(ctx, s.cfg.DrainDelay)
	}()
	var talking sync.WaitGroup
	for i, w := range members {
		talking.Go(func() {
			for n := 0; w.try(textFrame(fmt.Sprintf("%d says %d", i, n))); n++ {
				op, payload, err := w.next()
				for err == nil && op < 3 && !strings.HasPrefix(string(payload), fmt.Sprintf("%d says", i)) {
					op, payload, err = w.next()
				}
				if op == 8 {
					if string(payload) != "\x10\x68draining" {
						t.Errorf("member %d: closed with % x %q", i, payload[:2], payload[2:])
					}
					break
				}
				if err != nil {
					t.Errorf("member %d: no close frame: %v", i, err)
					break
				}
			}
			w.Close()
		})
	}
	if status := half.response().StatusCode; status != http.StatusServiceUnavailable && status != http.StatusRequestTimeout {
		t.Errorf("half a handshake: HTTP %d, want 503", status)
	}
	half.Close()
	halfFrame.endsWith(4200)
	halfFrame.Close()
	talking.Wait()
	if err := <-drained; err != nil {
		t.Errorf("drain: %v", err)
	}
}

// A lagging member breaks a rule. It must still get the messages that its room had for it, and then the reason.
func TestAttackAMistakeOfALaggingMemberIsAnsweredBehindItsBacklog(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		cfg.SoftBacklog, cfg.HardBacklog, cfg.UnsentLimit, cfg.StallBudget = 16*MiB, 16*MiB, 16*KiB, 0
		cfg.CloseTimeout = patience
	})
	by := s.watch(t, "/ws/raw/room")
	w := s.join(t, "/ws/raw/room")
	sent := 0
	for ; sent < 1000; sent++ {
		by.pair[0].text(fmt.Sprintf("%06d %s", sent, strings.Repeat("x", 60000)))
		by.hear(1)
		if sent%16 == 0 && s.checkLedger(t).InFlight > 16 {
			break
		}
	}
	if s.lags() != 1 {
		t.Fatal("it never lagged")
	}
	w.write(textFrame("its own") + "\x83")
	by.hear(1)
	code, _, before := w.ends()
	heard := 0
	for _, text := range before {
		if strings.HasSuffix(text, "xxx") {
			if !strings.HasPrefix(text, fmt.Sprintf("%06d ", heard)) {
				t.Fatalf("message %d reads %.20q", heard, text)
			}
			heard++
		}
	}
	if code != 1002 || heard != sent+1 {
		t.Errorf("closed with %d after %d messages, want 1002 after %d", code, heard, sent+1)
	}
	by.exchange()
}

// Many clients send requests for pages or handshakes, and are gone before the server answers.
func TestAttackAnswersToWhoIsGoneAreDropped(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	for range 10 {
		wires := make([]*wire, 100)
		for i := range wires {
			wires[i] = s.dial(t)
			wires[i].write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + strings.Repeat("GET / HTTP/1.1\r\n", i%3))
		}
		for i, w := range wires {
			if i%2 == 0 {
				w.reset()
			} else {
				w.Close()
			}
		}
		by.exchange()
	}
	s.empty(t, 2, 1)
	s.quiet(t)
}
