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

// linesASecond is the number of lines with the same message that are written per second. Further lines are only counted, and one
// line reports the count. So an attacker cannot fill the disk, and an operator can see what happened.
const linesASecond = 10

// serverLog is the log of a server. Its level can be changed. At level debug no line is left out, because an operator who sets
// this level wants to see every connection.
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

// Close writes the lines that are left.
func (l *serverLog) Close() {
	l.left.close()
	_ = l.out.Close() // it never fails
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

// leftOut counts the lines that the sampler left out and the lines that the writer lost, and reports both counts once a second.
type leftOut struct {
	log  *zap.Logger // the log for the reports; it has no sampling
	out  *logWriter
	told uint64 // number of lost lines that were reported already
	done chan struct{}
	wait sync.WaitGroup

	mu     sync.Mutex
	counts map[leftKind]uint64 // guarded by mu
}

// leftKind is the level and the message of lines that were left out.
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

// note is the hook that the sampler calls for each line.
func (l *leftOut) note(entry zapcore.Entry, decision zapcore.SamplingDecision) {
	if decision&zapcore.LogDropped == 0 {
		return
	}
	l.mu.Lock()
	l.counts[leftKind{entry.Message, entry.Level}]++
	l.mu.Unlock()
}

// say writes, for each kind of line, how many lines were left out. Its own line has the level of the lines that were left out.
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
	l.log.Warn("lines lost, because nothing read the log in time", zap.Uint64("lines", lost-l.told))
	if l.out.dropped.Load() == lost { // no further line was lost, so this report was not lost either
		l.told = lost
	}
}

func (l *leftOut) close() {
	close(l.done)
	l.wait.Wait()
	l.say()
}

// forPeople reports whether people, not programs, will read the output to w.
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
