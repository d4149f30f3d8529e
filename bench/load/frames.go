package load

import (
	"cmp"
	"strings"

	"dotsconnect/bench/client"
)

// Frames are the text messages of a server's protocol. In these messages {room}
// stands for the name of the room. {payload} stands for the stamp and its pad,
// by which a delivery is proved: ASCII text without quotes and backslashes.
type Frames struct {
	Join      []string // messages that a member sends, one after the other, when its connection is open
	Joined    string   // regular expression for the server's answer to the last message of Join; empty: there is no answer
	Send      string   // the message that publishes; empty: {"message":"{payload}"}
	Receive   string   // the message that members get for it, in which {number} stands for digits; empty: the same as Send
	Heartbeat string   // text of a heartbeat; empty: the JSON string "heartbeat"
	Many      bool     // the server may put several of these messages into one, each on its own line
}

const ourSend = `{"message":"{payload}"}`

// pad returns the n bytes that fill a payload up to its size: a dot, and then
// the alphabet again and again, so that a missing byte is noticed.
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

// templates are frames that are rendered and masked only once. There is one
// template for each size or, if the protocol names the room in a message, for
// each pair of size and room. For each message only the stamp is written into
// its template. Rendering each message would cost the generator more than
// sending it.
type templates struct {
	run     uint32
	send    string
	perRoom bool
	room    func(int32) string
	sizes   int
	pads    [][]byte
	receive pattern
	roomOf  []int32                             // by sender: the number of its room; used if receive names the room
	sent    func(s stamp) (late int64, ok bool) // whether a message with this stamp was sent, and how late; nil: do not check
	frames  map[int32]*template
	only    *template // the only template, if there is one size and perRoom is false; saves the look-up in frames
	text    [stampLen]byte

	memory [1024]memo
	tagAt  int // position of the tag in the last message that was read
}

type template struct {
	frame []byte
	at    int     // position of the stamp in frame
	mask  [4]byte // the masking key, rotated so that mask[0] belongs to the first byte of the stamp
}

// newTemplates makes templates for messages of the given sizes. A size includes
// the envelope of dotsd's protocol. In other protocols the payload has the same
// length as in dotsd's protocol, so the message may be longer or shorter than
// its size.
func newTemplates(run uint32, sizes []int, f Frames, room func(int32) string) *templates {
	send := cmp.Or(f.Send, ourSend)
	t := &templates{run: run, send: send, perRoom: strings.Contains(send, "{room}"), room: room, receive: newPattern(cmp.Or(f.Receive, send)),
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
	// The four bytes before the payload are the masking key (RFC 6455 section
	// 5.2).
	start := len(f) - len(message)
	p := &template{frame: f, at: start + len(before)}
	for i := range p.mask {
		p.mask[i] = f[start-4+(len(before)+i)&3]
	}
	return p
}

// sizeOf returns the index of the size of a message, which follows from its
// sender and number.
func (t *templates) sizeOf(sender, seq uint32) int {
	if t.sizes == 1 {
		return 0
	}
	return int((sender*0x9e3779b1 + seq*0x85ebca6b) >> 8 % uint32(t.sizes))
}

// frame returns the frame of the message with stamp s. It is valid until the
// next call.
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
