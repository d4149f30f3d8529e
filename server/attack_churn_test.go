package server

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// In these tests large numbers of connections come, go and break while the members of another room talk. The room must see no
// effect, and no memory or descriptor of the connections may be left.

// Connections are reset at every point of their life, beside a busy room: no other member is dropped, and no byte reaches the
// wrong connection.
func TestAttackResetChurnBesideAHotRoomHarmsNobody(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/raw/hot")
	random := rand.New(rand.NewPCG(1, 2))
	before := descriptors(t)
	request := upgradeRequest("/ws/raw/hot")
	early := request + textFrame("from the churn") + head(0x82, 5000) + "half"
	var left []*wire
	for i := range 2000 {
		w := s.dial(t)
		switch i % 5 {
		case 0: // resets at once
		case 1:
			w.try(request[:random.IntN(len(request))])
		case 2:
			w.try(request)
		case 3:
			w.try(early[:len(request)+random.IntN(len(early)-len(request))])
		case 4:
			w.try(request)
			if random.IntN(4) == 0 {
				_ = w.response()
				left = append(left, w)
				continue
			}
		}
		switch random.IntN(3) {
		case 0:
			w.Close()
		default:
			w.reset()
		}
		if i%5 == 0 {
			for _, text := range by.exchange() {
				if text != "from the churn" {
					t.Fatalf("a wrong message: %q", text)
				}
			}
		}
	}
	for _, w := range left {
		w.reset()
	}
	s.empty(t, 2, 1)
	by.exchange()
	eventually(t, "the descriptors are back", func() bool { return descriptors(t) <= before })
	s.quiet(t)
}

// Members are reset while a large fan-out writes to them.
func TestAttackResetsInTheMiddleOfAFanOut(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/raw/room")
	payload := strings.Repeat("p", 20000)
	for range 5 {
		members := make([]*wire, 60)
		for i := range members {
			members[i] = s.join(t, "/ws/raw/room")
		}
		var resets sync.WaitGroup
		resets.Go(func() {
			for i, w := range members {
				if i%2 == 0 {
					_ = w.SetReadDeadline(time.Now())
					_, _ = io.Copy(io.Discard, w.r)
				}
				w.reset()
			}
		})
		for range 10 {
			by.pair[0].text(payload)
			by.pair[1].text(payload)
			if others := by.hear(2); len(others) != 2 || others[0] != payload || others[1] != payload {
				t.Fatalf("heard %d messages, want both", len(others))
			}
		}
		resets.Wait()
	}
	s.empty(t, 2, 1)
	s.quiet(t)
}

// Clients join and leave one room as fast as possible, so that the room vanishes and comes back while joins are on their way.
func TestAttackARoomThatComesAndGoesLosesNobody(t *testing.T) {
	s := startServer(t, hostile)
	var racers sync.WaitGroup
	for racer := range 4 {
		racers.Go(func() {
			for i := range 150 {
				w := s.join(t, "/ws/raw/flicker")
				text := fmt.Sprintf("racer %d, %d", racer, i)
				w.text(text)
				for w.message() != text {
				}
				if i%2 == 0 {
					w.write(closeFrame(1000, ""))
					w.ends()
				}
				w.Close()
			}
		})
	}
	racers.Wait()
	s.empty(t, 0, 0)
}

// Five thousand connections make every kind of mistake. Afterwards none of their memory and descriptors may be left.
func TestAttackFiveThousandOddConnectionsLeaveNothing(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	kinds := []string{
		"", "\x16\x03\x01", "GET / HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		upgradeRequest("/ws/chat/%00"), upgradeRequest("/ws/chat/room", "Origin: http://evil"), upgradeRequest("/ws/chat/room") + "\x83",
		upgradeRequest("/ws/chat/room") + head(0x81, 60000) + strings.Repeat("x", 3000), upgradeRequest("/ws/chat/gone") + closeFrame(1000, ""),
		upgradeRequest("/ws/raw/gone") + head(0x01, 0) + head(0x89, 0), upgradeRequest("/ws/chat/room") + textFrame("bad"),
	}
	round := func(n int) {
		random := rand.New(rand.NewPCG(uint64(n), 5))
		var clients sync.WaitGroup
		for client := range 4 {
			seed := random.Uint64()
			clients.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(client)))
				for i := range n / 4 {
					kind := kinds[random.IntN(len(kinds))]
					w := s.dial(t)
					w.try(kind)
					switch i % 4 {
					case 0:
						w.reset()
					case 1:
						_ = w.Close()
					case 2:
						w.finish()
						_ = w.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
						_, _ = io.Copy(io.Discard, w.r)
						w.Close()
					default:
						_ = w.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
						_, _ = io.Copy(io.Discard, w.r)
						w.Close()
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { clients.Wait(); close(done) }()
		for {
			select {
			case <-done:
				return
			default:
			}
			if others := by.exchange(); len(others) != 0 {
				t.Errorf("the others heard %q", others)
			}
		}
	}
	round(1000) // the first round allocates everything that is allocated only once
	s.empty(t, 2, 1)
	s.settle(t)
	heap, files, goroutines := heapAfterGC(), descriptors(t), runtime.NumGoroutine()
	round(5000)
	s.empty(t, 2, 1)
	s.settle(t)
	eventually(t, "the goroutines are back", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "the descriptors are back", func() bool { return descriptors(t) <= files })
	if grown := heapAfterGC() - heap; grown > 12<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	by.exchange()
	s.quiet(t)
}

// Many lagging members are reset one after the other, so that the kernel gives their descriptor numbers to other members that
// lag. The members that go on reading must get all messages in order, and no bytes that were meant for another connection.
func TestAttackLaggingMembersThatAreResetLeaveTheOthersLagInPeace(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		hostile(cfg)
		cfg.SoftBacklog, cfg.HardBacklog, cfg.UnsentLimit, cfg.StallBudget = 16*MiB, 16*MiB, 16*KiB, 0
	})
	for round := range 8 {
		room := fmt.Sprintf("/ws/raw/room%d", round)
		by := s.watch(t, room)
		lagging := make([]*wire, 8)
		for i := range lagging {
			lagging[i] = s.join(t, room)
		}
		by.exchange()
		var want []string
		for n := 0; n < 1000; n++ {
			text := fmt.Sprintf("round %d, message %d %s", round, n, strings.Repeat("x", 60000))
			by.pair[n%2].text(text)
			want = append(want, text)
			if others := by.hear(1); others[0] != text {
				t.Fatalf("round %d: got %.40q, want %.40q", round, others[0], text)
			}
			if n%16 == 0 && s.checkLedger(t).InFlight > 8*32 {
				break
			}
		}
		if s.lags() < 8 {
			t.Fatal("not all of them lag")
		}
		for i, w := range lagging {
			switch i % 4 {
			case 0:
				w.reset()
			case 1:
				w.Close()
			}
		}
		for i, w := range lagging {
			if i%4 < 2 {
				continue
			}
			var got []string
			for len(got) < len(want) {
				if text := w.message(); !strings.HasPrefix(text, "bystander") {
					got = append(got, text)
				}
			}
			for n := range got {
				if got[n] != want[n] {
					t.Fatalf("round %d, member %d: message %d reads %.40q, want %.40q", round, i, n, got[n], want[n])
				}
			}
			if i%4 == 2 {
				w.write(textFrame("bye") + closeFrame(1000, ""))
				if code, _, _ := w.ends(); code != 1000 {
					t.Errorf("closed with %d", code)
				}
			}
			w.Close()
		}
		by.exchange()
		for _, b := range by.pair {
			b.Close()
		}
		s.empty(t, 0, 0)
	}
}

// Some bytes of good streams are changed. The streams arrive in random pieces and end in every way. Both bystanders must
// receive the same messages, no other connection may end, and no memory of a stream may be left.
func TestAttackMutatedStreamsHarmNobody(t *testing.T) {
	s := startServer(t, hostile)
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 11))
		by := []*bystanders{s.watch(t, "/ws/chat/room"), s.watch(t, "/ws/raw/room")}
		for i := range 120 {
			space := i % 2
			stream, _ := randomStream(random, space == 1)
			bytes := []byte(upgradeRequest([]string{"/ws/chat/room", "/ws/raw/room"}[space]) + stream)
			from := len(bytes) - len(stream)
			if random.IntN(5) == 0 {
				from = 0
			}
			for range 1 + random.IntN(4) {
				at := from + random.IntN(len(bytes)-from)
				switch random.IntN(4) {
				case 0:
					bytes[at] ^= 1 << random.IntN(8)
				case 1:
					bytes[at] = byte(random.IntN(256))
				case 2:
					bytes = append(bytes[:at], bytes[at+1:]...)
				default:
					bytes = append(bytes[:at:at], append([]byte{0xff}, bytes[at:]...)...)
				}
				if len(bytes) == from {
					break
				}
			}
			w := s.dial(t)
			for len(bytes) > 0 {
				n := 1 + random.IntN(len(bytes))
				w.try(string(bytes[:n]))
				bytes = bytes[n:]
			}
			switch random.IntN(4) {
			case 0:
				w.reset()
			case 1:
				w.finish()
				_, _ = io.Copy(io.Discard, w.r)
			case 2:
				_ = w.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
				_, _ = io.Copy(io.Discard, w.r)
			}
			w.Close()
			by[space].exchange()
		}
		for _, b := range by {
			b.pair[0].Close()
			b.pair[1].Close()
		}
		s.empty(t, 0, 0)
	}
	s.quiet(t)
}
