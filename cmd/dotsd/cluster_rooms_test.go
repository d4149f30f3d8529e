package main

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// tenants holds the members of many rooms, by room.
type tenants [][]*insider

func roomName(room int) string { return "room-" + itoa(room) }

// TestClusterRooms: HAProxy must send all members of a room to the same node. When that node dies, its rooms move to the other
// node. When the node is back, its rooms return to it.
func TestClusterRooms(t *testing.T) {
	c := newCluster(t)
	c.start()
	const rooms, members = 50, 4
	all := make(tenants, rooms)
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(rooms * members) { // in random order, as in real use
		all[i%rooms] = append(all[i%rooms], c.enter("/ws/chat/"+roomName(i%rooms)+"/"))
	}
	home := c.homes(all)
	lodged := [2]int{}
	for _, node := range home {
		lodged[node]++
	}
	if min(lodged[0], lodged[1]) < rooms/4 {
		t.Errorf("the nodes have %v of %d rooms, want a fair part each", lodged, rooms)
	}
	t.Logf("the nodes have %v of %d rooms", lodged, rooms)
	c.talk(all)
	if t.Failed() {
		return
	}

	moved := c.lose(all, home)
	if now := c.homes(all); slices.Contains(now, 0) {
		t.Errorf("rooms are on a node that is dead: %v", now)
	}
	c.restart(0)
	for room := range all { // members that moved stay on the other node until they reconnect
		if home[room] != 0 {
			continue
		}
		for i, who := range all[room] {
			_ = who.conn.CloseNow()
			<-who.done
			all[room][i] = c.enter(who.path)
		}
	}
	if now := c.homes(all); !slices.Equal(now, home) {
		t.Errorf("the node is back, and the rooms are at home on %v, want %v as before", now, home)
	}
	t.Logf("the %d members of the rooms of a node that died came to the other, and at home again when it was back", moved)
	c.talk(all)
}

// homes returns the node of each room. It checks that all members of a room are on the same node.
func (c *cluster) homes(all tenants) (home []int) {
	c.t.Helper()
	for room, members := range all {
		var here [2]int
		until(c.t, "the members of "+roomName(room)+" are where HAProxy brought them", func() bool { // the node may still count members that have left
			here = [2]int{c.here(0, roomName(room)), c.here(1, roomName(room))}
			return here[0]+here[1] == len(members)
		})
		if min(here[0], here[1]) != 0 {
			c.t.Errorf("%s has %v members on the nodes, want all on one", roomName(room), here)
		}
		node := 0
		if here[1] > here[0] {
			node = 1
		}
		home = append(home, node)
	}
	return home
}

// talk makes members of each room send messages. It checks that each message is fanned out only on the node of its room: the
// other node gets the message from Redis too, but has no members of the room.
func (c *cluster) talk(all tenants) {
	c.t.Helper()
	const each = 4
	for _, members := range all {
		for _, who := range members {
			who.take()
		}
	}
	count := func(name string) (sum int) { return c.count(0, name) + c.count(1, name) }
	taken, delivered := count("dots_publications_total"), count("dots_frames_total")
	messages, deliveries := 0, 0
	for room, members := range all {
		for n := range each {
			text := `{"message":"` + roomName(room) + "/" + itoa(n) + `"}`
			if err := members[n%len(members)].conn.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
				c.t.Fatal(err)
			}
			messages++
			deliveries += len(members)
		}
	}
	until(c.t, "all rooms have received all messages", func() bool {
		for _, members := range all {
			if slices.ContainsFunc(members, func(who *insider) bool { return who.count() < each }) {
				return false
			}
		}
		return count("dots_frames_total")-delivered >= deliveries
	})
	if got := count("dots_frames_total") - delivered; got != deliveries {
		c.t.Errorf("%d deliveries, want %d", got, deliveries)
	}
	elsewhere := count("dots_publications_total") - taken - messages
	if elsewhere != 0 {
		c.t.Errorf("of %d messages %d were fanned out on the other node too, want none", messages, elsewhere)
	}
	c.t.Logf("%d %% of %d messages, and so of %d deliveries, stayed on one node", 100*(messages-elsewhere)/messages, messages, deliveries)
}

// count returns a counter of a node, summed over its labels.
func (c *cluster) count(node int, name string) (sum int) {
	c.t.Helper()
	_, metrics := c.fetch("http://" + c.nodes[node].start.Admin + "/metrics")
	lines := regexp.MustCompile("(?m)^"+name+`(?:\{.*\})? (\d+)$`).FindAllStringSubmatch(metrics, -1)
	if len(lines) == 0 {
		c.t.Fatalf("node %d has no %s", node+1, name)
	}
	for _, line := range lines {
		n, err := strconv.Atoi(line[1])
		if err != nil {
			c.t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// lose kills the first node. The members of the killed node are disconnected and reconnect at once, before HAProxy has marked
// that node DOWN. The members of the other node must notice nothing, and no client may be refused. lose returns the number of
// members that moved.
func (c *cluster) lose(all tenants, home []int) (moved int) {
	c.t.Helper()
	began := time.Now()
	stopKnocking := c.knock()
	c.nodes[0].signal(syscall.SIGKILL)
	for room := range all {
		for i, who := range all[room] {
			if home[room] == 0 {
				<-who.done
				all[room][i] = c.enter(who.path)
				moved++
			} else if code, ok := who.ended(); ok {
				c.t.Errorf("a member on the other node was closed with %d", code)
			}
		}
	}
	c.awaitServers("DOWN", "UP")
	noticed := time.Since(began)
	c.t.Logf("HAProxy noticed the death after %v; %d members came again, and %d newcomers; nobody was turned away",
		noticed.Round(10*time.Millisecond), moved, stopKnocking())
	return moved
}
