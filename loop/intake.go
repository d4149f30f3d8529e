package loop

// intake holds the items that a loop has taken out of its inbox and not handled yet. Only the loop's goroutine uses it.
type intake struct {
	loop   *Loop
	posts  worklist[post]
	adopts worklist[*Conn]
}

// take is steps 1 and 2 of Loop.Turn.
func (t *intake) take() {
	t.adopts.each(t.adopt) // connections left by a turn that panicked
	t.posts.each(t.handle)
	t.loop.inbox.take(&t.posts, &t.adopts)
	t.adopts.each(t.adopt)
	t.posts.each(t.handle)
}

// takeAlone is take without the new connections: only a turn that the doorbell started adopts connections, once for each batch
// of events.
func (t *intake) takeAlone() {
	t.posts.each(t.handle)
	if t.loop.inbox.takeAlone(&t.posts) {
		t.loop.ring()
	}
	t.posts.each(t.handle)
}

// takePosts handles the posts that are in the inbox now. It adopts no connection; the turn has done that already.
func (t *intake) takePosts() {
	t.posts.each(t.handle)
	t.loop.inbox.takePosts(&t.posts)
	t.posts.each(t.handle)
}

func (t *intake) handle(p post) {
	switch p.kind {
	case postPublication:
		t.loop.rooms.append(p.pub)
		t.placed(p.pub)
	case postPassed:
		t.placed(p.pub)
	case postJoined:
		t.loop.rooms.joined(p.entry, p.at)
	case postClosed:
		p.conn.closed()
	case postCall:
		p.call(t.loop)
	case postRefused:
		t.disown(p.pub, ReasonBackend)
	case postDoubted:
		t.disown(p.pub, ReasonDoubt)
	case postLost:
		if p.pub.Kind == KindFence {
			t.loop.repeats.fenced(p.pub, false)
		}
		t.cameBack(p.pub.Origin)
	}
}

// placed notes that a publication has its place in the order.
func (t *intake) placed(p *Publication) {
	if p.Kind == KindFence {
		t.loop.repeats.fenced(p, true)
	} else {
		t.loop.fanout.acks.note(p)
	}
	t.cameBack(p.Origin)
}

// disown kicks the publisher of a publication that the bus will not deliver.
func (t *intake) disown(p *Publication, reason CloseReason) {
	if p.Kind == KindFence {
		t.loop.repeats.fenced(p, false)
	} else if c := t.loop.Conn(p.Origin); c != nil && c.state == stateOpen && !c.peer.Refused(p, reason) {
		c.closeLater(reason)
	}
	t.cameBack(p.Origin)
}

// cameBack notes that a publication of a connection of this loop is no longer in flight.
func (t *intake) cameBack(id ConnID) {
	if id == 0 || id.Loop() != t.loop.index {
		return
	}
	c := t.loop.Conn(id)
	if c == nil {
		return
	}
	c.pending--
	if c.state == stateEnding && c.pending == 0 {
		c.close()
	}
}

func (t *intake) adopt(c *Conn) {
	t.loop.slots.occupy(c, t.loop.index)
	c.state = stateOpen
	c.opened, c.moved = tickDown(t.loop.now), tickUp(t.loop.now)
	t.loop.stats.Opened++
	if err := c.peer.Open(); err != nil {
		c.flags |= flagFreed
		c.gone(ReasonLeft)
		return
	}
	c.rearm()
}
