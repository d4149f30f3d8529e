package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"dotsconnect/server"
)

// Names in the log may come from strangers. No name may change the direction of a log line, end the line or hide it.
func TestUnseenCharactersAreEscapedInTheLog(t *testing.T) {
	const hostile = "a\u202eb\u2028c\u200bd\u0085e\U000e0041f\ufeffg ünï 日本 🎉"
	for _, format := range []string{"json", "console"} {
		var out bytes.Buffer
		c := server.Default()
		c.LogFormat = format
		log, err := newLogger(c, &out)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("hello "+hostile, zap.String("room", hostile))
		log.Close()
		line := out.String()
		if strings.ContainsAny(line, "\u202e\u2028\u200b\u0085\U000e0041\ufeff") || strings.Count(line, "\n") != 1 {
			t.Errorf("%s: %q has an unseen character, or is not one line", format, line)
		}
		for _, want := range []string{`\u202e`, `\u2028`, `\u200b`, `\u0085`, `\udb40\udc41`, `\ufeff`, "ünï 日本 🎉"} {
			if !strings.Contains(line, want) {
				t.Errorf("%s: %q lacks %s", format, line, want)
			}
		}
		if format != "json" {
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal(out.Bytes(), &fields); err != nil || fields["room"] != hostile {
			t.Errorf("read back as %q, %v, want the name itself", fields["room"], err)
		}
	}
}

// Ten lines with the same message are written per second. The number of lines that were left out must be reported.
func TestTheLogSaysHowMuchItLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log, err := newLogger(server.Default(), &out)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			log.Info("page refused because of its origin")
			log.Info("once a second")
		}
		log.Info("alone")
		log.Close()
		var left []string
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, "lines left out") {
				left = append(left, line)
			}
		}
		if n := strings.Count(out.String(), "\n"); n != 10+10+1+2 || len(left) != 2 {
			t.Fatalf("%d lines, %d of them about lines left out, want 23 and 2:\n%s", n, len(left), out.String())
		}
		for i, want := range []string{`"message":"once a second","lines":990`, `"message":"page refused because of its origin","lines":990`} {
			if !strings.Contains(left[i], want) {
				t.Errorf("%s lacks %s", left[i], want)
			}
		}
	})
}

// The report of lines that were left out must have the level of these lines.
func TestWhatIsLeftOutHasTheLevelOfItsLines(t *testing.T) {
	for _, level := range []string{"info", "warn", "error"} {
		var out bytes.Buffer
		c := server.Default()
		c.LogLevel = level
		log, err := newLogger(c, &out)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			log.Error("redis: trouble")
		}
		log.Close()
		if n := strings.Count(out.String(), `"lines left out"`); n == 0 {
			t.Errorf("--log-level=%s: no line reports the lines left out:\n%s", level, out.String())
		}
	}
}

// At debug level every line must be written. The level may change while the server runs.
func TestAtDebugNothingIsLeftOut(t *testing.T) {
	var out bytes.Buffer
	log, err := newLogger(server.Default(), &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("connection opened")
	log.level.SetLevel(zap.DebugLevel)
	for range 200 {
		log.Debug("connection opened")
	}
	log.level.SetLevel(zap.InfoLevel)
	log.Debug("connection opened")
	log.Close()
	if n := strings.Count(out.String(), "connection opened"); n != 200 {
		t.Errorf("%d lines, want the 200 at debug", n)
	}
}

// If the log is not read, lines are lost. The lost lines must be counted, and the log must report the count once it is read
// again.
func TestTheLogSaysHowMuchItLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read, write := io.Pipe() // a write blocks until the other side reads
		log, err := newLogger(server.Default(), write)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 * maxLogLines {
			log.Info(fmt.Sprintf("line %d", i)) // different texts, so that the lines are not sampled
		}
		time.Sleep(3 * time.Second) // during this time the log is not read
		var out bytes.Buffer
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(&out, read) // cannot fail: the writing side ends without an error
		}()
		time.Sleep(3 * time.Second)
		log.Close()
		_ = write.Close()
		<-done
		var told uint64
		for line := range strings.Lines(out.String()) {
			var entry struct {
				Msg   string
				Lines uint64
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if strings.HasPrefix(entry.Msg, "lines lost") {
				told += entry.Lines
			}
		}
		if lost := log.out.dropped.Load(); told != lost || lost < maxLogLines {
			t.Errorf("%d lines were reported as lost and %d were lost, want the same number, above %d", told, lost, maxLogLines)
		}
	})
}
