package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// watcher observes during a run how three nodes count the members of a room: before, during and after the death of the third
// node. It finds the addresses of the nodes in the log that they share.
type watcher struct {
	t      *testing.T
	log    string
	stop   chan struct{} // closed when the run is over
	client http.Client

	awaits         string        // the last condition for which the watcher waited
	counted        string        // the counts in the nodes' last answer
	vanished, back time.Duration // time from the kill until no member of the dead node was counted (vanished), and until all members were counted again (back); 0: not seen
}

// watch returns when it has seen all steps, or when the run is over. each is the number of members that the room has on each
// node.
func (w *watcher) watch(each int) {
	w.client = http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	var nodes []logLine
	var room string
	serve := func(n int) func() bool {
		return func() bool { nodes = w.serving(); return len(nodes) == n }
	}
	count := func(members int, of ...int) func() bool {
		return func() bool {
			w.counted = ""
			right := true
			for _, node := range of {
				all, here := w.members(nodes[node], room)
				w.counted += fmt.Sprintf(" node %d: %d of %s, %d of them here;", node, all, room, here)
				right = right && all == members && here == each
			}
			return right
		}
	}
	named := func() bool { room = w.room(nodes[0]); return room != "" }
	if !w.until("three nodes serve", serve(3)) || !w.until("there is a room", named) ||
		!w.until("each node counts the members of all", count(3*each, 0, 1, 2)) ||
		!w.until("the third node has ended", func() bool { return w.refused(nodes[2]) }) {
		return
	}
	killed := time.Now()
	if !w.until("the two others count only their own", count(2*each, 0, 1)) {
		return
	}
	w.vanished = time.Since(killed)
	if w.until("the third node serves again", serve(4)) && w.until("each node counts the members of all again", count(3*each, 0, 1, 3)) {
		w.back = time.Since(killed)
	}
}

// until polls until done returns true; it returns false if the run is over.
func (w *watcher) until(what string, done func() bool) bool {
	w.awaits = what
	for !done() {
		select {
		case <-w.stop:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

// serving returns the nodes that have begun to serve, in the order in which they began. A node that was started again is in the
// list twice.
func (w *watcher) serving() (nodes []logLine) {
	text, _ := os.ReadFile(w.log) // the file does not exist before a node has logged
	for line := range strings.SplitSeq(string(text), "\n") {
		var l logLine
		if json.Unmarshal([]byte(line), &l) == nil && l.Message == "serving" {
			nodes = append(nodes, l)
		}
	}
	return nodes
}

// refused reports whether a node's port is closed.
func (w *watcher) refused(node logLine) bool {
	answer, err := w.client.Get("http://" + node.Admin + "/healthz")
	if err == nil {
		_ = answer.Body.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// room returns a room that has members on a node, as space/name, or "" if there is none yet.
func (w *watcher) room(node logLine) string {
	var rooms struct{ Rooms []struct{ Room string } }
	if w.get(node, "/api/rooms?top=1", &rooms); len(rooms.Rooms) == 0 {
		return ""
	}
	return rooms.Rooms[0].Room
}

// members returns how many members a room has according to a node: on all nodes, and on that node.
func (w *watcher) members(node logLine, room string) (all, here int) {
	var counts struct{ Members, Here int }
	w.get(node, "/api/rooms/"+room, &counts)
	return counts.Members, counts.Here
}

// get requests a path of a node's admin address and decodes the answer. Without a valid answer it leaves the value unchanged, and
// the caller asks again.
func (w *watcher) get(node logLine, path string, into any) {
	answer, err := w.client.Get("http://" + node.Admin + path)
	if err != nil {
		return
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		_ = json.NewDecoder(answer.Body).Decode(into)
	}
}
