package server

import (
	"runtime/debug"
	"sync/atomic"
	"time"

	"dotsconnect/loop"
)

// trimmer returns memory to the system after a storm of connections.
//
// A handshake leaves garbage (its parsed head), and so does every connection that ended. Go collects it when the heap has
// doubled, and keeps the memory; a server whose connections then send little would keep it without end. Measured with 10,000 idle
// connections: 1,170 bytes of resident memory each, and 790 after a collection that returned the pages.
//
// So the trimmer checks once a second how many connections came. If a quarter of the open connections came since the last trim,
// and the last second was quiet, it collects and returns memory, beside the loops. Under a steady stream of new connections a
// second counts as quiet at most every 20 seconds.
type trimmer struct {
	at      uint64 // accepted at the last trim
	last    uint64 // accepted a second ago
	ticks   int
	running atomic.Bool
	free    func() // debug.FreeOSMemory, except in tests
}

const (
	ticksPerLook = int(time.Second / loop.Tick)
	leastStorm   = 1000 // fewer connections leave too little garbage for a collection
	quietShare   = 20   // a second is quiet if it had less than 1/20 of the connections since the last trim
)

func newTrimmer() *trimmer { return &trimmer{free: debug.FreeOSMemory} }

// tick is called at every tick, only by the ticker.
func (t *trimmer) tick(accepted uint64, open int) {
	if t.ticks++; t.ticks < ticksPerLook {
		return
	}
	t.ticks = 0
	fresh, storm := accepted-t.last, accepted-t.at
	t.last = accepted
	if storm < leastStorm || storm < uint64(open)/4 || fresh*quietShare >= storm || t.running.Swap(true) {
		return
	}
	t.at = accepted
	go func() {
		defer t.running.Store(false)
		t.free()
	}()
}
