package loop

// A publisher that is not a member of the room, such as an HTTP request, can ask what became of its publication (OfferFor). The answer does
// not depend on a connection: it comes also if the connection that asked for it is gone.

// Outcome is what became of a publication.
type Outcome uint8

// The outcomes.
const (
	Placed  Outcome = iota // the publication has its place in the order; if its id has no tag, only members on this node get it
	Refused                // the bus will not deliver the publication
	Doubted                // the bus does not know whether it has delivered the publication
)

// OfferFor is Offer for a publisher that wants to know the outcome. done is called once if the publication is accepted, perhaps before
// OfferFor returns, by any goroutine, and with the mutex of a lane held. So it must be short, and of the loops it may use only Loop.Call.
func (n *Node) OfferFor(room string, v Variant, kind Kind, value []byte, done func(Outcome, ID)) (accepted bool) {
	n.offering.Lock()
	defer n.offering.Unlock()
	if !n.admits(n.dir.Lookup(room)) {
		return false
	}
	p := newPublication(&n.cfg.Encodings[v], v, room, 0, nil, kind, value)
	p.done = done
	n.bus.Publish(p)
	return true
}

// settle tells the publisher the outcome, if it wants to know.
func (p *Publication) settle(o Outcome) {
	if done := p.done; done != nil {
		p.done = nil
		done(o, p.ID)
	}
}
