package server

import (
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"dotsconnect/loop"
)

// memory decides how much garbage the process may have, and returns memory to the system when it has been at work.
//
// By default Go collects when the heap has doubled. That is too early for a small server: one with 1,000 connections collects
// every 60 ms at 20,000 messages a second, which took 4 % of its CPU. It is late for a large one, whose heap would double. So the
// garbage may be half of what is live, and 16 MiB at least. A GOGC of the operator's stays as it is, and so does GOMEMLIMIT.
//
// A storm of connections leaves garbage (each parsed head), and so does a burst of messages. Go keeps the memory afterwards, and a
// server whose clients then send little would keep it without end. So once a second the heap is looked at: when a quarter of what
// is live could be returned, and the last second allocated little, it is collected and returned, beside the loops.
type memory struct {
	ticks   int
	last    uint64 // allocated up to a second ago
	trimmed uint64 // allocated up to the last trim
	percent int    // of garbage, 0: not ours to set
	running atomic.Bool

	// Others in tests.
	read func() heapState
	set  func(percent int)
	free func()
}

// heapState is a heap at a moment, in bytes.
type heapState struct {
	live      uint64 // at the end of the last collection
	spare     uint64 // could be returned: garbage, and what is free and was not returned
	allocated uint64 // ever
}

const (
	ticksPerLook  = int(time.Second / loop.Tick)
	leastGarbage  = 16 << 20
	leastSpare    = 2 << 20 // less is not worth a collection
	quietShare    = 20      // a second is quiet if it allocated less than 1/20 of what could be returned
	goDefault     = 100     // Go's own percentage
	mostGarbage   = 400     // in percent: more saves no CPU
	garbageOfLive = 50
)

func newMemory() *memory {
	h := &memory{read: readHeap, set: func(percent int) { debug.SetGCPercent(percent) }, free: debug.FreeOSMemory}
	percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	if metrics.Read(percent); percent[0].Value.Kind() == metrics.KindUint64 && percent[0].Value.Uint64() == goDefault {
		h.allow(mostGarbage)
	}
	return h
}

// close gives Go its default back.
func (h *memory) close() {
	if h.percent != 0 {
		h.set(goDefault)
	}
}

func (h *memory) allow(percent int) {
	h.percent = percent
	h.set(percent)
}

// tick is called at every tick, only by the ticker.
func (h *memory) tick() {
	if h.ticks++; h.ticks < ticksPerLook {
		return
	}
	h.ticks = 0
	now := h.read()
	h.adjust(now.live)
	fresh, since := now.allocated-h.last, now.allocated-h.trimmed
	h.last = now.allocated
	if now.spare < leastSpare || now.spare < now.live/4 || fresh*quietShare >= now.spare || since < now.spare/2 || h.running.Swap(true) {
		return
	}
	h.trimmed = now.allocated
	go func() {
		defer h.running.Store(false)
		h.free()
	}()
}

// adjust allows as much garbage as the live heap asks for. Each change stops the loops for some microseconds, so small ones are left out.
func (h *memory) adjust(live uint64) {
	if h.percent == 0 {
		return
	}
	percent := int(max(leastGarbage*100/max(live, 1), garbageOfLive))
	percent = min(percent, mostGarbage)
	if percent*5 < h.percent*4 || percent*4 > h.percent*5 {
		h.allow(percent)
	}
}

func readHeap() heapState {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	live, objects := s[0].Value.Uint64(), s[1].Value.Uint64()
	return heapState{live: live, spare: max(objects, live) - live + s[2].Value.Uint64(), allocated: s[3].Value.Uint64()}
}
