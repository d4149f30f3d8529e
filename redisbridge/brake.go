package redisbridge

import (
	"sync"
	"sync/atomic"
)

// brake has the loops read no further while too many bytes are on their way through Redis. Any goroutine.
type brake struct {
	held    atomic.Int64 // bytes of publications that are queued or on their way
	full    atomic.Bool  // the loops were told to hold back; written under telling
	telling sync.Mutex
}

// hold counts bytes that are on their way; from half of the limit on the loops read no further.
func (b *Bridge) hold(n int64) {
	if b.held.Add(n) > b.cfg.MaxHeld/2 && !b.full.Load() {
		b.tellLoops()
	}
}

// release counts bytes that are settled; at a quarter of the limit the loops go on.
func (b *Bridge) release(n int64) {
	if b.held.Add(-n) <= b.cfg.MaxHeld/4 && b.full.Load() {
		b.tellLoops()
	}
}

// tellLoops tells the loops to hold back or to go on. One at a time, and looking again after each word: if the last of two
// words said at once was to hold back, nothing would be read and nothing published that could ever end it.
func (b *Bridge) tellLoops() {
	b.telling.Lock()
	defer b.telling.Unlock()
	for {
		on := b.full.Load()
		switch held := b.held.Load(); {
		case held > b.cfg.MaxHeld/2:
			on = true
		case held <= b.cfg.MaxHeld/4:
			on = false
		}
		if b.full.Swap(on) == on {
			return
		}
		b.loops.HoldBack(on)
	}
}
