package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"go.uber.org/zap/zapcore"
)

// logWriter writes lines on its own goroutine, and drops lines when too many wait. The reader of the log may stop reading (a full
// pipe, a stuck journal), and a loop that logs a line must not wait for the reader.
type logWriter struct {
	w       io.Writer
	lines   chan queuedLine
	done    chan struct{}
	dropped atomic.Uint64
}

// queuedLine is a line to write. If written is set, the queuedLine is a request instead of a line: report when all earlier lines
// are written.
type queuedLine struct {
	text    []byte
	written chan struct{}
}

const (
	maxLogLines = 1024
	// logPatience is how long the program, when it ends, waits for its last lines to be written.
	logPatience = time.Second
)

func newLogWriter(w io.Writer) *logWriter {
	l := &logWriter{w: w, lines: make(chan queuedLine, maxLogLines), done: make(chan struct{})}
	go l.run()
	return l
}

var _ zapcore.WriteSyncer = (*logWriter)(nil)

// Write implements io.Writer; it never blocks. It copies p, because zap reuses it.
func (l *logWriter) Write(p []byte) (int, error) {
	select {
	case l.lines <- queuedLine{text: escapeUnseen(nil, p)}:
	default:
		l.dropped.Add(1)
	}
	return len(p), nil
}

// escapeUnseen appends p to dst. It replaces invisible characters that can make a line look like another one by \u escapes, as in
// JSON: characters that change the writing direction, end a line, or join or hide other characters. Names of rooms and origins
// come from strangers, so a line may have such characters.
func escapeUnseen(dst, p []byte) []byte {
	for len(p) > 0 {
		ascii := 0
		for ascii < len(p) && p[ascii] < utf8.RuneSelf {
			ascii++
		}
		dst, p = append(dst, p[:ascii]...), p[ascii:]
		if len(p) == 0 {
			break
		}
		r, size := utf8.DecodeRune(p)
		switch {
		case !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp):
			dst = append(dst, p[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
		p = p[size:]
	}
	return dst
}

// Sync implements zapcore.WriteSyncer: it waits, with a time limit, until all earlier lines are written.
func (l *logWriter) Sync() error {
	timer := time.NewTimer(logPatience)
	defer timer.Stop()
	written := make(chan struct{})
	select {
	case l.lines <- queuedLine{written: written}:
	case <-timer.C:
		return nil
	}
	select {
	case <-written:
	case <-timer.C:
	}
	return nil
}

// Close writes the lines that are left, as long as a reader accepts them, and ends the goroutine. Later lines are dropped.
func (l *logWriter) Close() error {
	_ = l.Sync() // it never fails
	close(l.done)
	return nil
}

func (l *logWriter) run() {
	for {
		select {
		case <-l.done:
			return
		case line := <-l.lines:
			if line.written != nil {
				close(line.written)
				continue
			}
			_, _ = l.w.Write(line.text) // there is no other place to report an error
		}
	}
}
