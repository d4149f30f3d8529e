package loop

// A member over its SoftBacklog stalls its room: it keeps both gates of the room's flow closed (flow.go), as long as the gates
// have budget left and the member still takes bytes. A member that took no byte for more than three ticks keeps no gate
// closed: a slow member may slow the room down a little, but a dead member may not.

const stallProgressTicks = 3 // a member that took no byte for more ticks than this stalls no room

// stallFor makes c keep the gates of its room closed that still have budget.
func (l *Loop) stallFor(c *Conn) {
	k, r := c.backlog, c.member.room
	if r == nil || r.entry == nil || c.skips() {
		return
	}
	f := &r.entry.flow
	for src := range numGates {
		if k.stalls[src] || l.node.flows.pay(f, src, l.tick, 0) {
			continue
		}
		k.stalls[src] = true
		r.stallers[src]++
		if r.stallers[src] == 1 {
			f.slow(src, 1)
			if src == srcLocal {
				l.stats.Stalls++
			}
		}
	}
}

func (l *Loop) unstallFor(c *Conn) {
	for src := range numGates {
		l.letGo(c, src)
	}
}

func (l *Loop) letGo(c *Conn, src source) {
	k, r := c.backlog, c.member.room
	if k == nil || !k.stalls[src] {
		return
	}
	k.stalls[src] = false
	r.stallers[src]--
	if r.stallers[src] > 0 || !r.entry.flow.slow(src, -1) {
		return
	}
	switch src {
	case srcLocal:
		l.node.resume()
	case srcRemote:
		l.node.dir.resume(r.entry)
	}
}

// tickStalls pays for the passed ticks from the budgets of the gates that c keeps closed. c stops keeping a gate closed when
// the budget of the gate is used up, or when c takes no bytes.
func (l *Loop) tickStalls(c *Conn, passed uint32) {
	k := c.backlog
	for src := range numGates {
		if !k.stalls[src] {
			continue
		}
		e := c.member.room.entry
		exhausted := l.node.flows.pay(&e.flow, src, l.tick, passed)
		if exhausted && src == srcRemote {
			l.node.dir.drain(e)
		}
		if exhausted || l.tick-k.progress > stallProgressTicks {
			l.letGo(c, src)
		}
	}
}
