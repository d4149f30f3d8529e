// Package redisbridge is the loop.Bus for many nodes. It gives every publication its place in the one order of its room through
// Redis (one server, Sentinel or Cluster), and carries it to all nodes. No message is lost silently: missed batches that Redis
// still has are read from it, and the others are announced as a gap.
//
// The path of a publication, which is also the reading order of the files:
//
//	config.go     the settings; address.go reads --redis, names.go has the keys, the channels, and the lane of a room
//	bridge.go     Bridge.Publish finds the lane of the room                     (Start, Close; metrics.go: the metrics)
//	connect.go    starts a node: each lane begins at its position in Redis      (passing.go: errors that pass by themselves)
//	meta.go       the agreement of the nodes about the lanes                    (meta.lua)
//	lane.go       the lane: the state that its sending and its receiving side share
//	sending.go    a batch is sent until it is settled, or until the policy decides because Redis is away
//	outbox.go     publications gather while the batch before them is in flight; held.go limits how many
//	codec.go      a batch becomes bytes                                         (format1.go, format2.go, notice.go)
//	calls.go      one call has the batches of many lanes                        (pace.go: how long its answer may take)
//	publish.lua   gives each batch its place: checks first, writes after        (script.go)
//	link.go       the connection to a master, for the calls and the subscriptions (greeting.go: its start)
//	homes.go      finds the link of each lane                                   (sentinels.go finds the master)
//	gulps.go      a node without members reads its link less often
//	receiving.go  batches that arrive are delivered, holes are refilled from the log (read.lua)
//	cursor.go     the decision about each batch: next, known, or read the log
//	beat.go       checks once a second that we received everything and that Redis takes our writes
//	eviction.go   warns if a Redis evicts keys
//	awake.go      a clock that stands still while this process does
//	presence.go   knows which nodes are present; counts.go: members over all nodes
//	store.go      every command that does not go over a link                    (slow.go: calls that may take long)
//	reports.go    the state of the bridge for readiness, metrics and log        (journal.go: one line for many lanes)
//
// DESIGN.md has the states of a lane, each check of publish.lua, and the faults that lose messages.
package redisbridge
