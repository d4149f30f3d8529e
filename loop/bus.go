package loop

// Bus gives every publication its place in the one order of its room, and carries it to all loops, on all nodes, that have
// members in that room. Embedded is the Bus inside a single process; package redisbridge has the Bus over Redis.
// A Bus gives these guarantees, on which the loops rely. Package bustest tests each guarantee; the names of its tests are in
// parentheses. Every bus must pass these tests:
//   - all loops of all nodes get the publications of one room in the same order, each exactly once, under the same growing ids;
//     the publications of one connection keep their order (OneOrder, RoomsApart, LargeValues);
//   - after a loop's Joined for a room was posted, the loop gets all publications that get their number in the room, until
//     Leave (EverythingFromJoinedToLeave, NothingOfBefore);
//   - a publication comes back to the node of its connection; an ending connection may wait for its own publications
//     (OwnMessagesBeforeTheEnd);
//   - a publication comes back to the node of its publisher as the same Publication, also if its room has no members there, so that a
//     publisher is told the outcome (OutcomesAreTold);
//   - a bus may call Directory.Reserve, so that a room's publishers wait for publications in flight. Then exactly one of
//     Directory.Deliver, Node.Refuse, Node.Doubt and Node.Lose follows, and delivered publications keep the order of their lane
//     (CreditComesBack).
//
// A bus that cannot keep a guarantee reports it. It calls Node.Refuse for a publication that it will not deliver, Node.Doubt
// for a publication that it may have delivered, Node.Lose for a lost publication, Node.Gap for publications that members may
// have missed, and Node.HoldBack while the publications in it take as many bytes as they may.
//
// None of the methods may block or call back into the loop, because the loop's goroutine calls them.
type Bus interface {
	// Publish takes ownership of p: from then on nobody changes p.Value.
	Publish(p *Publication)
	// Join asks for the publications of a room. The bus calls l.Joined, from any goroutine, at the position in the room's order
	// from which on the loop gets the publications. A loop calls Join once per room, and again only after Leave.
	Join(room string, l *Loop)
	// Leave ends the effect of Join. Publications already on their way still arrive; the loop drops them.
	Leave(e *Entry, l *Loop)
}
