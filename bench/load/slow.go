package load

import (
	"dotsconnect/bench/client"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// slow has the members that stop reading when the time measured begins. The
// data for slow members fills first the buffers of the kernel and then the
// buffers of the server. The server must disconnect them and must not make
// other members wait. The ledger does not judge slow members; it judges all
// others.
type slow struct {
	share  spread
	paused map[int32]bool
	out    result.Slow
}

func newSlow(s *scenario.Scenario) slow {
	return slow{share: newSpread(s.Silent, s.Slow, s.Conns), paused: map[int32]bool{}, out: result.Slow{Codes: map[string]int{}}}
}

// stop returns the action with which the slow members stop reading.
func (w *slow) stop(r *run) func(int64) int64 {
	return func(int64) int64 {
		for m := range int32(r.s.Conns) {
			if r.isMine(m) && r.state[m] == here && w.share.has(m) {
				r.e.Pause(r.connOf[m])
				w.paused[m] = true
				w.out.Members++
				r.leave(m)
			}
		}
		return never
	}
}

func (w *slow) closed(m int32, c client.Close) bool {
	if !w.paused[m] {
		return false
	}
	w.out.Ended++
	w.out.Codes[c.String()]++
	return true
}

func (w *slow) result(o *result.Result) {
	if w.share.to > w.share.from {
		o.Slow = &w.out
	}
}
