package server

import (
	"math/bits"
	"sync"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// A member of version 1 cannot be told that messages of its room passed it over, and what its backend cannot make good it would never
// know. With --on-gap=close it is closed with 4105: it comes back later, and fetches what it needs.
//
// The closes are spread over DrainTime, as in a drain, because all members of many rooms may be concerned. Nothing is listed for
// that: the rooms know their last gap (loop/gaps.go), a session how many gaps there had been when it joined, and a round goes once
// through the slots of each loop in that time, in an order that has neighbours, who came at the same time, far apart. A gap that
// comes meanwhile is seen by the rest of the round, and has another one follow: so a member is closed within about DrainTime of
// the gap, however many there are.
type gaps struct {
	srv  *Server
	ring chan struct{} // has one when there was a gap
	done chan struct{}
	wait sync.WaitGroup
}

// startGaps is nil unless gaps are to be told by a close.
func startGaps(s *Server) *gaps {
	if s.backend == nil || s.cfg.OnGap != "close" {
		return nil
	}
	g := &gaps{srv: s, ring: make(chan struct{}, 1), done: make(chan struct{})}
	g.wait.Go(g.run)
	return g
}

func (g *gaps) stop() {
	if g != nil {
		close(g.done)
		g.wait.Wait()
	}
}

// gap is the backend's word that members of the rooms, nil: of all rooms of the lane, may have missed something. Any goroutine; it does not
// block.
func (s *Server) gap(lane int, rooms []string) {
	if s.gaps == nil {
		return
	}
	s.node.Gap(lane, rooms)
	select {
	case s.gaps.ring <- struct{}{}:
	default:
	}
}

func (g *gaps) run() {
	for {
		select {
		case <-g.done:
			return
		case <-g.ring:
		}
		began := time.Now()
		if closed := g.round(began); closed > 0 {
			g.srv.log.Info("members were closed after a gap", zap.Int("connections", closed), zap.Duration("took", time.Since(began).Round(time.Millisecond)))
		}
	}
}

// round goes once through the connections of all loops, and returns how many it closed.
func (g *gaps) round(began time.Time) (closed int) {
	loops := g.srv.node.Loops()
	laps := make([]lap, len(loops))
	counts := make(chan int, len(loops))
	ticker := time.NewTicker(drainStep)
	defer ticker.Stop()
	for last := false; !last; {
		part := 1.0
		if total := g.srv.cfg.DrainTime; total > 0 {
			part = min(float64(time.Since(began))/float64(total), 1)
		}
		last = part == 1
		for i, l := range loops {
			l.Call(func(l *loop.Loop) { counts <- laps[i].until(l, part) })
		}
		for range loops {
			select {
			case n := <-counts:
				closed += n
			case <-g.done:
				return closed
			}
		}
		select {
		case <-ticker.C:
		case <-g.done:
			return closed
		}
	}
	return closed
}

// lap is where a round is in the slots of a loop. Those that were added meanwhile have members who joined meanwhile.
type lap struct {
	slots, next int
	bits        int // of the number of a slot
}

// until goes on to the part of the slots that is to be done by now.
func (w *lap) until(l *loop.Loop, part float64) (closed int) {
	if w.slots == 0 {
		w.slots = l.Slots()
		w.bits = bits.Len(uint(max(w.slots-1, 0)))
	}
	end := min(1+int(part*float64(int(1)<<w.bits)), 1<<w.bits)
	for ; w.next < end; w.next++ {
		i := scatter(w.next, w.bits)
		if i >= w.slots {
			continue
		}
		if c := l.Slot(i); c != nil && c.Open() && c.Peer().(*session).closeForGap() {
			closed++
		}
	}
	return closed
}

// scatter maps the numbers of so many bits to each other, neighbours far apart.
func scatter(i, bits int) int {
	mask := 1<<bits - 1
	for range 2 {
		i = i * 0x9e3779b1 & mask
		i ^= i >> ((bits + 1) / 2)
	}
	return i
}

// closeForGap ends the connection if it is a member of a chat room that may have missed something since it joined.
func (s *session) closeForGap() bool {
	if s.phase != phaseFrames || s.raw || !s.Missed(s.gaps) {
		return false
	}
	s.end(protocol.CloseGap, "this member may have missed messages of the room", loop.ReasonGap)
	return true
}
