package server

import (
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"dotsconnect/loop"
)

// memory limits the garbage on the heap of the process, and returns memory to the system after a busy time.
//
// By default Go collects garbage when the heap has doubled. For a small server that is too early: a server with 1,000 connections
// collected every 60 ms at 20,000 messages a second, which took 4 % of its CPU. For a large server it is too late, because its
// heap would double. So the server lets the garbage grow to half of the live heap, or to 16 MiB if this is more. If the
// operator has set GOGC or GOMEMLIMIT, these settings stay in effect.
//
// A storm of connections leaves garbage (each parsed head), and so does a burst of messages. Go does not return this memory
// until the next collection. If the clients send little afterwards, the next collection may not come for a long time. So this
// code looks at the heap once a second. If the memory that could be returned is at least a quarter of the live heap, and the
// last second allocated little, it collects garbage and returns memory, while the loops go on.
type memory struct {
	ticks   int
	last    uint64 // bytes allocated from the start of the process until a second ago
	trimmed uint64 // bytes allocated from the start of the process until the last trim
	percent int    // the limit of garbage, in percent of the live heap; 0: the operator has set it
	running atomic.Bool

	// Tests replace these functions.
	read func() heapState
	set  func(percent int)
	free func()
}

// heapState holds the figures of the heap at one moment, in bytes.
type heapState struct {
	live      uint64 // live heap at the end of the last collection
	spare     uint64 // memory that could be returned: garbage, and free memory that was not returned yet
	allocated uint64 // bytes allocated since the start of the process
}

const (
	ticksPerLook  = int(time.Second / loop.Tick)
	leastGarbage  = 16 << 20
	leastSpare    = 2 << 20 // less memory than this is not worth a collection
	quietShare    = 20      // a second is quiet if it allocated less than 1/20 of the memory that could be returned
	goDefault     = 100     // Go's own percentage
	mostGarbage   = 400     // in percent: a higher limit would save no CPU
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

// close sets the limit of garbage to Go's default again.
func (h *memory) close() {
	if h.percent != 0 {
		h.set(goDefault)
	}
}

func (h *memory) allow(percent int) {
	h.percent = percent
	h.set(percent)
}

// tick is called at every tick. Only the ticker calls it.
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

// adjust sets the limit of garbage for the given size of the live heap. Each change stops the loops for some microseconds, so
// small changes are left out.
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
