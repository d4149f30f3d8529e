package main

import (
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"dotsconnect/server"
)

// newLogger makes the log of a server. Of each message at most ten lines a second are written, then one of a thousand:
// whoever attacks the server must not fill its disk. A stack trace is written only with a bug of ours (DPanic and above).
func newLogger(c server.Config, w io.Writer) (*zap.Logger, *logWriter, error) {
	level, err := zapcore.ParseLevel(c.LogLevel)
	if err != nil {
		return nil, nil, err
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
	out := newLogWriter(w)
	core := zapcore.NewCore(encoder, out, level)
	core = zapcore.NewSamplerWithOptions(core, time.Second, 10, 1000)
	return zap.New(core, zap.AddStacktrace(zap.DPanicLevel)), out, nil
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
