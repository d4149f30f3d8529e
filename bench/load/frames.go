package load

import (
	"strings"

	"dotsconnect/bench/client"
)

// Frames are the text messages of a server's protocol. {room} stands for the
// name of the room and {payload} for the text that proves delivery: ASCII
// without quotes and backslashes.
type Frames struct {
	Join      []string // sent one after the other when a connection is open
	Joined    string   // regular expression for the answer to the last of them; empty: there is no answer
	Send      string   // a publication; empty: {"message":"{payload}"}
	Heartbeat string   // empty: "heartbeat", a JSON string
	Many      bool     // one received message can hold several payloads
}

const ourSend = `{"message":"{payload}"}`

// pad fills payloads up: a dot, then letters whose order shows a missing byte.
func pad(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	if n > 0 {
		b[0] = '.'
	}
	return b
}

// templates are rendered and masked frames, one for each size and, if the
// protocol names the room in a message, for each room. The stamp of a message
// is written into them. To render each message again would cost the generator
// more than to send it.
type templates struct {
	run     uint32
	send    string
	perRoom bool
	room    func(int32) string
	sizes   int
	pads    [][]byte
	frames  map[int32]*template
	only    *template // sizes is 1 and perRoom is false: needs no look-up
	text    [stampLen]byte

	memory [256]memo
	tagAt  int // where the tag was in the last message that was read
}

type template struct {
	frame []byte
	at    int     // of the stamp
	mask  [4]byte // aligned with the stamp's first bytes
}

// newTemplates takes sizes of whole messages in dotsd's protocol. In another
// protocol the payload has the same length, whatever its envelope.
func newTemplates(run uint32, sizes []int, send string, room func(int32) string) *templates {
	if send == "" {
		send = ourSend
	}
	t := &templates{run: run, send: send, perRoom: strings.Contains(send, "{room}"), room: room,
		sizes: len(sizes), frames: map[int32]*template{}}
	for _, n := range sizes {
		t.pads = append(t.pads, pad(n-envelope-stampLen))
	}
	if t.sizes == 1 && !t.perRoom {
		t.only = t.render(0, 0)
	}
	return t
}

func (t *templates) render(room int32, size int) *template {
	text := t.send
	if t.perRoom {
		text = strings.ReplaceAll(text, "{room}", t.room(room))
	}
	before, after, _ := strings.Cut(text, "{payload}")
	payload := append(make([]byte, stampLen), t.pads[size]...)
	message := append(append([]byte(before), payload...), after...)
	f := client.AppendFrame(nil, client.OpText, message)
	// RFC 6455 section 5.3: the four bytes before the payload are the mask.
	start := len(f) - len(message)
	p := &template{frame: f, at: start + len(before)}
	for i := range p.mask {
		p.mask[i] = f[start-4+(len(before)+i)&3]
	}
	return p
}

// sizeOf returns the index of a message's size.
func (t *templates) sizeOf(sender, seq uint32) int {
	if t.sizes == 1 {
		return 0
	}
	return int((sender*0x9e3779b1 + seq*0x85ebca6b) >> 8 % uint32(t.sizes))
}

// frame returns the frame of a message to a room, valid until the next call.
func (t *templates) frame(room int32, s stamp) []byte {
	p := t.only
	if p == nil {
		size := t.sizeOf(s.sender, s.seq)
		key := int32(size)
		if t.perRoom {
			key += room * int32(t.sizes)
		}
		if p = t.frames[key]; p == nil {
			p = t.render(room, size)
			t.frames[key] = p
		}
	}
	s.put(&t.text)
	out := p.frame[p.at : p.at+stampLen]
	for i, b := range t.text {
		out[i] = b ^ p.mask[i&3]
	}
	return p.frame
}
