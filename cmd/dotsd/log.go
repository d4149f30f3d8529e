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

// linesASecond is how many lines with one message are written per second. Further lines are counted, and one line reports the
// count: an attacker must not fill the disk, and an operator must see what happened.
const linesASecond = 10

// serverLog is the log of a server, with a level that can be changed. At level debug no line is left out, because an operator
// who sets it wants to see every connection.
type serverLog struct {
	*zap.Logger
	level zap.AtomicLevel
	out   *logWriter
	left  *leftOut
}

// newLogger makes the log of a server. It writes stack traces only for bugs of dotsd (DPanic and above).
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

// Close writes the remaining lines.
func (l *serverLog) Close() {
	l.left.close()
	_ = l.out.Close() // never fails
}

// levelCore leaves out repeated lines, unless the level is debug.
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

// leftOut counts the lines that the sampler left out and those that the writer lost, and reports them once a second.
type leftOut struct {
	log  *zap.Logger // not sampled
	out  *logWriter
	told uint64 // lost lines that were reported already
	done chan struct{}
	wait sync.WaitGroup

	mu     sync.Mutex
	counts map[leftKind]uint64 // guarded by mu
}

// leftKind is the level and message of lines that were left out.
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

// say writes, for each kind, how many lines were left out, at the level of these lines.
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
	l.log.Warn("lines lost: the log was not read in time", zap.Uint64("lines", lost-l.told))
	if l.out.dropped.Load() == lost { // otherwise this line may be lost as well
		l.told = lost
	}
}

func (l *leftOut) close() {
	close(l.done)
	l.wait.Wait()
	l.say()
}

// forPeople reports whether output to w is for people and not for programs.
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
