package server

import (
	"math/bits"
	"sync"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
	"dotsconnect/server/protocol"
)

// Version 1 of the protocol has no message that tells a member about missed messages. So with --on-gap=ignore a member does not
// learn that it may have missed messages that the backend cannot recover. With --on-gap=close it learns this from close code
// 4105: its client reconnects later and fetches what it needs.
//
// The closes are spread over DrainTime, as in a drain, because they may concern all members of many rooms. The node keeps no
// list of these members: each room knows its last gap (loop/gaps.go), and a session knows the number of gaps at the time when
// it joined. A round visits the slots of each loop once within DrainTime, in an order that separates neighbouring slots,
// because their connections came at about the same time. If a gap comes during a round, the rest of this round already closes
// members for the new gap, and another round follows. So a member is closed within about DrainTime of the gap, however many
// gaps there are.
type gaps struct {
	srv  *Server
	ring chan struct{} // holds a value after a gap
	done chan struct{}
	wait sync.WaitGroup
}

// startGaps starts the goroutine that closes members after a gap. It returns nil if members are not to be closed.
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

// gap is called by the backend when members of the rooms may have missed messages; if rooms is nil, members of all rooms of the
// lane may have. Any goroutine; it does not block.
func (s *Server) gap(lane int, rooms []string) {
	s.node.Gap(lane, rooms) // the histories must know, too
	if s.gaps == nil {
		return
	}
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

// round visits the connections of all loops once, and returns the number of connections that it closed.
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

// lap is the progress of a round in the slots of a loop. Slots that are added during the round belong to members that joined
// during it, so the round can leave them out.
type lap struct {
	slots, next int
	bits        int // number of bits of a slot number
}

// until visits slots until the given part of all slots (0 to 1) has been visited. It returns the number of connections that it
// closed.
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
		if c := l.Slot(i); c != nil && c.Open() && closeForGap(c.Peer().(*session)) {
			closed++
		}
	}
	return closed
}

// scatter permutes the numbers with the given number of bits, so that two neighbouring numbers are far apart afterwards.
func scatter(i, bits int) int {
	mask := 1<<bits - 1
	for range 2 {
		i = i * 0x9e3779b1 & mask
		i ^= i >> ((bits + 1) / 2)
	}
	return i
}

// closeForGap ends the connection if it is a member of a chat room, speaks version 1 and may have missed messages since it joined. It reports
// whether it did.
func closeForGap(s *session) bool {
	if s.phase != phaseFrames || s.speaks != speaksV1 || !s.Missed(s.gaps) {
		return false
	}
	s.end(protocol.CloseGap, "this member may have missed messages of the room", loop.ReasonGap)
	return true
}
