package redisbridge

import "encoding/binary"

// A notice tells the other nodes that messages of a node reached only the members on that node while Redis was away. Every node
// announces a gap to the rooms that the notice names, or to all rooms of the lane if there were too many rooms to name.
type notice struct {
	messages uint64
	more     bool // there are affected rooms that the notice does not name
	rooms    []string
	named    map[string]bool // affected rooms, while the notice is made
	bytes    int             // size of the names in rooms
}

// Limits for the names of rooms in a notice.
const (
	noticeRooms = 1000
	noticeBytes = 64 << 10
)

func (n *notice) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, n.messages)
	more := byte(0)
	if n.more {
		more = 1
	}
	dst = append(dst, more)
	for _, room := range n.rooms {
		dst = appendText(dst, room)
	}
	return dst
}

// parseNotice reads a notice. It keeps only the names of rooms with members here.
func parseNotice(body []byte, find finder) (*notice, error) {
	messages, err := cutUvarint(&body)
	if err != nil || len(body) == 0 {
		return nil, errBatch
	}
	n := &notice{messages: messages, more: body[0] != 0}
	for body = body[1:]; len(body) > 0; {
		name, err := cutText(&body, maxRoom)
		if err != nil {
			return nil, err
		}
		if room, here := find(name); here {
			n.rooms = append(n.rooms, room)
		}
	}
	return n, nil
}

// note adds a message that was delivered only on this node.
func (n *notice) note(room string) {
	n.messages++
	n.name(room)
}

// name adds the name of a room, as long as there is space for it.
func (n *notice) name(room string) {
	if n.more || n.named[room] {
		return
	}
	if len(n.rooms) == noticeRooms || n.bytes+len(room) > noticeBytes {
		n.more = true
		return
	}
	if n.named == nil {
		n.named = map[string]bool{}
	}
	n.named[room] = true
	n.bytes += len(room)
	n.rooms = append(n.rooms, room)
}

// merge adds the content of another notice, which may be nil.
func (n *notice) merge(o *notice) {
	if o == nil {
		return
	}
	n.messages += o.messages
	n.more = n.more || o.more
	for _, room := range o.rooms {
		n.name(room)
	}
}

// gap returns the gap that this node must announce because of a notice.
func (n *notice) gap() Gap {
	g := Gap{Missed: n.messages, Rooms: n.rooms, Reason: "a node delivered messages only to its own members while Redis was away"}
	if n.more {
		g.Rooms = nil
	} else if g.Rooms == nil {
		g.Rooms = []string{}
	}
	return g
}
