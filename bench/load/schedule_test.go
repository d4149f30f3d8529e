package load

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

func TestTheScheduleNeverMovesWithWhatWasSent(t *testing.T) {
	s := schedule{start: 1000, rate: 500, burst: 1, total: 1_000_000_000}
	for k, want := range map[int64]int64{0: 1000, 1: 2_001_000, 500: 1_000_001_000, 999_999_999: 1000 + 999_999_999*2_000_000} {
		if got := s.at(k); got != want {
			t.Errorf("message %d is due at %d, want %d", k, got, want)
		}
	}
	if got := s.at(s.total); got != math.MaxInt64 {
		t.Errorf("a message behind the last is due at %d, want never", got)
	}
}

func TestABurstHasOneIntendedTime(t *testing.T) {
	s := schedule{rate: 320, burst: 32, total: 320}
	for k := range int64(320) {
		if got, want := s.at(k), k/32*100_000_000; got != want {
			t.Fatalf("message %d is due at %d, want %d", k, got, want)
		}
	}
}

// A generator that is held up for a second must show that second in its
// lateness, and must still send all messages. The test uses a fake clock.
func TestASenderThatWasHeldUpCatchesUpAndIsLate(t *testing.T) {
	s := schedule{rate: 1000, burst: 1, total: 5000}
	late := result.NewHistogram()
	now, sent := int64(0), int64(0)
	for k := int64(0); k < s.total; {
		for ; s.at(k) <= now; k++ {
			result.Record(late, now-s.at(k))
			sent++
		}
		now = min(s.at(k), now+int64(time.Millisecond))
		if k == 2000 {
			now += int64(time.Second)
		}
	}
	q := result.Summarize(late)
	if sent != s.total || q.P50 > 1000 || q.P90 < 450_000 || q.P90 > 550_000 || q.Max < 990_000 {
		t.Errorf("sent %d of %d, lateness %+v: want p50 near 0, p90 near 0.5 s, max near 1 s", sent, s.total, q)
	}
}

func TestEveryRoomHasAMemberAndZipfRoomsDiffer(t *testing.T) {
	for _, spread := range []string{scenario.Even, scenario.Zipf} {
		s := scenario.Default()
		s.Conns, s.Rooms, s.Spread = 4000, 500, spread
		size := make([]int, s.Rooms)
		for _, r := range deal(&s) {
			size[r]++
		}
		total := 0
		for r, n := range size {
			total += n
			if n < 1 {
				t.Errorf("%s: room %d is empty", spread, r)
			}
		}
		if total != s.Conns || spread == scenario.Even && size[0] != 8 || spread == scenario.Zipf && size[0] < 50*size[499] {
			t.Errorf("%s: %d connections, first room %d, last %d", spread, total, size[0], size[499])
		}
	}
}

func TestTheSameSeedPicksTheSameSenders(t *testing.T) {
	a, b, c := newPicker(7, 1000), newPicker(7, 1000), newPicker(8, 1000)
	differ := false
	for range 100 {
		x, y, z := a.first(), b.first(), c.first()
		if x != y {
			t.Fatalf("got %d and %d from one seed", x, y)
		}
		differ = differ || x != z
	}
	if !differ {
		t.Error("another seed picks the same")
	}
	if m, ok := a.from(999, func(m int32) bool { return m < 5 }); !ok || m != 0 {
		t.Errorf("the nearest after the last that can send is %d, want 0", m)
	}
	if _, ok := a.from(1, func(int32) bool { return false }); ok {
		t.Error("a sender was picked although none is left")
	}
}

func TestAStampComesBackAndDamageShows(t *testing.T) {
	sizes := []int{scenario.MinSize, 128, 70_000}
	const now = 123_456_789_012_345
	f := newTemplates(42, sizes, "", nil)
	seen := map[int]bool{}
	for seq := range uint32(50) {
		want := stamp{42, 1<<senderBits - 1, seq + 1<<26, now / 1000 * 1000}
		message := unmask(t, f.frame(0, want))
		seen[len(message)] = true
		// The stamp is read correctly inside another envelope, and for any time
		// between sending and arrival.
		for _, text := range [][]byte{message, append([]byte(`{"id":5,"data":`), append(message, '}')...)} {
			for _, way := range []int64{-5e9, 0, 3e9, 8 * 3600e9} {
				if got, rest, found, damage := f.find(text, now+way); !found || damage != "" || got != want || rest[0] != '"' {
					t.Fatalf("got %+v, rest %.5q, found %t, damage %q, want %+v", got, rest, found, damage, want)
				}
			}
		}
		for _, at := range []int{len(`{"message":"`) + numberAt, len(message) - 3} {
			bad := bytes.Clone(message)
			bad[at] = '!'
			if _, _, _, damage := f.find(bad, now); damage == "" {
				t.Errorf("a changed byte %d of %d was not seen", at, len(message))
			}
		}
		if _, _, _, damage := f.find(append(bytes.Clone(message[:len(message)-2]), `z"}`...), now); damage == "" {
			t.Error("a byte too many was not seen")
		}
	}
	if len(seen) != len(sizes) {
		t.Errorf("messages had sizes %v, want all of %v", seen, sizes)
	}
	if _, _, found, _ := f.find([]byte(`"heartbeat"`), now); found {
		t.Error("a stamp was found where there is none")
	}
}

func TestAnotherProtocolHasItsOwnFrames(t *testing.T) {
	room := func(r int32) string { return fmt.Sprintf("room-%d", r) }
	f := newTemplates(42, []int{64, 128}, `{"channel":"{room}","data":{"message":"{payload}"}}`, room)
	ours := newTemplates(42, []int{64, 128}, "", nil)
	for seq := range uint32(20) {
		s := stamp{42, 3, seq, 5000}
		text, plain := string(unmask(t, f.frame(7, s))), string(unmask(t, ours.frame(0, s)))
		payload, _ := strings.CutPrefix(plain, `{"message":"`)
		if want := `{"channel":"room-7","data":{"message":"` + strings.TrimSuffix(payload, `"}`) + `"}}`; text != want {
			t.Fatalf("got %s, want %s", text, want)
		}
		// If one message has several payloads, find returns one after the
		// other.
		many := []byte(text + "\n" + string(unmask(t, f.frame(8, stamp{42, 4, seq, 6000}))))
		a, rest, ok, damage := f.find(many, 9000)
		b, _, ok2, damage2 := f.find(rest, 9000)
		if !ok || !ok2 || damage+damage2 != "" || a != s || b.sender != 4 || b.intended != 6000 {
			t.Fatalf("got %+v and %+v, %q %q", a, b, damage, damage2)
		}
	}
}

func unmask(t *testing.T, frame []byte) []byte {
	t.Helper()
	at := 6
	switch frame[1] & 0x7f {
	case 126:
		at = 8
	case 127:
		at = 14
	}
	payload := bytes.Clone(frame[at:])
	for i := range payload {
		payload[i] ^= frame[at-4+i&3]
	}
	return payload
}
