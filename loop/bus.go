package loop

// Bus gives every publication its place in the one order of its room, and carries it to all loops that have members there, on all
// nodes. Embedded is the Bus inside a single process; redisbridge has the one over Redis.
//
// A Bus gives these guarantees, on which the loops rely. Their tests are in bustest, which every bus passes:
//   - all loops of all nodes get the publications of one room in the same order, each exactly once, under the same growing ids; those
//     of one connection keep their order (OneOrder, RoomsApart, LargeValues);
//   - a loop gets everything that is sequenced after its Joined for the room was posted, until Leave (EverythingFromJoinedToLeave,
//     NothingOfBefore);
//   - a publication comes back to the node of its connection, which may wait for it before it ends (OwnMessagesBeforeTheEnd);
//   - a bus may call Directory.Reserve, so that a room's publishers wait for publications in flight. Then exactly one of
//     Directory.Deliver, Node.Refuse, Node.Doubt and Node.Lose follows, and delivered publications keep the order of their lane
//     (CreditComesBack).
//
// A bus that cannot keep a guarantee says so: Node.Refuse for a publication that it will not deliver, Node.Doubt for one that it
// may have delivered, Node.Lose for one that it has lost, Node.Gap for publications that members may have missed, Node.HoldBack
// when it has as much as it may hold.
//
// None of the calls may block or call back into the loop, because the loop's goroutine makes them.
type Bus interface {
	// Publish takes p over: from then on nobody changes p.Value.
	Publish(p *Publication)
	// Join asks for the publications of a room. The bus calls l.Joined, from any goroutine, at the place in the room's order from
	// which on the loop gets them. A loop asks once, and again only after Leave.
	Join(room string, l *Loop)
	// Leave ends what Join began. Publications already on their way still arrive; the loop drops them.
	Leave(e *Entry, l *Loop)
}
