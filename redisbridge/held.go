package redisbridge

import (
	"sync"
	"sync/atomic"
)

// held counts the bytes of publications that are queued or in flight through Redis. While there are too many, the loops stop
// reading. Any goroutine.
type held struct {
	limit    int64
	holdBack func(on bool)
	bytes    atomic.Int64
	full     atomic.Bool // the loops were told to hold back; only written while telling is held
	telling  sync.Mutex
}

// add counts bytes that are now in flight. When half of the limit is used, the loops stop reading.
func (h *held) add(n int64) {
	if h.bytes.Add(n) > h.limit/2 && !h.full.Load() {
		h.tellLoops()
	}
}

// release takes off bytes that are settled. When the use is down to a quarter of the limit, the loops go on.
func (h *held) release(n int64) {
	if h.bytes.Add(-n) <= h.limit/4 && h.full.Load() {
		h.tellLoops()
	}
}

// tellLoops tells the loops to hold back or to go on. Only one goroutine at a time calls the loops, and it checks again after
// each call. Otherwise "hold back" could be the later of two concurrent calls although the bytes are released. Then the loops
// would read nothing and publish nothing, so no release of bytes would ever let them go on.
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
