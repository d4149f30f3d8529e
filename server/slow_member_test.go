package server

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// narrow sets the limits so that the server notices a member that does not read after about 100 KB.
func narrow(cfg *Config) {
	cfg.MaxMessage = 8 * KiB
	cfg.SoftBacklog, cfg.HardBacklog = 32*KiB, 64*KiB
	cfg.UnsentLimit = 8 * KiB
	cfg.StallBudget = 200 * time.Millisecond
	cfg.CloseTimeout = 200 * time.Millisecond
}

// peak samples a gauge until stop is called. stop returns the largest sample.
func peak(gauge func() int64) (stop func() int64) {
	var most int64
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			most = max(most, gauge())
			select {
			case <-done:
				return
			case <-ticker.C:
			}
		}
	})
	return func() int64 { close(done); wait.Wait(); return most }
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// converse makes the members of the room send count messages of some 1,000 bytes each. No message is sent before every member has
// received all messages except the last 16, so that none of the members counts as a slow consumer, however busy the machine is.
func converse(t *testing.T, count int, members ...*talker) {
	t.Helper()
	const window = 16
	total := count * len(members)
	progress := make(chan int, (total+1)*len(members))
	var all []func() error
	for i, k := range members {
		k.sender, k.pad = i, strings.Repeat("x", 1000)
		_ = k.SetDeadline(time.Now().Add(3 * patience))
		all = append(all, func() error {
			defer func() { progress <- -1 }()
			for len(k.heard) < total {
				if err := k.hear(); err != nil {
					return err
				}
				progress <- i
			}
			return nil
		})
	}
	all = append(all, func() error {
		heard := make([]int, len(members))
		for n := range total {
			for slices.Min(heard) < n-window {
				i := <-progress
				if i < 0 {
					return nil // the listener itself reports why it ended
				}
				heard[i]++
			}
			if err := members[n%len(members)].send(1); err != nil {
				return err
			}
		}
		return nil
	})
	together(t, all...)
	checkOrder(t, len(members), count, members...)
}

func (s *testServer) closes(code int) uint64 {
	for i := range protocol.Codes {
		if protocol.Codes[i].Code == code {
			return s.counts.closes[i].Load()
		}
	}
	return 0
}

func slowLines(s *testServer) []observer.LoggedEntry {
	return s.logs.FilterMessage("slow consumer kicked").All()
}

func TestAMemberThatResumesReadingFindsWholeFramesAndWhyItWasKicked(t *testing.T) {
	s := startServer(t, func(cfg *Config) { narrow(cfg); cfg.CloseTimeout = patience })
	path := "/ws/chat/slow/"
	a, b, slow := newTalker(s.join(t, path), 0), newTalker(s.join(t, path), 1), newTalker(s.joinNarrow(t, path), 2)
	s.onAllLoops(t, "chat/slow")
	converse(t, 2000, a, b)
	eventually(t, "the slow member is kicked", func() bool { return slowEnded(s.stats()) == 1 })

	if err := slow.hearAll(); err != nil {
		t.Fatal(err)
	}
	if slow.code != 4101 || !strings.HasPrefix(slow.reason, "slow_consumer") {
		t.Errorf("closed with %d %q, want 4101 slow_consumer", slow.code, slow.reason)
	}
	if !isPrefix(slow.heard, a.heard) {
		t.Error("the messages of the slow member are not a beginning of the room's order")
	}
	_ = slow.Close()
	eventually(t, "its place is free", func() bool { return s.connections() == 2 })
	t.Logf("it heard %d of %d messages, then %d %s", len(slow.heard), len(a.heard), slow.code, slow.reason)
}

func TestAMemberThatNeverReadsIsCutAndNamed(t *testing.T) {
	s := startServer(t, narrow)
	path := "/ws/chat/never/"
	a, b := newTalker(s.join(t, path), 0), newTalker(s.join(t, path), 1)
	never := s.joinNarrow(t, path)
	before := heapInUse()
	held := peak(s.node.Held)
	converse(t, 10_000, a, b)
	most := held()
	eventually(t, "it is cut", func() bool { return s.connections() == 2 })
	if _, err := io.Copy(io.Discard, never.r); isTimeout(err) {
		t.Errorf("its socket was not cut: %v", err)
	}
	if n := slowEnded(s.stats()); n != 1 {
		t.Errorf("%d slow consumers ended, want 1", n)
	}
	if n := s.closes(4101); n != 1 {
		t.Errorf("4101 was counted %d times, want once", n)
	}
	lines := slowLines(s)
	if len(lines) != 1 || lines[0].ContextMap()["room"] != "chat/never" || lines[0].ContextMap()["remote"] != never.LocalAddr().String() {
		t.Errorf("logged %v, want one line with the room and the address", lines)
	}
	a.heard, b.heard = nil, nil
	grown := heapInUse() - before
	if limit := int64(s.cfg.HardBacklog) + 3*64<<10; most > limit {
		t.Errorf("backlogs held %d bytes, want at most %d", most, limit)
	}
	if now := s.node.Held(); now != 0 {
		t.Errorf("backlogs hold %d bytes after the end, want 0", now)
	}
	if grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes while 20 MB passed", grown)
	}
	t.Logf("20 MB passed: backlogs held %d bytes at most, the heap grew by %d; %v", most, grown, lines[0].ContextMap()["why"])
}

// TestAThousandMembersThatNeverReadHarmNobody is row S1 of ATTACKS.md.
func TestAThousandMembersThatNeverReadHarmNobody(t *testing.T) {
	readers, count := 1000, 2000
	if testing.Short() {
		readers, count = 100, 500
	}
	s := startServer(t, narrow)
	path := "/ws/chat/hot/"
	a, b := newTalker(s.join(t, path), 0), newTalker(s.join(t, path), 1)
	for range readers {
		s.joinNarrow(t, path)
	}
	held := peak(s.node.Held)
	largest := peak(func() int64 { return s.stats().BacklogMax })
	began := time.Now()
	converse(t, count, a, b)
	eventually(t, "all are cut", func() bool { return s.connections() == 2 })
	took := time.Since(began)
	mostHeld, mostOne := held(), largest()
	sum := s.checkLedger(t)
	if n := slowEnded(sum); n != uint64(readers) {
		t.Errorf("%d slow consumers ended, want %d", n, readers)
	}
	if n := s.closes(4101); n != uint64(readers) {
		t.Errorf("4101 was counted %d times, want %d", n, readers)
	}
	if limit := int64(s.cfg.HardBacklog) + 64<<10; mostOne > limit {
		t.Errorf("one member had a backlog of %d bytes, want at most %d", mostOne, limit)
	}
	if limit := int64(s.cfg.BacklogTotal); mostHeld > limit {
		t.Errorf("backlogs held %d bytes, want at most %d", mostHeld, limit)
	}
	t.Logf("%d members that never read: all kicked, %d frames dropped with them; largest backlog %d bytes, all together %d bytes; %d messages to the others in %v",
		readers, sum.Dropped[loop.ReasonBacklogHard]+sum.Dropped[loop.ReasonBacklogSoft], mostOne, mostHeld, 2*count, took.Round(time.Millisecond))
}

// TestTheSlowestAreShedWhenAllBacklogsTogetherAreTooLarge uses many rooms, because the members of one room share their frames.
func TestTheSlowestAreShedWhenAllBacklogsTogetherAreTooLarge(t *testing.T) {
	const rooms = 12
	s := startServer(t, func(cfg *Config) {
		narrow(cfg)
		cfg.SoftBacklog, cfg.HardBacklog, cfg.BacklogTotal = 256*KiB, 256*KiB, 256*KiB
	})
	held := peak(s.node.Held)
	var all []func() error
	for i := range rooms {
		path := "/ws/chat/shed" + string(rune('a'+i)) + "/"
		k := newTalker(s.join(t, path), 0)
		k.pad = strings.Repeat("x", 1000)
		s.joinNarrow(t, path)
		all = append(all, func() error {
			if err := k.talk(1000, 16, 1000); err != nil {
				return err
			}
			if k.heard[999] != 999 {
				return errors.New("a message is missing")
			}
			return nil
		})
	}
	together(t, all...)
	most := held()
	sum := s.stats()
	if sum.Ended[loop.ReasonShed] == 0 {
		t.Error("no member was shed")
	}
	if limit := int64(s.cfg.BacklogTotal) + 256<<10; most > limit {
		t.Errorf("backlogs held %d bytes, want at most %d", most, limit)
	}
	t.Logf("%d of %d were shed, %d over their own limit; backlogs held %d bytes at most, the limit is %d", sum.Ended[loop.ReasonShed], rooms,
		sum.Ended[loop.ReasonBacklogHard], most, int64(s.cfg.BacklogTotal))
}

// TestMembersThatReadAreNotKickedInABurst has many members that all send at the same moment, with the default settings. In one
// turn, the loop could parse far more messages from these members than the backlog of one member may hold.
func TestMembersThatReadAreNotKickedInABurst(t *testing.T) {
	const members, each = 40, 64
	for _, loops := range []int{1, 2} {
		s := startServer(t, func(cfg *Config) { cfg.Loops = loops })
		var talkers []*talker
		var all []func() error
		for i := range members {
			k := newTalker(s.join(t, "/ws/chat/burst/"), i)
			k.pad = strings.Repeat("x", 1000)
			talkers = append(talkers, k)
			all = append(all, func() error { return k.talk(0, 0, members*each) })
		}
		release := s.hold(s.node.Loops()...)
		for _, k := range talkers {
			if err := k.send(each); err != nil {
				t.Fatal(err)
			}
		}
		release()
		together(t, all...)
		checkOrder(t, members, each, talkers...)
	}
}

// TestTheUnsentLimitReachesAcceptedConnections checks the options of accepted sockets. Plain TCP connections would not inherit
// the limit from a Multipath TCP listener, Go's default, and then the kernel would take up to 4 MB for a member that does not
// read.
func TestTheUnsentLimitReachesAcceptedConnections(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.UnsentLimit = 16 * KiB })
	s.join(t, "/ws/chat/limit/")
	l := s.node.Loops()[0]
	_, err := onLoop(t, l, func(l *loop.Loop) (n int, err error) {
		l.Each(func(c *loop.Conn) bool {
			n++
			got, err := unix.GetsockoptInt(c.Peer().(*session).fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
			if got != int(s.cfg.UnsentLimit) || err != nil {
				t.Errorf("TCP_NOTSENT_LOWAT is %d, %v, want %d", got, err, s.cfg.UnsentLimit)
			}
			return true
		})
		if n != 1 {
			t.Errorf("looked at %d connections, want 1", n)
		}
		return n, nil
	})
	if err != nil {
		t.Error(err)
	}
}
