package loop

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// wheelModel models the wheel as a plain map.
type wheelModel struct {
	wheel wheel
	conns []*Conn
	armed map[*Conn]uint32 // tick for which the connection is armed
	lazy  map[*Conn]uint32 // connections with a later sign of life: the tick at which each is really due
}

func TestWheelExpiresEveryEntryOnceAndAtItsTick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &wheelModel{armed: map[*Conn]uint32{}, lazy: map[*Conn]uint32{}}
		for range rapid.IntRange(1, 12).Draw(t, "entries") {
			m.conns = append(m.conns, &Conn{})
		}
		if rapid.Bool().Draw(t, "late start") { // the clock of a process need not start at 0
			m.advance(t, 5_000_000)
		}
		pick := rapid.SampledFrom(m.conns)
		t.Repeat(map[string]func(*rapid.T){
			"start": func(t *rapid.T) { m.start(pick.Draw(t, "entry"), int64(m.wheel.now)+delay(t)) },
			"stop": func(t *rapid.T) {
				c := pick.Draw(t, "entry")
				m.wheel.stop(c)
				delete(m.armed, c)
			},
			"touch": func(t *rapid.T) {
				c := pick.Draw(t, "entry")
				if _, armed := m.armed[c]; armed {
					m.lazy[c] = uint32(max(0, int64(m.armed[c])+delay(t)))
				}
			},
			"advance": func(t *rapid.T) { m.advance(t, m.wheel.now+uint32(delay(t)+3)) },
			"":        m.check,
		})
	})
}

// delay is mostly short, sometimes about one rotation of the wheel, and sometimes several rotations.
func delay(t *rapid.T) int64 {
	around := rapid.SampledFrom([]int64{0, 0, 0, 10, 600, wheelSlots, 2 * wheelSlots, 5 * wheelSlots}).Draw(t, "around")
	return around + rapid.Int64Range(-3, 20).Draw(t, "ticks")
}

func (m *wheelModel) start(c *Conn, at int64) {
	at = max(at, 0)
	m.wheel.start(c, uint32(at))
	m.armed[c] = max(uint32(at), m.wheel.now+1)
	delete(m.lazy, c)
}

func (m *wheelModel) advance(t *rapid.T, to uint32) {
	before := m.wheel.now
	to = max(to, before)
	expired := map[*Conn]bool{}
	m.wheel.advance(to, func(c *Conn) {
		at, armed := m.armed[c]
		switch {
		case !armed:
			t.Fatalf("an entry expired that is not armed, or twice")
		case at > to:
			t.Fatalf("expired at tick %d, want not before %d", to, at)
		case expired[c]:
			t.Fatalf("expired twice in one advance")
		case c.has(flagArmed):
			t.Fatalf("still armed while it expires")
		}
		expired[c] = true
		delete(m.armed, c)
		if due, lazy := m.lazy[c]; lazy && due > to {
			m.start(c, int64(due))
		}
	})
	for c, at := range m.armed {
		if at <= to {
			t.Fatalf("the entry for tick %d did not expire (expired: %v) when the wheel went from %d to %d", at, expired[c], before, to)
		}
	}
}

// check walks the slots: each armed connection must be in its slot exactly once, with correct links.
func (m *wheelModel) check(t *rapid.T) {
	found := 0
	for slot := range m.wheel.slots {
		var prev *Conn
		for c := m.wheel.slots[slot]; c != nil; prev, c = c, c.timer.next {
			found++
			at, armed := m.armed[c]
			if !armed || !c.has(flagArmed) || c.due != at || int(at%wheelSlots) != slot || c.timer.prev != prev {
				t.Fatalf("slot %d holds %+v, want tick %d (armed: %v)", slot, c.timer, at, armed)
			}
		}
	}
	if found != len(m.armed) || m.wheel.armed != found {
		t.Fatalf("%d entries hang in the wheel and it counts %d, want %d", found, m.wheel.armed, len(m.armed))
	}
}

func TestTicksAreRoundedSoThatNothingIsEarly(t *testing.T) {
	for _, c := range []struct {
		now      time.Duration
		down, up uint32
	}{{0, 0, 0}, {1, 0, 1}, {Tick - 1, 0, 1}, {Tick, 1, 1}, {Tick + 1, 1, 2}} {
		if got := tickDown(c.now); got != c.down {
			t.Errorf("tickDown(%v) = %d, want %d", c.now, got, c.down)
		}
		if got := tickUp(c.now); got != c.up {
			t.Errorf("tickUp(%v) = %d, want %d", c.now, got, c.up)
		}
	}
}
