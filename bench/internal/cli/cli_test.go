package cli

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"
)

func TestMistakesAreOneLineAndExitWith2(t *testing.T) {
	for _, args := range [][]string{{"--nope"}, {"--rate", "-3"}, {"--rate", "fast"}, {"stray"}} {
		fs := flag.NewFlagSet("x", flag.ContinueOnError)
		fs.Duration("rate", 5, "messages")
		var out, errs bytes.Buffer
		code := Exit(&errs, "x", Parse(fs, args, &out, "x does things"))
		if code != Usage || out.Len() > 0 || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%v: code %d, output %q, errors %q", args, code, &out, &errs)
		}
	}
}

func TestHelpIsNoError(t *testing.T) {
	fs := flag.NewFlagSet("x", flag.ContinueOnError)
	fs.Int("conns", 7, "how many `N`")
	var out bytes.Buffer
	err := Parse(fs, []string{"--help"}, &out, "x does things")
	if Exit(&out, "x", err) != OK || !strings.Contains(out.String(), "--conns N") {
		t.Errorf("got %v, %q", err, &out)
	}
}

func TestErrorsWithoutACodeMakeTheRunInvalid(t *testing.T) {
	var out bytes.Buffer
	if got := Exit(&out, "x", errors.New("a\nb")); got != Invalid || out.String() != "x: a | b\n" {
		t.Errorf("got %d, %q", got, &out)
	}
}

func TestCountSeparatesThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -100: "-100"} {
		if got := Count(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
