package load

import (
	"slices"
	"time"
)

// agenda has the actions of a run that are due at certain times, except
// sending.
type agenda struct {
	items []item
	err   error // the first error of an action
}

// item is an action of the agenda. do runs the action and returns the time at
// which the action is due again, or never.
type item struct {
	at int64
	do func(now int64) int64
}

func (a *agenda) add(at int64, do func(now int64) int64) {
	a.items = append(a.items, item{at, do})
}

// due runs the actions that are due now. It returns the time when the next
// action is due.
func (a *agenda) due(now int64) int64 {
	next := int64(never)
	for i := range a.items {
		if a.items[i].at <= now {
			at := a.items[i].do(now)
			a.items[i].at = at
		}
		next = min(next, a.items[i].at)
	}
	a.items = slices.DeleteFunc(a.items, func(it item) bool { return it.at == never })
	return next
}

func (a *agenda) failed(err error) {
	if a.err == nil {
		a.err = err
	}
}

// plan fills the agenda with the actions that the scenario needs.
func (r *run) plan() {
	if r.s.Slow > 0 {
		r.agenda.add(r.from, r.slow.stop(r))
	}
	if r.s.Churn.PerSecond > 0 {
		r.agenda.add(r.sched.start, r.churn.begin(r))
	}
	if r.s.Restart > 0 && r.cfg.Restart != nil {
		r.agenda.add(r.from+int64(r.s.Restart), r.restart.kill(r))
	}
	for what, after := range map[string]time.Duration{"hurt": r.s.Hurt, "heal": r.s.Heal} {
		if after > 0 && r.cfg.Nemesis != nil {
			r.agenda.add(r.from+int64(after), func(int64) int64 {
				if err := r.cfg.Nemesis(what); err != nil {
					r.agenda.failed(err)
				}
				return never
			})
		}
	}
}
