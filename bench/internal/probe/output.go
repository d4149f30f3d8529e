package probe

import (
	"bytes"
	"regexp"
	"sync"
)

// output keeps the last bytes that a server printed. It also watches for a line
// that shows that the server is ready.
type output struct {
	mu    sync.Mutex
	end   []byte         // guarded by mu; the last bytes
	want  *regexp.Regexp // guarded by mu; matches that line; nil: not needed, or already seen
	line  []byte         // guarded by mu; the last line, which is incomplete
	ready bool           // guarded by mu; a line that matches want was printed
}

func newOutput(ready *regexp.Regexp) *output { return &output{want: ready} }

func (o *output) Write(p []byte) (int, error) {
	const keep = 600
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watch(p)
	o.end = append(o.end, p...)
	if over := len(o.end) - keep; over > 0 {
		o.end = append(o.end[:0], o.end[over:]...)
	}
	return len(p), nil
}

// watch checks complete lines of the output. The caller holds mu.
func (o *output) watch(p []byte) {
	const longest = 64 << 10
	if o.want == nil {
		return
	}
	o.line = append(o.line, p...)
	for {
		line, rest, whole := bytes.Cut(o.line, []byte("\n"))
		if !whole && len(line) < longest {
			return
		}
		if o.want.Match(bytes.TrimSuffix(line, []byte("\r"))) {
			o.ready, o.want, o.line = true, nil, nil
			return
		}
		o.line = rest
	}
}

func (o *output) isReady() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ready
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if b := bytes.TrimSpace(o.end); len(b) > 0 {
		return string(b)
	}
	return "(none)"
}
