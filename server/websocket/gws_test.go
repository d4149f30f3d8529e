package websocket_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"dotsconnect/server/websocket"
)

// FuzzAgainstGWS gives the same bytes to Parser and to a server connection of gws, another WebSocket library. It compares the
// delivered messages and the end of the connection. In some cases gws is more lenient, and in others it finds a violation
// later. The test tolerates exactly these differences (see agrees).
func FuzzAgainstGWS(f *testing.F) {
	for _, seed := range gwsSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		compareWithGWS(t, stream)
	})
}

var gwsSeeds = []string{
	"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", // "Hello", RFC 6455 section 5.7
	"\x01\x83\x00\x00\x00\x00Hel\x89\x81\x00\x00\x00\x00p\x80\x82\x00\x00\x00\x00lo\x88\x82\x00\x00\x00\x00\x03\xe8",
	"\x82\xfe\x00\x80\x00\x00\x00\x00" + strings.Repeat("b", 128) + "\x8a\x80\x00\x00\x00\x00\x88\x80\x00\x00\x00\x00",
	"\x81\x80\x00\x00\x00\x00\x88\x85\x00\x00\x00\x00\x0f\xa0why",
	"\x81\x82\x00\x00\x00\x00\xc3\x28\x81\x81\x00\x00\x00\x00a",
	"\x01\x81\x00\x00\x00\x00\xc3\x89\x80\x00\x00\x00\x00\x80\x81\x00\x00\x00\x00\x28",
	"\x01\x81\x00\x00\x00\x00a\x81\x81\x00\x00\x00\x00b",
	"\x80\x81\x00\x00\x00\x00a", "\xc1\x80\x00\x00\x00\x00", "\x83\x80\x00\x00\x00\x00", "\x09\x80\x00\x00\x00\x00", "\x81\x01a",
	"\x89\xfe\x00\x7e\x00\x00\x00\x00" + strings.Repeat("p", 126),
	"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
	"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	"\x01\x81\x00\x00\x00\x00a\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
	"\x81\xfe\x00\x01\x00\x00\x00\x00a", "\x82\xfe\x04\x01\x00\x00\x00\x00", "\xf2\xfe\x04\x01\x00\x00\x00\x00",
	"\x88\x81\x00\x00\x00\x00a", "\x88\x82\x00\x00\x00\x00\x03\xf6", "\x88\x82\x00\x00\x00\x00\x03\xed", "\x88\x83\x00\x00\x00\x00\x00\x00\xff",
	"\x88\x83\x00\x00\x00\x00\x03\xe8\xff",
}

func TestParserAgreesWithGWS(t *testing.T) {
	for _, seed := range gwsSeeds {
		compareWithGWS(t, []byte(seed))
	}
}

const (
	sizeLimit = 1024 // largest message in bytes, for both parsers

	endOpen   = -1 // the bytes ended before the connection
	endClosed = 0  // the peer closed
	endPanic  = -2
)

// ending is the result of parsing a stream.
type ending struct {
	messages  []string
	controls  []string // pings and pongs
	end       int      // code of a violation, or endOpen or endClosed
	closeCode int      // code of the peer's close frame; only from Parser
}

func compareWithGWS(t *testing.T, stream []byte) {
	t.Helper()
	ours, violation := parseOurs(stream)
	theirs := parseGWS(stream)
	if !agrees(ours, theirs, violation) {
		t.Errorf("%x:\nours   %+v (%v)\ntheirs %+v", stream, ours, violation, theirs)
	}
}

// agrees compares two results, and allows exactly these differences of gws:
//
//   - it accepts lengths that are not minimal, and panics on lengths of 2^63 or more (RFC 6455 section 5.2 forbids both);
//   - it refuses close code 1014, which is in the IANA registry;
//   - it checks a close reason even after a bad code, and reports 1007 although the bad code came first;
//   - it compares a frame's length with the limit before it checks the bits of the first byte, and reads the payload before it
//     checks for a stray continuation: it reports 1009 or panics although 1002 came first;
//   - it checks a frame when all of it has arrived, so it has no result for a stream that ends early;
//   - it checks a text when all fragments have arrived: more control frames, or another violation, may come before its result.
func agrees(ours, theirs ending, violation *websocket.CloseError) bool {
	if violation == nil {
		same := slices.Equal(ours.messages, theirs.messages) && slices.Equal(ours.controls, theirs.controls)
		return same && (ours.end == theirs.end || ours.closeCode == 1014 && theirs.end == 1002)
	}
	if len(theirs.messages) < len(ours.messages) || !slices.Equal(ours.messages, theirs.messages[:len(ours.messages)]) {
		return false
	}
	switch reason := violation.Reason; {
	case strings.Contains(reason, "shortest form"):
		return true // gws goes on where Parser stops
	case strings.Contains(reason, "2^63"):
		return theirs.end == endPanic || theirs.end == endOpen
	case len(theirs.messages) != len(ours.messages):
		return false
	case strings.Contains(reason, "text message"):
		return true // Parser delivers no message from here on, so there is no more to compare
	case !slices.Equal(ours.controls, theirs.controls):
		return false
	case strings.Contains(reason, "close code"):
		return theirs.end == 1002 || theirs.end == 1007 || theirs.end == endOpen
	default:
		late := violation.Code == 1002 && (theirs.end == 1009 || theirs.end == endPanic)
		return theirs.end == violation.Code || theirs.end == endOpen || late
	}
}

func parseOurs(stream []byte) (ending, *websocket.CloseError) {
	out := ending{end: endOpen}
	lim := &websocket.Limits{MaxMessage: sizeLimit, MaxFragments: 1 << 30}
	p := bytes.Clone(stream)
	var s websocket.Parser
	for {
		n, ev, payload, err := s.Next(p, lim)
		p = p[n:]
		if err != nil {
			out.end = err.Code
			return out, err
		}
		switch ev {
		case websocket.None:
			return out, nil
		case websocket.Text:
			out.messages = append(out.messages, "text "+string(payload))
		case websocket.Binary:
			out.messages = append(out.messages, "binary "+string(payload))
		case websocket.Ping:
			out.controls = append(out.controls, "ping "+string(payload))
		case websocket.Pong:
			out.controls = append(out.controls, "pong "+string(payload))
		case websocket.Close:
			out.closeCode, _ = websocket.ParseClose(payload)
			out.end = endClosed
			return out, nil
		}
	}
}

func parseGWS(stream []byte) (out ending) {
	defer func() {
		if recover() != nil {
			out.end = endPanic
		}
	}()
	conn := &memoryConn{Reader: bytes.NewReader(stream)}
	handler := &gwsHandler{out: &out}
	upgrader := gws.NewUpgrader(handler, &gws.ServerOption{ReadMaxPayloadSize: sizeLimit, CheckUtf8Enabled: true})
	r := &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}}
	socket, err := upgrader.UpgradeFromConn(conn, bufio.NewReader(conn), r)
	if err != nil {
		panic(err)
	}
	conn.written.Reset() // forgets the answer to the handshake
	socket.ReadLoop()
	out.end = conn.verdict(handler.closed)
	return out
}

// gwsHandler records the messages and control frames that gws delivers.
type gwsHandler struct {
	out    *ending
	closed error
}

func (h *gwsHandler) OnOpen(*gws.Conn)               {}
func (h *gwsHandler) OnClose(_ *gws.Conn, err error) { h.closed = err }
func (h *gwsHandler) OnPing(_ *gws.Conn, payload []byte) {
	h.out.controls = append(h.out.controls, "ping "+string(payload))
}
func (h *gwsHandler) OnPong(_ *gws.Conn, payload []byte) {
	h.out.controls = append(h.out.controls, "pong "+string(payload))
}
func (h *gwsHandler) OnMessage(_ *gws.Conn, m *gws.Message) {
	kind := map[gws.Opcode]string{gws.OpcodeText: "text ", gws.OpcodeBinary: "binary "}[m.Opcode]
	h.out.messages = append(h.out.messages, kind+string(m.Bytes()))
}

// memoryConn is a connection whose peer has already sent everything. It stores the bytes that are written to it.
type memoryConn struct {
	*bytes.Reader
	net.Conn // nil, because no other method is called
	written  bytes.Buffer
}

func (c *memoryConn) Read(p []byte) (int, error)       { return c.Reader.Read(p) }
func (c *memoryConn) Write(p []byte) (int, error)      { return c.written.Write(p) }
func (c *memoryConn) Close() error                     { return nil }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// verdict finds out how gws ended the connection, from the close frame that gws wrote: 1002, 1007 and 1009 mean a violation,
// unless gws only echoed the peer's own code.
func (c *memoryConn) verdict(closed error) int {
	if closed == io.EOF || closed == io.ErrUnexpectedEOF {
		return endOpen
	}
	f := c.written.Bytes()
	if len(f) < 4 {
		return endClosed // gws answers an empty close body with an empty close body
	}
	code := int(binary.BigEndian.Uint16(f[2:]))
	if code == 1002 || code == 1007 || code == 1009 {
		return code
	}
	return endClosed
}
