// Package redisbridge is the loop.Bus of many nodes: it gives every publication its place in the one order of its room
// through Redis (one server, Sentinel or Cluster), and carries it to all nodes. Nothing is lost in silence: what Redis
// still has is refilled, and what it has not is announced.
//
// The way of a publication, in reading order of the files:
//
//	bridge.go     Bridge.Publish finds the lane of the room                     (Start, Close, Ready, Stats)
//	connect.go    how a node begins: all agree about the lanes, and each lane starts where Redis is
//	lane.go       the lane: what its two goroutines share, and what is known
//	outbox.go     publications gather while the previous call is in flight
//	codec.go      a batch becomes bytes
//	sender.go     one script call per batch, tried until it is settled; what happens when Redis is away
//	script.go     the script: checks first, writes after
//	listener.go   subscriptions, one connection per Redis server; never PubSub.Channel
//	receiver.go   what comes back is delivered, holes are refilled from the log
//	cursor.go     the decision about each batch: next, known, or read the log
//	probe.go      once a second: is what was received all there is, and does Redis take what we write?
//	counts.go     members over all nodes
//	store.go      every command that is sent to Redis
//	address.go    --redis; names.go: keys, channels, and which lane a room has
//
// DESIGN.md has the states of a lane, each check of the script, and what is lost when.
package redisbridge
