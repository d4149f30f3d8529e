package load

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"dotsconnect/bench/client"
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

func TestAStampComesBackAndAnyDamageShows(t *testing.T) {
	sizes := []int{scenario.MinSize, 128, 70_000}
	const now = 123_456_789_012_345
	f := newTemplates(42, sizes, Frames{}, nil)
	want := stamp{42, 1<<senderBits - 1, 0, now / 1000 * 1000, -1}
	f.sent = func(s stamp) (int64, bool) { return -1, s == want }
	seen := map[int]bool{}
	for seq := range uint32(50) {
		want.seq = seq*7919 + 1<<26
		message := unmask(t, f.frame(0, want))
		seen[len(message)] = true
		// The stamp is read correctly for any time between sending and arrival.
		for _, way := range []int64{-5e9, 0, 3e9, 8 * 3600e9} {
			if got, found, damage := f.find(client.OpText, message, now+way); found != intact || damage != "" || got != want {
				t.Fatalf("got %+v, found %d, damage %q, want %+v", got, found, damage, want)
			}
		}
		if got, found, _ := f.find(client.OpBinary, message, now); found != damaged || got != want {
			t.Errorf("a binary message: got %+v, found %d", got, found)
		}
		if len(message) > 200 && seq > 5 {
			continue
		}
		for i := range message {
			for bit := range 8 {
				bad := bytes.Clone(message)
				bad[i] ^= 1 << bit
				// Without its tag a message has no stamp, so it is lost. With
				// another run in its stamp it is foreign.
				if _, found, _ := f.find(client.OpText, bad, now); found == intact {
					t.Fatalf("bit %d of byte %d of %d was changed: not seen", bit, i, len(message))
				}
			}
		}
		for name, bad := range map[string][]byte{
			"a byte less": message[:len(message)-1], "a byte more": append(bytes.Clone(message), '}'),
			"a blank before": append([]byte(" "), message...), "another envelope": append([]byte(`{"id":5,"data":`), append(message, '}')...),
			"half of it": message[:len(message)/2], "twice": append(bytes.Clone(message), message...),
		} {
			if _, found, _ := f.find(client.OpText, bad, now); found == intact {
				t.Errorf("%s: not seen", name)
			}
		}
	}
	if len(seen) != len(sizes) {
		t.Errorf("messages had sizes %v, want all of %v", seen, sizes)
	}
	if _, found, _ := f.find(client.OpText, []byte(`"heartbeat"`), now); found != unstamped {
		t.Error("a stamp was found where there is none")
	}
}

func TestAnotherProtocolHasItsOwnFrames(t *testing.T) {
	room := func(r int32) string { return fmt.Sprintf("room-%d", r) }
	f := newTemplates(42, []int{64, 128}, Frames{Send: `{"channel":"{room}","data":{"message":"{payload}"}}`}, room)
	f.roomOf = []int32{0, 0, 0, 7, 8}
	ours := newTemplates(42, []int{64, 128}, Frames{}, nil)
	for seq := range uint32(20) {
		s := stamp{42, 3, seq, 5000, -1}
		text, plain := string(unmask(t, f.frame(7, s))), string(unmask(t, ours.frame(0, s)))
		payload, _ := strings.CutPrefix(plain, `{"message":"`)
		if want := `{"channel":"room-7","data":{"message":"` + strings.TrimSuffix(payload, `"}`) + `"}}`; text != want {
			t.Fatalf("got %s, want %s", text, want)
		}
		if got, found, damage := f.find(client.OpText, []byte(text), 9000); found != intact || got != s {
			t.Fatalf("got %+v, %d, %q", got, found, damage)
		}
		if _, found, _ := f.find(client.OpText, []byte(strings.Replace(text, "room-7", "room-8", 1)), 9000); found != damaged {
			t.Fatal("another room in the envelope was not seen")
		}
	}
}

func TestAPatternKnowsEveryByte(t *testing.T) {
	p := newPattern(`{"push":{"channel":"{room}","pub":{"data":"{payload}","offset":{number}}}}`)
	const room = "a-1"
	for before, want := range map[string]bool{
		`{"push":{"channel":"a-1","pub":{"data":"`: true, `{"push":{"channel":"a-2","pub":{"data":"`: false,
		`{"push":{"channel":"a-1","pub":{"data":" "`: false, `{"push":{"channel":"a-`: false, "": false,
	} {
		if match(p.before, []byte(before), room) != want {
			t.Errorf("%s: want %t", before, want)
		}
	}
	for after, want := range map[string]bool{`","offset":1}}}`: true, `","offset":90210}}}`: true, `","offset":}}}`: false, `","offset":1}}} `: false, `","offset":1}}`: false} {
		if match(p.after, []byte(after), room) != want {
			t.Errorf("%s: want %t", after, want)
		}
	}
}

func TestTheMessagesThatWereSentAreKnownByTheirWholeStamps(t *testing.T) {
	var s sends
	const first = 77_000_000_000_000
	all := make([]stamp, 3*sendsChunk)
	for i := range all {
		all[i] = stamp{run: 42, sender: uint32(i % 7), seq: uint32(i/7 + 1), intended: first + int64(i/3)*15_000_001_000}
		s.add(all[i], int64(i%1000)*1000)
	}
	for i, m := range all {
		if late, ok := s.find(m); !ok || late != int64(i%1000)*1000 {
			t.Fatalf("message %d: got %d, %t", i, late, ok)
		}
		for bit := range 30 {
			bad := m
			if bad.intended += 1000 << bit; i+3 >= len(all) || bad.intended == all[i+3].intended {
				continue
			}
			if _, ok := s.find(bad); ok {
				t.Fatalf("message %d with another time was found", i)
			}
		}
	}
	for _, bad := range []stamp{{sender: 7, seq: 1, intended: first}, {sender: 0, seq: 2, intended: first}, {sender: 0, seq: 1, intended: first - 1000}} {
		if _, ok := s.find(bad); ok {
			t.Errorf("%+v was found", bad)
		}
	}
}

func TestPoissonArrivalsAreRandomAndTheSameForAllGenerators(t *testing.T) {
	s := scenario.Default()
	s.Rate.PerSecond, s.Burst = 1000, 4
	const start = 5_000_000_000_000
	d, again := newSchedule(&s, start, 10*time.Second), newSchedule(&s, start, 10*time.Second)
	if d.total != 10_000 || len(d.times) != 2500 {
		t.Fatalf("%d messages at %d times", d.total, len(d.times))
	}
	var gaps, squares float64
	for k := range d.total {
		at := d.at(k)
		if at != again.at(k) || at < start || at >= start+10e9 || k > 0 && at < d.at(k-1) || k%4 != 0 && at != d.at(k-1) {
			t.Fatalf("message %d is due at %d", k, at)
		}
		if !d.has(at / 1000 * 1000) {
			t.Fatalf("the schedule does not know message %d", k)
		}
		if k > 0 && k%4 == 0 {
			gap := float64(at - d.at(k-1))
			gaps, squares = gaps+gap, squares+gap*gap
		}
	}
	// The standard deviation of exponential gaps is their mean.
	n := float64(len(d.times) - 1)
	if mean := gaps / n; math.Abs(math.Sqrt(squares/n-mean*mean)/mean-1) > 0.1 {
		t.Errorf("gaps have a mean of %f and a deviation of %f", mean, math.Sqrt(squares/n-mean*mean))
	}
	s.Seed++
	if other := newSchedule(&s, start, 10*time.Second); other.at(5000) == d.at(5000) {
		t.Error("another seed has the same times")
	}
}

func TestAScheduleKnowsItsTimes(t *testing.T) {
	s := schedule{start: 7_000_000, rate: 333, burst: 2, total: 1000}
	times := map[int64]bool{}
	for k := range s.total {
		times[s.at(k)/1000*1000] = true
	}
	for at := int64(0); at < 100_000_000; at += 1000 {
		if s.has(at) != times[at] {
			t.Fatalf("%d: got %t", at, s.has(at))
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
