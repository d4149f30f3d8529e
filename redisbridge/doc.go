// Package redisbridge is the loop.Bus of many nodes: it gives every publication its place in the one order of its room through
// Redis (one server, Sentinel or Cluster), and carries it to all nodes. No message is lost silently: a node reads missed batches
// from the log in Redis, and announces a gap for missed batches that are not there.
//
// The path of a publication, which is also the reading order of the files:
//
//	config.go     the settings; address.go parses --redis, names.go has the keys, the channels, and the lane of a room
//	bridge.go     Bridge.Publish finds the lane of the room                     (Start, Close; metrics.go: its figures)
//	connect.go    how a node starts: each lane begins at its end in Redis       (passing.go: may an error pass by itself?)
//	meta.go       how all nodes agree about the lanes                           (meta.lua)
//	lane.go       the lane: the state that its sending and its receiving side share
//	sending.go    a batch is sent until it has come back; what happens when Redis is away
//	outbox.go     publications gather while the batch before them is in flight; held.go limits how many
//	codec.go      a batch becomes bytes                                         (format1.go, format2.go, notice.go)
//	calls.go      one call carries the batches of many lanes                    (pace.go: how long its answer may take)
//	publish.lua   the script in Redis: checks first, writes after             (script.go)
//	link.go       the connection to a master, for the calls and the subscriptions (greeting.go: its start)
//	homes.go      gives each lane its link                                      (sentinels.go: finds the master)
//	gulps.go      a node without members reads its link less often
//	receiving.go  batches that arrive are delivered, holes are refilled from the log (read.lua)
//	fill.go       a node's history begins with what the log has
//	cursor.go     the decision about each batch: next, known, or read the log
//	beat.go       once a second: did this node receive every batch, and does Redis take its writes?
//	eviction.go   does a Redis evict keys?
//	awake.go      a clock that stands still while this process is stopped
//	census.go     the members that watched rooms have on other nodes
//	presence.go   which nodes are present; counts.go: the members of a room on all nodes
//	store.go      every command that does not go over a link                    (slow.go: those that may take long)
//	reports.go    errors and warnings, for readiness and the log                (journal.go: one line for many lanes)
//
// DESIGN.md has the states of a lane, each check of the script, and the faults that lose messages.
package redisbridge
