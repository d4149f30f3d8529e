package server

import (
	"testing"
	"unsafe"
)

// maxSession is what a connection may take in the heap beside what nbio has: the next size class has 176 bytes.
const maxSession = 160

func TestASessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > maxSession {
		t.Errorf("a session has %d bytes, want at most %d: what few connections need belongs into extra", n, maxSession)
	}
}
