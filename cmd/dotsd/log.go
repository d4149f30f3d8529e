package main

import (
	"cmp"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"dotsconnect/server"
)

// linesASecond is how many lines of one message are written in a second. What is left out is counted, and the count has a line
// of its own: whoever attacks the server must not fill its disk, and an operator must see what went on.
const linesASecond = 10

// serverLog is the log of a server, with a level that can be changed. At debug nothing is left out: whoever asks for it wants
// every connection.
type serverLog struct {
	*zap.Logger
	level zap.AtomicLevel
	out   *logWriter
	left  *leftOut
}

// newLogger makes the log of a server. A stack trace is written only with a bug of ours (DPanic and above).
func newLogger(c server.Config, w io.Writer) (*serverLog, error) {
	level, err := zap.ParseAtomicLevel(c.LogLevel)
	if err != nil {
		return nil, err
	}
	fields := zap.NewProductionEncoderConfig()
	fields.TimeKey = "time"
	fields.EncodeTime = zapcore.ISO8601TimeEncoder
	fields.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(fields)
	if forPeople(c, w) {
		fields.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(fields)
	}
	l := &serverLog{level: level, out: newLogWriter(w)}
	plain := zapcore.NewCore(encoder, l.out, level)
	l.left = newLeftOut(zap.New(plain), l.out)
	sampled := zapcore.NewSamplerWithOptions(plain, time.Second, linesASecond, 0, zapcore.SamplerHook(l.left.note))
	l.Logger = zap.New(&levelCore{Core: sampled, plain: plain, level: level}, zap.AddStacktrace(zap.DPanicLevel))
	return l, nil
}

// Close writes what is left.
func (l *serverLog) Close() {
	l.left.close()
	_ = l.out.Close() // never fails
}

// levelCore samples, unless the level is debug.
type levelCore struct {
	zapcore.Core
	plain zapcore.Core
	level zap.AtomicLevel
}

// With implements zapcore.Core.
func (c *levelCore) With(fields []zapcore.Field) zapcore.Core {
	return &levelCore{Core: c.Core.With(fields), plain: c.plain.With(fields), level: c.level}
}

// Check implements zapcore.Core.
func (c *levelCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.level.Level() == zapcore.DebugLevel {
		return c.plain.Check(entry, checked)
	}
	return c.Core.Check(entry, checked)
}

// leftOut counts the lines that the sampler leaves out, and says so once a second; and of the lines that the writer has lost.
type leftOut struct {
	log  *zap.Logger // not sampled
	out  *logWriter
	told uint64 // of the lines that out has lost
	done chan struct{}
	wait sync.WaitGroup

	mu     sync.Mutex
	counts map[leftKind]uint64 // guarded by mu
}

// leftKind is what lines that are left out have in common.
type leftKind struct {
	message string
	level   zapcore.Level
}

func newLeftOut(log *zap.Logger, out *logWriter) *leftOut {
	l := &leftOut{log: log, out: out, done: make(chan struct{}), counts: map[leftKind]uint64{}}
	l.wait.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-l.done:
				return
			case <-ticker.C:
				l.say()
			}
		}
	})
	return l
}

// note is the sampler's hook.
func (l *leftOut) note(entry zapcore.Entry, decision zapcore.SamplingDecision) {
	if decision&zapcore.LogDropped == 0 {
		return
	}
	l.mu.Lock()
	l.counts[leftKind{entry.Message, entry.Level}]++
	l.mu.Unlock()
}

// say writes a line for each kind of which lines were left out, at its level.
func (l *leftOut) say() {
	l.mu.Lock()
	counts := l.counts
	l.counts = map[leftKind]uint64{}
	l.mu.Unlock()
	for _, kind := range slices.SortedFunc(maps.Keys(counts), func(a, b leftKind) int { return cmp.Compare(a.message, b.message) }) {
		l.log.Log(kind.level, "lines left out", zap.String("message", kind.message), zap.Uint64("lines", counts[kind]))
	}
	lost := l.out.dropped.Load()
	if lost == l.told {
		return
	}
	l.log.Warn("lines lost: nobody read the log in time", zap.Uint64("lines", lost-l.told))
	if l.out.dropped.Load() == lost { // else this one may be lost as well
		l.told = lost
	}
}

func (l *leftOut) close() {
	close(l.done)
	l.wait.Wait()
	l.say()
}

// forPeople tells whether what is written to w is for people to read and not for programs.
func forPeople(c server.Config, w io.Writer) bool {
	return c.LogFormat == "console" || c.LogFormat == "auto" && isTerminal(w)
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
