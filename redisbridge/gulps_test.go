package redisbridge

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"dotsconnect/loop"
)

// TestNothingIsLostInGulps: all bytes arrive in order, including the last ones. This holds for pieces of any size: for small
// pieces, which the socket does not report, and for pieces larger than a gulp. This also holds if the node becomes idle or busy
// while the bytes arrive.
func TestNothingIsLostInGulps(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	random := rand.New(rand.NewPCG(1, 2))
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(random.Uint32())
	}
	writer, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writer.Close() }()
	reader, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	_ = reader.SetDeadline(time.Now().Add(time.Minute))
	asked := 0
	g := &gulps{Conn: reader, idle: func() bool { asked++; return asked%3 != 0 }}
	got := make([]byte, len(sent))
	for at := 0; at < len(sent); {
		n := min(1+random.IntN(100), len(sent)-at)
		if random.IntN(4) == 0 {
			n = min(random.IntN(3*gulpBytes)+1, len(sent)-at)
		}
		failed := make(chan error, 1)
		go func() {
			_, err := writer.Write(sent[at : at+n])
			failed <- err
		}()
		if _, err := io.ReadFull(g, got[at:at+n]); err != nil {
			t.Fatalf("after %d of %d bytes: %v", at, len(sent), err)
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		at += n
	}
	if !bytes.Equal(got, sent) {
		t.Error("the bytes read are not the bytes sent")
	}
	if asked == 0 {
		t.Error("idle was never called")
	}
}

// TestWhoIsIdle: a node with a member is not idle. A node that has just published is not idle either, even if the publication
// came from its API, because it waits for the answer.
func TestWhoIsIdle(t *testing.T) {
	k := lonelyLink(1)
	b := k.bridge
	k.serve.Store(true)
	b.awake.now.Store(int64(2 * time.Second))
	if k.idle() {
		t.Error("a bridge that does not deliver yet is idle")
	}
	cfg := loop.DefaultConfig()
	cfg.Ring = func(int) {}
	node := loop.New(cfg)
	b.rooms = node.Directory()
	if !k.idle() {
		t.Error("a node without members is not idle")
	}
	if out := k.next(nil); len(out) == 0 || k.idle() {
		t.Errorf("a call of %d bytes was made, and the node is idle: %v", len(out), k.idle())
	}
	b.awake.now.Store(int64(4 * time.Second))
	if !k.idle() {
		t.Error("two seconds after its last call a node without members is not idle")
	}
	b.rooms.Join("chat/x", node.Loops()[0])
	if k.idle() {
		t.Error("a node with a member is idle")
	}
}
