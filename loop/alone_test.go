package loop

import (
	"slices"
	"testing"
)

// A message that comes alone is delivered at once, without the doorbell.
func TestAMessageThatComesAloneNeedsNoDoorbell(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Loops = 2 })
	f, other := r.open(0, "room", 0), r.open(0, "room", 0)
	far := r.open(1, "room", 0)
	r.rest()
	f.in = append(f.in, frame1("hello")...)
	r.rang[0], r.rang[1] = false, false
	r.loop(0).ReadableAlone(&f.Conn, r.now)
	if want := []string{"hello"}; !slices.Equal(f.frames(t), want) || !slices.Equal(other.frames(t), want) || r.rang[0] {
		t.Errorf("the members of this loop got %q and %q, and its doorbell rang: %v; want %q at once, and no ring", f.frames(t), other.frames(t), r.rang[0], want)
	}
	if !r.rang[1] {
		t.Error("the doorbell of the other loop did not ring")
	}
	r.rest()
	if want := []string{"hello"}; !slices.Equal(far.frames(t), want) {
		t.Errorf("the member of the other loop got %q, want %q", far.frames(t), want)
	}
	turns := r.stats(0).Turns
	r.loop(0).ReadableAlone(&f.Conn, r.now) // the socket has no bytes
	if r.stats(0).Turns != turns || r.rang[0] {
		t.Error("a read without a message made a turn, or rang")
	}
}

// If the doorbell has rung, a turn comes anyway; and posts that come meanwhile are handled.
func TestAloneOrNotEveryPostHasItsTurn(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	r.rest()
	l := r.loop(0)
	l.Ring()
	f.in = append(f.in, frame1("a")...)
	l.ReadableAlone(&f.Conn, r.now)
	if len(f.got) != 0 || !r.rang[0] {
		t.Errorf("got %q before the turn for which the doorbell rang", f.got)
	}
	r.rest()
	called := false
	f.onMessage = func() { l.Call(func(*Loop) { called = true }) }
	f.in = append(f.in, frame1("b")...)
	l.ReadableAlone(&f.Conn, r.now)
	if want := []string{"a", "b"}; !called || !slices.Equal(f.frames(t), want) {
		t.Errorf("called: %v, got %q, want %q", called, f.frames(t), want)
	}
	l.Call(func(*Loop) { called = false })
	if !r.rang[0] {
		t.Error("the doorbell is silent afterwards")
	}
	r.rest()
	if called {
		t.Error("the call was lost")
	}
}

// After a panic in the middle of a read, the doorbell can still wake the loop.
func TestAPanicWhileAloneDoesNotSilenceTheDoorbell(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	r.rest()
	f.onMessage = func() { panic("a bug") }
	f.in = append(f.in, frame1("x")...)
	func() {
		defer func() { _ = recover() }()
		r.loop(0).ReadableAlone(&f.Conn, r.now)
	}()
	if !r.rang[0] {
		t.Error("no turn comes after the panic")
	}
	f.onMessage = nil
	called := false
	r.rest()
	r.loop(0).Call(func(*Loop) { called = true })
	if r.rest(); !called {
		t.Error("a call has no turn")
	}
}

// Only a turn that the doorbell started adopts connections. A batch of events has at most one such turn, and a descriptor
// number that was freed in a batch must not be registered in the same batch.
func TestATurnThatIsAloneAdoptsNobody(t *testing.T) {
	r := newRig(t, nil)
	f := r.open(0, "room", 0)
	r.rest()
	fresh := &fake{room: -1}
	fresh.Init(fresh)
	f.onMessage = func() { r.loop(0).Adopt(&fresh.Conn) }
	f.in = append(f.in, frame1("hello")...)
	r.loop(0).ReadableAlone(&f.Conn, r.now)
	if want := []string{"hello"}; fresh.ID() != 0 || !r.rang[0] || !slices.Equal(f.frames(t), want) {
		t.Errorf("adopted as %x, rang %v, got %q; want it not adopted yet, a ring, and %q", fresh.ID(), r.rang[0], f.frames(t), want)
	}
	f.onMessage = nil
	if r.rest(); fresh.ID() == 0 {
		t.Error("it was never adopted")
	}
}
