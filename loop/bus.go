package loop

// Bus gives every publication its place in the one order of its room, and carries it to all loops that have members
// there, on all nodes. Embedded is the one inside a single process; redisbridge has the one over Redis.
//
// Guarantees that a Bus gives and the loops rely on, with their tests in bustest, which every bus passes:
//   - all loops of all nodes get the publications of one room in the same order, each exactly once, under the same growing ids; those
//     of one connection keep their order (OneOrder, RoomsApart, LargeValues);
//   - a loop gets everything that is sequenced after its Joined for the room was posted, until Leave (EverythingFromJoinedToLeave,
//     NothingOfBefore);
//   - a publication comes back to the node of its connection, which may wait for it before it ends (OwnMessagesBeforeTheEnd);
//   - Directory.Reserve, if the bus calls it so that a room's publishers wait for what is on its way, is followed by exactly one of
//     Directory.Deliver, Node.Refuse, Node.Doubt and Node.Lose, and what is delivered stands in the order of its lane (CreditComesBack).
//
// A bus that cannot keep them says so: Node.Refuse for a publication that it will not deliver, Node.Doubt for one that may have
// been, Node.Lose for one that it has lost, Node.Gap for what may have passed members over, Node.HoldBack when it has as much as
// it may hold.
//
// None of the calls may block or call back into the loop: they are made on a loop's goroutine.
type Bus interface {
	// Publish takes p over: p.Value is not changed any more by anybody.
	Publish(p *Publication)
	// Join asks for the publications of a room; l.Joined is called, from any goroutine, at the place in the order of the
	// room from which on the loop gets them. A loop asks once, and again only after Leave.
	Join(room string, l *Loop)
	// Leave ends what Join began. Publications already on their way still arrive; the loop drops them.
	Leave(e *Entry, l *Loop)
}
