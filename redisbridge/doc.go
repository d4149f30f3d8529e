// Package redisbridge is the loop.Bus of many nodes: it gives every publication its place in the one order of its room through
// Redis (one server, Sentinel or Cluster), and carries it to all nodes. No message is lost silently: batches that Redis still has
// are refilled, and the others are announced as a gap.
//
// The path of a publication, which is also the reading order of the files:
//
//	config.go     what can be set; address.go reads --redis, names.go has the keys, the channels, and the lane of a room
//	bridge.go     Bridge.Publish finds the lane of the room                     (Start, Close; metrics.go: its figures)
//	connect.go    how a node starts: each lane begins where Redis is            (passing.go: may an error pass by itself?)
//	meta.go       how all nodes agree about the lanes                           (meta.lua)
//	lane.go       the lane: what its sending and its receiving side share
//	sending.go    a batch is sent until it is settled; what happens when Redis is away
//	outbox.go     publications gather while the batch before them is in flight; held.go limits how many
//	codec.go      a batch becomes bytes                                         (format1.go, format2.go, notice.go)
//	calls.go      one call has the batches of many lanes                        (pace.go: how long its answer may take)
//	publish.lua   checks first, writes after                                    (script.go)
//	link.go       the connection to a master, for the calls and the subscriptions (greeting.go: its start)
//	homes.go      which link a lane has                                         (sentinels.go: which server is the master)
//	gulps.go      a node without members reads its link less often
//	receiving.go  batches that arrive are delivered, holes are refilled from the log (read.lua)
//	cursor.go     the decision about each batch: next, known, or read the log
//	beat.go       once a second: did we receive everything, and does Redis take our writes?
//	eviction.go   does a Redis evict keys?
//	awake.go      a clock that stands still while this process does
//	presence.go   which nodes are there; counts.go: members over all nodes
//	store.go      every command that does not go over a link                    (slow.go: those that may take long)
//	reports.go    what is wrong, for readiness and the log                      (journal.go: one line for many lanes)
//
// DESIGN.md has the states of a lane, each check of the script, and which faults lose messages.
package redisbridge
