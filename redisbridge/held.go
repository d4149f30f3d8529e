package redisbridge

import (
	"sync"
	"sync/atomic"
)

// held counts the bytes of publications that are queued or in flight through Redis. While there are too many, the loops read no
// further. Any goroutine.
type held struct {
	limit    int64
	holdBack func(on bool)
	bytes    atomic.Int64
	full     atomic.Bool // the loops were told to hold back; written under telling
	telling  sync.Mutex
}

// add counts bytes that are now in flight. From half of the limit on, the loops read no further.
func (h *held) add(n int64) {
	if h.bytes.Add(n) > h.limit/2 && !h.full.Load() {
		h.tellLoops()
	}
}

// release takes off bytes that are settled. At a quarter of the limit the loops go on.
func (h *held) release(n int64) {
	if h.bytes.Add(-n) <= h.limit/4 && h.full.Load() {
		h.tellLoops()
	}
}

// tellLoops tells the loops to hold back or to go on. One caller at a time does so, and checks again after each call. Otherwise
// two calls at once could end with "hold back": nothing would be read, so nothing would be published that could end it.
func (h *held) tellLoops() {
	h.telling.Lock()
	defer h.telling.Unlock()
	for {
		on := h.full.Load()
		switch bytes := h.bytes.Load(); {
		case bytes > h.limit/2:
			on = true
		case bytes <= h.limit/4:
			on = false
		}
		if h.full.Swap(on) == on {
			return
		}
		h.holdBack(on)
	}
}
