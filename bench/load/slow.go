package load

import (
	"dotsconnect/bench/client"
	"dotsconnect/bench/result"
	"dotsconnect/bench/scenario"
)

// slow is the members that stop to read when the measurement begins: what the
// server has for them fills the kernel, then the server, who must end them
// rather than let anybody else wait. They are not judged; all others are.
type slow struct {
	share  spread
	paused map[int32]bool
	out    result.Slow
}

func newSlow(s *scenario.Scenario) slow {
	return slow{share: newSpread(s.Silent, s.Slow, s.Conns), paused: map[int32]bool{}, out: result.Slow{Codes: map[string]int{}}}
}

// stop is the moment at which they do.
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
