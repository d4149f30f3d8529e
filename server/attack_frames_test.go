package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Rows F1 to F11 of ATTACKS.md: bad frames.

// violation is a mistake of a member: the bytes that it sends after two good messages, and the code with which the server must
// close.
type violation struct {
	name  string
	bytes string
	code  int
}

var violations = []violation{
	{"RSV1", "\xc1", 1002},
	{"RSV2", "\xa1", 1002},
	{"RSV3", "\x91", 1002},
	{"empty RSV1 frame", "\xc1\x80\x00\x00\x00\x00", 1002},
	{"RSV1 on a ping", "\xc9", 1002},
	{"reserved opcode 3", "\x83", 1002},
	{"reserved opcode 7 with 1 MB announced", "\x87\xff\x00\x00\x00\x00\x00\x10\x00\x00", 1002},
	{"reserved opcode 11", "\x8b", 1002},
	{"reserved opcode 15", "\x8f", 1002},
	{"unmasked text", "\x81\x05", 1002},
	{"unmasked empty text", "\x81\x00", 1002},
	{"unmasked ping", "\x89\x00", 1002},
	{"unmasked close", "\x88\x00", 1002},
	{"unmasked with 1 MB announced", "\x82\x7f", 1002},
	{"length 2^63-1", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 1009},
	{"length 2^63", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", 1002},
	{"length 2^64-1", "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1002},
	{"length 2^31", "\x81\xff\x00\x00\x00\x00\x80\x00\x00\x00", 1009},
	{"length 2^32", "\x81\xff\x00\x00\x00\x01\x00\x00\x00\x00", 1009},
	{"fragment, then length 2^63-1", head(0x01, 1) + "x\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 1009},
	{"fragment, then length 2^63", head(0x02, 1) + "x\x80\xff\x80\x00\x00\x00\x00\x00\x00\x00", 1002},
	{"fragment, then length 2^64-1", head(0x01, 1) + "x\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1002},
	{"empty fragment, then length 2^63-1", head(0x01, 0) + "\x00\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 1009},
	{"length 5 in 2 bytes", "\x81\xfe\x00\x05", 1002},
	{"length 125 in 2 bytes", "\x81\xfe\x00\x7d", 1002},
	{"length 5 in 8 bytes", "\x81\xff\x00\x00\x00\x00\x00\x00\x00\x05", 1002},
	{"length 65535 in 8 bytes", "\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff", 1002},
	{"length 0 in 2 bytes", "\x82\xfe\x00\x00", 1002},
	{"64 KiB and a byte", "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x01", 1009},
	{"64 KiB and a byte in two fragments", head(0x02, 1) + "x" + "\x80\xff\x00\x00\x00\x00\x00\x01\x00\x00", 1009},
	{"ping of 126", "\x89\xfe", 1002},
	{"pong of 126", "\x8a\xfe", 1002},
	{"close of 126", "\x88\xfe", 1002},
	{"ping of 127 and more", "\x89\xff", 1002},
	{"fragmented ping", "\x09", 1002},
	{"fragmented pong", "\x0a", 1002},
	{"fragmented close", "\x08", 1002},
	{"continuation without a message", "\x80", 1002},
	{"fragment without a message", "\x00", 1002},
	{"text inside a message", head(0x01, 1) + "x\x81", 1002},
	{"binary inside a message", head(0x02, 1) + "x\x02", 1002},
	{"text after a message of fragments that a ping parted", head(0x01, 1) + "x" + head(0x89, 0) + "\x81", 1002},
	{"bad UTF-8 in mid-frame", head(0x81, 1000) + "abc\xff", 1007},
	{"overlong slash in mid-frame", head(0x81, 1000) + "\xc0", 1007},
	{"surrogate in mid-frame", head(0x81, 1000) + "\xed\xa0", 1007},
	{"beyond U+10FFFF in mid-frame", head(0x81, 1000) + "\xf4\x90", 1007},
	{"overlong of four in mid-frame", head(0x81, 1000) + "\xf0\x80", 1007},
	{"bad UTF-8 in the second fragment", head(0x01, 1) + "\xc3" + head(0x80, 10) + "(", 1007},
	{"half a character at the end", head(0x81, 2) + "a\xc3", 1007},
	{"half a character at the end of fragments", head(0x01, 1) + "\xe2" + head(0x80, 1) + "\x82", 1007},
	{"bad UTF-8 after a ping between fragments", head(0x01, 1) + "a" + head(0x89, 1) + "\xff" + head(0x80, 9) + "\xff", 1007},
	{"close body of a byte", "\x88\x81", 1002},
	{"close 0", head(0x88, 2) + "\x00\x00", 1002},
	{"close 999", head(0x88, 2) + "\x03\xe7", 1002},
	{"close 1004", head(0x88, 2) + "\x03\xec", 1002},
	{"close 1005", head(0x88, 2) + "\x03\xed", 1002},
	{"close 1006", head(0x88, 2) + "\x03\xee", 1002},
	{"close 1015", head(0x88, 2) + "\x03\xf7", 1002},
	{"close 1016", head(0x88, 2) + "\x03\xf8", 1002},
	{"close 2999", head(0x88, 2) + "\x0b\xb7", 1002},
	{"close 5000", head(0x88, 2) + "\x13\x88", 1002},
	{"close 65535", head(0x88, 2) + "\xff\xff", 1002},
	{"close 1005 with more to come", head(0x88, 100) + "\x03\xed", 1002},
	{"bad UTF-8 in a close reason, in mid-frame", head(0x88, 100) + "\x03\xe8ok\xff", 1007},
	{"half a character at the end of a close reason", head(0x88, 3) + "\x03\xe8\xc3", 1007},
}

// Only the bytes up to the mistake are sent. So if the server answers, it has not waited for more bytes.
func TestAttackViolationsEndWithTheirCodeAsEarlyAsTheBytesAllow(t *testing.T) {
	s := startServer(t, hostile)
	for _, path := range []string{"/ws/chat/room", "/ws/raw/room"} {
		by := s.watch(t, path)
		good := []string{`{"message":1}`, `{"message":"two"}`}
		for _, v := range violations {
			for _, oneSegment := range []bool{true, false} {
				w := s.join(t, path)
				if oneSegment {
					w.write(textFrame(good[0]) + textFrame(good[1]) + v.bytes)
				} else {
					w.write(textFrame(good[0]) + textFrame(good[1]))
					for i := range len(v.bytes) {
						w.write(v.bytes[i : i+1])
						s.settle(t)
					}
				}
				code, reason, before := w.ends()
				if code != v.code || reason == "" {
					t.Errorf("%s, %s: closed with %d %q, want %d and a reason", path, v.name, code, reason, v.code)
				}
				if !reflect.DeepEqual(before, good) {
					t.Errorf("%s, %s: the sender heard %q before, want %q", path, v.name, before, good)
				}
				w.closed()
				w.Close()
				if others := by.exchange(); !reflect.DeepEqual(others, good) {
					t.Errorf("%s, %s: the others heard %q, want %q", path, v.name, others, good)
				}
			}
		}
	}
	s.empty(t, 4, 2)
	s.quiet(t)
}

// A peer makes a mistake and then sends a flood: it must still be able to read the reason.
func TestAttackTheCloseCodeIsReadableBehindAMegabyteOfRubbish(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/raw/room")
	for _, c := range []struct {
		bytes string
		code  int
	}{{"\x83\xff\x00\x00\x00\x00\x00\x10\x00\x00", 1002}, {"\x82\xff\x00\x00\x00\x00\x00\x10\x00\x00", 1009}} {
		w := s.join(t, "/ws/raw/room")
		w.write(textFrame("before") + c.bytes)
		w.try(strings.Repeat("r", 1<<20))
		if code, _, before := w.ends(); code != c.code || len(before) != 1 {
			t.Errorf("closed with %d after %q, want %d", code, before, c.code)
		}
		w.Close()
		if others := by.exchange(); len(others) != 1 {
			t.Errorf("the others heard %q", others)
		}
	}
	s.empty(t, 2, 1)
}

func TestAttackWhatComesBehindACloseIsIgnored(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/raw/room")
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999} {
		w := s.join(t, "/ws/raw/room")
		w.write(textFrame("before") + closeFrame(code, "wörds") + textFrame("after") + "\xff\xff\xff" + closeFrame(1000, ""))
		got, reason, before := w.ends()
		if got != code || reason != "wörds" || len(before) != 1 {
			t.Errorf("closed with %d %q after %q, want %d as it was sent after one message", got, reason, before, code)
		}
		w.closed()
		w.Close()
		if others := by.exchange(); len(others) != 1 || others[0] != "before" {
			t.Errorf("the others heard %q", others)
		}
	}
	w := s.join(t, "/ws/raw/room")
	w.write(head(0x88, 0))
	if code, _, _ := w.ends(); code != 1005 {
		t.Errorf("an empty close is echoed with %d, want an empty one", code)
	}
	w.closed()
	full := s.join(t, "/ws/raw/room")
	full.write(closeFrame(4000, strings.Repeat("r", 123)))
	if code, reason, _ := full.ends(); code != 4000 || len(reason) != 123 {
		t.Errorf("closed with %d and %d bytes of reason, want 4000 and 123", code, len(reason))
	}
	by.exchange()
}

func TestAttackAPeerThatDoesNotAnswerOurCloseIsCut(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	began := time.Now()
	deaf := s.join(t, "/ws/chat/room")
	deaf.text("not JSON")
	deaf.endsWith(4500)
	deaf.closed() // this client sees only the FIN, and does not close its own side
	s.empty(t, 2, 1)
	if after := time.Since(began); after < s.cfg.CloseTimeout {
		t.Errorf("cut after %v, before %v", after, s.cfg.CloseTimeout)
	}
	chatty := s.join(t, "/ws/chat/room") // this client keeps sending, a little at a time
	chatty.text("not JSON")
	for s.connections() > 2 {
		chatty.try(textFrame(`{"message":"still here"}`))
		if others := by.exchange(); len(others) != 0 {
			t.Fatalf("the others heard %q", others)
		}
	}
}

func TestAttackControlFramesBetweenFragmentsAreServed(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/raw/room")
	w := s.join(t, "/ws/raw/room")
	ping := strings.Repeat("p", 125)
	w.write(string(frame(1, false, []byte("gr\xc3"))) + string(frame(9, true, []byte(ping))) + string(frame(0, false, nil)) +
		string(frame(10, true, []byte("unasked"))) + string(frame(0, true, []byte("\xbc\xc3\x9fe"))) + closeFrame(1000, ""))
	if op, payload, err := w.next(); op != 10 || string(payload) != ping {
		t.Fatalf("got opcode %d %q, %v; want the pong before the message", op, payload, err)
	}
	if code, _, before := w.ends(); code != 1000 || !reflect.DeepEqual(before, []string{"grüße"}) {
		t.Errorf("closed with %d after %q", code, before)
	}
	inside := s.join(t, "/ws/raw/room") // the server must accept a close frame between fragments
	inside.write(string(frame(2, false, []byte("half"))) + closeFrame(1001, ""))
	inside.endsWith(1001)
	if others := by.exchange(); !reflect.DeepEqual(others, []string{"grüße"}) {
		t.Errorf("the others heard %q", others)
	}
}

func TestAttackHalfAFrameIsCutWithoutProgressAndNotBefore(t *testing.T) {
	s := startServer(t, hostile)
	by := s.watch(t, "/ws/chat/room")
	halves := map[string]string{
		"all but one byte":     head(0x81, 20) + `{"message":"xxxxxx"`,
		"one byte":             "\x81",
		"a header":             head(0x81, 60000),
		"a fragment":           head(0x01, 3) + `{"m`,
		"a fragment and pings": head(0x01, 3) + `{"m` + head(0x89, 0),
		"half a ping":          head(0x89, 100) + "xxx",
		"half a close":         head(0x88, 100) + "\x03\xe8xxx",
	}
	held := map[string]*wire{}
	began := time.Now()
	for name, half := range halves {
		w := s.join(t, "/ws/chat/room")
		w.write(textFrame(`{"message":1}`) + half)
		held[name] = w
	}
	slow := s.join(t, "/ws/chat/room") // takes three times the limit, but a byte comes often enough
	stream := textFrame(`{"message":"slowly but surely"}`)
	for i := range len(stream) {
		slow.write(stream[i : i+1])
		by.exchange() // the held clients do not read meanwhile, and each must get its close frame
		for next := time.Now().Add(3 * s.cfg.FrameTimeout / time.Duration(len(stream))); time.Now().Before(next); {
			s.settle(t)
		}
	}
	for name, w := range held {
		code, _, before := w.ends()
		heard := strings.Count(strings.Join(before, " "), `{"message":1}`)
		if code != 1008 || heard == 0 {
			t.Errorf("%s: closed with %d after %.100q, want 1008", name, code, before)
		}
		if after := time.Since(began); after < s.cfg.FrameTimeout {
			t.Errorf("%s: cut after %v, before %v", name, after, s.cfg.FrameTimeout)
		}
		w.Close()
	}
	for {
		if got := slow.message(); got == `{"message":"slowly but surely"}` {
			break
		}
	}
	by.exchange()
}

// The frame timeout must not come early. This test does not run in parallel with others, so that they do not take its time.
func TestAttackTheFrameTimeoutCountsFromTheLastByte(t *testing.T) {
	s := startServer(t, hostile)
	w := s.join(t, "/ws/chat/room")
	w.write(head(0x81, 100))
	for begin := time.Now(); time.Since(begin) < s.cfg.FrameTimeout/2; {
		s.settle(t)
	}
	last := time.Now()
	w.write("x")
	w.endsWith(1008)
	if after := time.Since(last); after < s.cfg.FrameTimeout {
		t.Errorf("cut %v after the last byte, want at least %v", after, s.cfg.FrameTimeout)
	}
}

func TestAttackHalfAFrameKeepsAtMostTheMessageInMemory(t *testing.T) {
	s := startServer(t, nil)
	by := s.watch(t, "/ws/raw/room")
	const holders = 200
	wires := make([]*wire, holders)
	for i := range wires {
		wires[i] = s.join(t, "/ws/raw/room")
	}
	by.exchange()
	before := heapAfterGC()
	for _, w := range wires {
		w.write(head(0x82, 64<<10))
	}
	s.settle(t)
	if each := (heapAfterGC() - before) / holders; each > 8<<10 {
		t.Errorf("a header that announces 64 KiB keeps %d bytes", each)
	}
	rubbish := strings.Repeat("r", 64<<10-1)
	for _, w := range wires {
		w.write(rubbish)
	}
	s.settle(t)
	if each := (heapAfterGC() - before) / holders; each > 70<<10 {
		t.Errorf("half a frame keeps %d bytes, want at most 64 KiB and a little", each)
	}
	if others := by.exchange(); len(others) != 0 {
		t.Errorf("the others heard %d messages", len(others))
	}
	for _, w := range wires {
		w.reset()
	}
	s.empty(t, 2, 1)
}

func TestAttackFloodsOfCheapFramesEndWith1008(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.ControlBurst, cfg.ControlRate = 100, 10 })
	empty := head(0x81, 0)
	for _, c := range []struct {
		name, path, begin, flood string
		most                     int // number of messages that are accepted
	}{
		{"empty texts", "/ws/raw/room", "", empty, 100},
		{"tiny binaries", "/ws/raw/room", "", head(0x82, 3) + "xyz", 100},
		{"pings", "/ws/chat/room", "", head(0x89, 0), 0},
		{"pings with a payload", "/ws/raw/room", "", head(0x89, 125) + strings.Repeat("p", 125), 0},
		{"pongs", "/ws/chat/room", "", head(0x8a, 0), 0},
		{"endless empty fragments", "/ws/chat/room", head(0x01, 0), head(0x00, 0), 0},
		{"endless fragments", "/ws/raw/room", head(0x02, 1) + "x", head(0x00, 1) + "x", 0},
	} {
		by := s.watch(t, c.path)
		w := s.join(t, c.path)
		flood := strings.Repeat(c.flood, 1000)
		done := make(chan int)
		began := time.Now()
		go func() {
			sent := 0
			if w.try(c.begin) {
				for sent < 1_000_000 && w.try(flood) {
					sent += 1000
				}
			}
			done <- sent
		}()
		code, reason, heard, err := w.countUntilClose()
		if code != 1008 || err != nil {
			t.Errorf("%s: closed with %d %q, %v; want 1008", c.name, code, reason, err)
		}
		most := c.most + int(time.Since(began).Seconds()*10) + 2
		if c.most == 0 {
			most = 0
		}
		if heard < c.most || heard > most {
			t.Errorf("%s: %d messages got through, want %d to %d", c.name, heard, c.most, most)
		}
		w.Close()
		if sent := <-done; sent == 1_000_000 {
			t.Errorf("%s: a million were taken", c.name)
		}
		if others := by.exchange(); len(others) != heard {
			t.Errorf("%s: the others heard %d, the sender %d", c.name, len(others), heard)
		}
		for _, b := range by.pair {
			b.Close()
		}
		s.empty(t, 0, 0)
	}
	s.quiet(t)
}

func TestAttackAMessageOfTooManyFragmentsEndsWith1008(t *testing.T) {
	s := startServer(t, func(cfg *Config) { hostile(cfg); cfg.MaxFragments, cfg.ControlBurst = 16, 10000 })
	by := s.watch(t, "/ws/raw/room")
	w := s.join(t, "/ws/raw/room")
	first, more, last := head(0x01, 1)+"x", head(0x00, 1)+"x", head(0x80, 1)+"x"
	w.write(first + strings.Repeat(more, 14) + last)
	if got := w.message(); got != strings.Repeat("x", 16) {
		t.Errorf("got %q", got)
	}
	w.write(first + strings.Repeat(more, 15) + "\x80")
	w.endsWith(1008)
	if others := by.exchange(); len(others) != 1 {
		t.Errorf("the others heard %q", others)
	}
}

// If a peer sends pings and never reads, its pongs must not pile up.
func TestAttackPingsOfAPeerThatNeverReadsKeepOnePong(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.ControlBurst, cfg.ControlRate = 1<<24, 1<<24 })
	by := s.watch(t, "/ws/raw/room")
	w := s.join(t, "/ws/raw/other")
	_ = w.SetDeadline(time.Now().Add(2 * patience))
	before := heapAfterGC()
	const pings = 200_000
	var flood []byte
	for i := range pings {
		payload := bytes.Repeat([]byte{'p'}, 125)
		binary.BigEndian.PutUint32(payload, uint32(i))
		flood = append(flood, head(0x89, 125)...)
		flood = append(flood, payload...)
	}
	before += int64(cap(flood))
	for part := flood; len(part) > 0; {
		n := min(len(part), 1<<20)
		w.write(string(part[:n]))
		part = part[n:]
		by.exchange()
	}
	w.arrived()
	s.settle(t)
	if grown := heapAfterGC() - before; grown > 1<<20 {
		t.Errorf("%d bytes wait for a peer that never reads", grown)
	}
	got, last := 0, -1
	for last != pings-1 {
		op, payload, err := w.next()
		if op != 10 || err != nil {
			t.Fatalf("opcode %d, %v after %d pongs; want pongs only", op, err, got)
		}
		n := int(binary.BigEndian.Uint32(payload))
		if n <= last {
			t.Fatalf("pong %d after %d", n, last)
		}
		last = n
		got++
	}
	if got == pings {
		t.Skip("the kernel took all pongs")
	}
	w.text("alive")
	if got := w.message(); got != "alive" {
		t.Errorf("got %q", got)
	}
	by.exchange()
}

// A stream of bytes must have the same result whether it comes in one piece or split at any point.
func TestAttackAStreamMeansTheSameHoweverItIsCut(t *testing.T) {
	s := startServer(t, hostile)
	by := map[string]*bystanders{"chat": s.watch(t, "/ws/chat/room"), "raw": s.watch(t, "/ws/raw/room")}
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 7))
		space := []string{"chat", "raw"}[seed%2]
		stream, want := randomStream(random, space == "raw")
		request := upgradeRequest("/ws/" + space + "/room")
		var first outcome
		for round := range 3 {
			w := s.dial(t)
			s.writePieces(t, w, request+stream, round, random)
			if status := w.response().StatusCode; status != 101 {
				t.Fatalf("seed %d: HTTP %d", seed, status)
			}
			got := w.outcome()
			w.Close()
			if round == 0 {
				first = got
			}
			if !reflect.DeepEqual(got, first) || !reflect.DeepEqual(got.messages, want) {
				t.Fatalf("seed %d, round %d: got %.500v\nin one piece %.500v\nwant %.500q", seed, round, got, first, want)
			}
			if others := by[space].exchange(); !reflect.DeepEqual(others, want) {
				t.Fatalf("seed %d, round %d: the others heard %.500q, want %.500q", seed, round, others, want)
			}
		}
	}
}

// outcome holds everything that a client receives over a connection. Pongs may overtake messages, so they are listed separately.
type outcome struct {
	messages, pongs []string
	end             string
}

func (w *wire) outcome() (o outcome) {
	w.t.Helper()
	for {
		op, payload, err := w.next()
		switch {
		case err != nil:
			w.t.Fatalf("no close frame: %v", err)
		case op == 8:
			o.end = string(payload)
			w.closed()
			return o
		case op == 10:
			o.pongs = append(o.pongs, string(payload))
		case op < 3:
			o.messages = append(o.messages, string(payload))
		}
	}
}

// writePieces writes a stream. In round 0 it writes one piece. In round 1 it writes many pieces, and the server reads each piece
// separately. In later rounds it writes many pieces as fast as possible.
func (s *testServer) writePieces(t *testing.T, w *wire, stream string, round int, random *rand.Rand) {
	t.Helper()
	for len(stream) > 0 {
		n := len(stream)
		if round > 0 {
			n = 1 + random.IntN(min(n, []int{1, 3, 20, 300, 30000}[random.IntN(5)]))
		}
		w.write(stream[:n])
		stream = stream[n:]
		if round == 1 {
			s.settle(t)
		}
	}
}

// randomStream returns some good messages followed by a random ending, and the messages that must arrive.
func randomStream(random *rand.Rand, raw bool) (stream string, want []string) {
	var b strings.Builder
	for range 5 + random.IntN(15) {
		text := fmt.Sprintf(`{"message":%q}`, strings.Repeat("äöü€😀xyz", random.IntN(20)))
		if random.IntN(8) == 0 {
			text = fmt.Sprintf(`{"message":"%s"}`, strings.Repeat("long ", random.IntN(12000)))
		}
		op := byte(1)
		if raw && random.IntN(3) == 0 {
			op, text = 2, "\xff\xfe"+text
		}
		want = append(want, text)
		if random.IntN(4) == 0 {
			b.Write(frame(9, true, []byte(fmt.Sprint(random.IntN(1000)))))
		}
		for first := true; ; first = false {
			n := len(text)
			if random.IntN(2) == 0 {
				n = random.IntN(n + 1)
			}
			code := op
			if !first {
				code = 0
			}
			b.Write(frame(code, n == len(text), []byte(text[:n])))
			if text = text[n:]; text == "" {
				break
			}
			if random.IntN(3) == 0 {
				b.Write(frame(9, true, []byte("between")))
			}
		}
	}
	if random.IntN(2) == 0 {
		b.WriteString(closeFrame(1000+random.IntN(2), "bye"))
	} else {
		v := violations[random.IntN(len(violations))]
		b.WriteString(v.bytes)
	}
	return b.String(), want
}
