package server

import _ "unsafe" // for go:linkname

// goyield is runtime.Gosched without waking another thread: it puts the goroutine at the end of its own processor's queue. The
// runtime exports it for other projects (go.dev/issue/67401).
//
//go:linkname goyield runtime.goyield
func goyield()
