package loop

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// kickRig makes one loop with one silent member.
func kickRig(t testing.TB, maxAge time.Duration, change func(*Config)) (*rig, *fake) {
	r := newRig(t, func(c *Config) {
		c.MaxAge = maxAge
		if change != nil {
			change(c)
		}
	})
	return r, r.open(0, "room", 0)
}

// firstTick returns the time of the first tick at or after the given time.
func firstTick(at time.Duration) time.Duration { return (at + Tick - 1) / Tick * Tick }

func TestAKickComesAtTheFirstTickAfterMaxAgeAndNeverBefore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		maxAge := Tick * time.Duration(rapid.IntRange(1, 130).Draw(rt, "max age in ticks"))
		r, f := kickRig(t, maxAge, nil)
		seen := r.now
		for range rapid.IntRange(0, 5).Draw(rt, "heartbeats") {
			last := seen
			seen += time.Duration(rapid.Int64Range(0, int64(maxAge-1)).Draw(rt, "heartbeat after"))
			for at := firstTick(last + 1); at <= seen; at += Tick {
				r.now = at
				r.turn(0)
				r.rest()
			}
			r.now = seen
			r.send(f, "H")
		}
		for at := firstTick(r.now + 1); ; at += Tick {
			r.now = at + time.Duration(rapid.Int64Range(0, int64(Tick-1)).Draw(rt, "jitter"))
			r.turn(0)
			early := len(f.kicks)
			r.rest()
			late := len(f.kicks) > 0
			if due := firstTick(seen + maxAge); late != (at >= due) || early > 0 {
				rt.Fatalf("last sign of life at %v, max age %v, turn of the tick at %v: kicked %v (in the turn before: %v), want %v",
					seen, maxAge, at, late, early > 0, at >= due)
			}
			if late {
				break
			}
		}
		if want := []CloseReason{ReasonHeartbeat}; !slices.Equal(f.kicks, want) {
			rt.Fatalf("kicks %v, want %v", f.kicks, want)
		}
	})
}

func TestAMaxAgeBetweenTwoTicksIsAtMostOneTickLonger(t *testing.T) {
	maxAge := 250 * time.Millisecond
	for phase := time.Duration(0); phase < Tick; phase += 7 * time.Millisecond {
		r, f := kickRig(t, maxAge, nil)
		r.now += phase
		seen := r.now
		r.send(f, "H")
		for len(f.kicks) == 0 {
			r.step(Tick / 10)
		}
		if late := r.now - (seen + maxAge); late < 0 || late > 2*Tick {
			t.Errorf("kicked %v after max age was over, want 0 to %v", late, 2*Tick)
		}
	}
}

func TestAHeartbeatReadBetweenTheMarkAndTheNextTurnSaves(t *testing.T) {
	r, f := kickRig(t, time.Second, nil)
	f.arrive("H") // the heartbeat is in time, but the poller reports the doorbell first
	r.now += 1100 * time.Millisecond
	r.turn(0)
	if got := len(r.loop(0).timeouts.suspects); got != 1 {
		t.Fatalf("%d suspects, want 1", got)
	}
	r.read(f)
	r.rest()
	if len(f.kicks) > 0 {
		t.Errorf("kicked for %v, want nothing", f.kicks)
	}
	r.step(900 * time.Millisecond)
	if len(f.kicks) > 0 {
		t.Errorf("kicked %v after the heartbeat was read, want not before a second", 900*time.Millisecond)
	}
	r.step(200 * time.Millisecond)
	if len(f.kicks) != 1 {
		t.Errorf("not kicked %v after the heartbeat was read", 1100*time.Millisecond)
	}
}

func TestAStalledLoopDoesNotKickWhoseHeartbeatWaitsUnread(t *testing.T) {
	for _, readFirst := range []bool{true, false} {
		r := newRig(t, func(c *Config) { c.MaxAge = time.Second })
		alive, silent := r.open(0, "room", 0), r.open(0, "room", 0)
		alive.arrive("H")
		r.now += 30 * time.Second // the loop was not called, as if the machine was asleep
		if readFirst {
			r.read(alive)
		}
		r.turn(0)
		if !readFirst {
			r.read(alive)
		}
		r.rest()
		if len(alive.kicks) > 0 {
			t.Errorf("read first %v: kicked whose heartbeat waited", readFirst)
		}
		if want := []CloseReason{ReasonHeartbeat}; !slices.Equal(silent.kicks, want) {
			t.Errorf("read first %v: the silent one has kicks %v, want %v", readFirst, silent.kicks, want)
		}
	}
}

func TestASuspectIsJudgedAfterAllInputThatWasThereIsParsed(t *testing.T) {
	r, f := kickRig(t, time.Second, func(c *Config) { c.ReadMessages = 2 })
	r.now += 1100 * time.Millisecond
	r.turn(0) // this turn makes f a suspect
	r.send(f, "N", "N", "N", "N", "N", "N", "N", "H")
	for turn := range 3 {
		if r.turn(0); len(f.kicks) > 0 || len(f.parsed) != 4+2*turn {
			t.Fatalf("turn %d: kicks %v after %d messages, want none after %d", turn, f.kicks, len(f.parsed), 4+2*turn)
		}
	}
	r.rest()
	if len(f.kicks) > 0 {
		t.Errorf("kicked for %v although a heartbeat waited behind noise, want nothing", f.kicks)
	}
	r.now += 1100 * time.Millisecond
	r.turn(0)
	r.send(f, "N", "N", "N", "N", "N", "N", "N", "N")
	r.rest()
	if len(f.kicks) != 1 {
		t.Errorf("kicks %v of a connection that only made noise, want one", f.kicks)
	}
}

func TestPausedTimeDoesNotCount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r, f := kickRig(t, time.Second, nil)
		seen := r.now
		before := time.Duration(rapid.Int64Range(0, int64(999*time.Millisecond)).Draw(rt, "before the pause"))
		pause := time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(rt, "pause"))
		r.now += before
		r.node.flows.congested.Add(1)
		f.in = []byte{0} // the first half of a frame, which pauses f; when it is read at last, it is not a sign of life
		r.read(f)
		r.rest()
		if r.loop(0).pausedNow() != 1 {
			rt.Fatalf("%d paused, want 1", r.loop(0).pausedNow())
		}
		for end := r.now + pause; r.now < end; {
			r.step(min(Tick, end-r.now))
		}
		if len(f.kicks) > 0 {
			rt.Fatalf("kicked while paused")
		}
		r.node.flows.congested.Add(-1)
		r.node.resume()
		r.rest()
		for len(f.kicks) == 0 {
			r.step(Tick / 4)
		}
		// Only the whole ticks of a pause count, so that many short pauses do not add up to more than their real length.
		least, most := time.Second-2*Tick, time.Second+4*Tick
		if heard := r.now - seen - pause; heard < least || heard > most || r.now-seen < time.Second {
			rt.Fatalf("kicked after %v of listening and %v of pause, want %v to %v of listening", heard, pause, least, most)
		}
	})
}

func TestManyShortPausesDoNotPutTheKickOff(t *testing.T) {
	r, f := kickRig(t, time.Second, nil)
	seen := r.now
	for range 1000 {
		r.node.flows.congested.Add(1)
		f.arrive("N") // N is noise, not a sign of life
		r.read(f)
		r.node.flows.congested.Add(-1)
		r.node.resume()
		r.rest()
		r.now += 100 * time.Microsecond
	}
	for len(f.kicks) == 0 && r.now < seen+time.Minute {
		r.step(Tick / 4)
	}
	if late := r.now - seen; late > time.Second+4*Tick {
		t.Errorf("kicked %v after the last sign of life, want at most %v", late, time.Second+4*Tick)
	}
}

func TestTheHandshakeHasItsOwnLimitHoweverItDrips(t *testing.T) {
	r := newRig(t, func(c *Config) { c.HandshakeTimeout, c.MaxAge = time.Second, 3*time.Second })
	f := &fake{room: -1}
	f.Init(f)
	r.loop(0).Adopt(&f.Conn)
	r.rest()
	began := r.now
	for len(f.kicks) == 0 {
		f.in = append(f.in, 1) // the length of a frame that never comes
		f.in = f.in[:min(len(f.in), 1)]
		r.read(f)
		r.step(50 * time.Millisecond)
	}
	if took := r.now - began; took < time.Second || took > time.Second+2*Tick || f.kicks[0] != ReasonHandshake {
		t.Errorf("kicked for %v after %v, want %v after %v", f.kicks, took, ReasonHandshake, time.Second)
	}
}

func TestHalfAFrameHasALimitThatEveryByteRenews(t *testing.T) {
	r, f := kickRig(t, time.Hour, func(c *Config) { c.FrameTimeout = time.Second })
	f.in = []byte{0, 100}
	r.read(f)
	for range 20 {
		r.step(900 * time.Millisecond)
		f.in = []byte{'x'}
		r.read(f)
	}
	if len(f.kicks) > 0 {
		t.Fatalf("kicked for %v although bytes came", f.kicks)
	}
	at := r.now
	for len(f.kicks) == 0 {
		r.step(Tick / 2)
	}
	if took := r.now - at; took < time.Second || took > time.Second+Tick || f.kicks[0] != ReasonFrame {
		t.Errorf("kicked for %v after %v, want %v after %v", f.kicks, took, ReasonFrame, time.Second)
	}
}

func TestPingsComeAtEachThirdOfMaxAgeThatIsSilent(t *testing.T) {
	r, f := kickRig(t, 3*time.Second, nil)
	f.WantPings()
	r.step(900 * time.Millisecond)
	if f.pings != 0 {
		t.Errorf("%d pings after 0.9 s, want 0", f.pings)
	}
	r.send(f, "H")
	r.step(900 * time.Millisecond)
	if f.pings != 0 {
		t.Errorf("%d pings 0.9 s after a heartbeat, want 0", f.pings)
	}
	for range 19 {
		r.step(Tick)
	}
	if f.pings != 2 || len(f.kicks) != 0 {
		t.Errorf("%d pings and kicks %v after 2.8 s of silence, want 2 and none", f.pings, f.kicks)
	}
	for range 4 {
		r.step(Tick)
	}
	if want := []CloseReason{ReasonHeartbeat}; !slices.Equal(f.kicks, want) {
		t.Errorf("kicks %v after 3.2 s of silence, want %v", f.kicks, want)
	}
}

// If several pings have become due since the last turn, a late turn sends only one ping.
func TestAPingComesInTheFirstTurnAfterEachThirdOfMaxAge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		maxAge := Tick * time.Duration(rapid.IntRange(3, 130).Draw(rt, "max age in ticks"))
		r, f := kickRig(t, maxAge, nil)
		f.WantPings()
		third := max(int64(tickUp(maxAge/3)), 1)
		for range rapid.IntRange(1, 5).Draw(rt, "signs of life") {
			r.send(f, "H")
			seen, sent := r.now, int64(0)
			for {
				step := Tick * time.Duration(rapid.SampledFrom([]int{1, 1, 1, 1, 5, 30}).Draw(rt, "ticks to the next turn"))
				if tickDown(r.now+step) >= tickUp(seen)+tickUp(maxAge) {
					break
				}
				before := f.pings
				r.step(step)
				due := (int64(tickDown(r.now)) - int64(tickUp(seen))) / third
				if got, want := f.pings-before, min(due-sent, 1); int64(got) != want {
					rt.Fatalf("max age %v, silent for %v: %d pings in this turn, want %d", maxAge, r.now-seen, got, want)
				}
				sent = due
			}
		}
	})
}

func TestTheAgeOfAConnectionCountsFromItsBeginningWhateverItDoes(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxAge = 3 * time.Second })
	f := &fake{room: -1}
	f.Init(f)
	r.loop(0).Adopt(&f.Conn)
	r.rest()
	began := r.now
	check := func() {
		t.Helper()
		if got, want := f.Age(), r.now-began; got > want+Tick || got < want-Tick {
			t.Errorf("got the age %v, want %v", got, want)
		}
	}
	check()
	r.step(time.Second)
	f.Join("room", 0)
	f.WantPings()
	r.rest()
	check()
	for range 5 {
		for range 25 { // time for two pings
			r.step(Tick)
		}
		r.send(f, "H")
		check()
	}
	if f.pings == 0 || len(f.kicks) > 0 {
		t.Errorf("%d pings and kicks %v, want some and none", f.pings, f.kicks)
	}
}

func TestHeldConnectionsAreNotKicked(t *testing.T) {
	r, f := kickRig(t, time.Second, nil)
	r.send(f, "W")
	for range 50 {
		r.step(Tick)
	}
	if len(f.kicks) > 0 {
		t.Errorf("kicked for %v while the session waits, want nothing", f.kicks)
	}
	f.Release()
	for range 3 {
		r.step(Tick)
	}
	if want := []CloseReason{ReasonHeartbeat}; !slices.Equal(f.kicks, want) {
		t.Errorf("kicks %v after Release, want %v: it was silent for 5 s", f.kicks, want)
	}
}
