// Package redisbridge is the loop.Bus of many nodes: it gives every publication its place in the one order of its room
// through Redis (one server, Sentinel or Cluster), and carries it to all nodes. Nothing is lost in silence: what Redis
// still has is refilled, and what it has not is announced.
//
// The way of a publication, in reading order of the files:
//
//	bridge.go     Bridge.Publish finds the lane of the room                     (Start, Close, Stats)
//	connect.go    how a node begins: each lane starts where Redis is
//	meta.go       how all agree about the lanes
//	lane.go       the lane: what its sending and its receiving side share
//	sending.go    a batch is sent until it is settled; what happens when Redis is away
//	outbox.go     publications gather while the batch before them is in flight; brake.go: not too many of them
//	codec.go      a batch becomes bytes (format1.go, format2.go, notice.go)
//	link.go       the connection to a master, for the calls and the subscriptions (greeting.go, calls.go, beat.go, gulps.go)
//	homes.go      which link a lane has (sentinels.go)
//	publish.lua   checks first, writes after (script.go)
//	receiving.go  what comes back is delivered, holes are refilled from the log
//	cursor.go     the decision about each batch: next, known, or read the log
//	beat.go       once a second: is what was received all there is, and does Redis take what we write?
//	presence.go   which nodes there are; counts.go: members over all nodes
//	store.go      every command that goes over no link
//	address.go    --redis; names.go: keys and channels
//
// DESIGN.md has the states of a lane, each check of the script, and what is lost when.
package redisbridge
