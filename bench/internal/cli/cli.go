// Package cli has what the measuring programs share: exit codes, help texts,
// one-line errors and a progress line.
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Exit codes of all programs under bench.
const (
	OK         = 0
	Missed     = 1 // a threshold was missed
	Usage      = 2 // wrong flags, or the server could not be reached
	Invalid    = 3 // the run proves nothing: the generator or the machine failed
	Violated   = 4 // the server broke a promise
	ServerDied = 5
)

// ExitText is the table of exit codes for help texts.
const ExitText = "Exit: 0 pass, 1 threshold missed, 2 wrong usage or server unreachable, 3 run invalid, 4 promise broken, 5 server died.\n"

// Error is an error with its exit code.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Failf makes an Error.
func Failf(code int, format string, args ...any) error {
	return &Error{code, fmt.Errorf(format, args...)}
}

// Exit prints the error, if any, as one line and returns the exit code.
func Exit(w io.Writer, program string, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return OK
	}
	// If the error cannot be printed, there is nobody to tell.
	_, _ = fmt.Fprintf(w, "%s: %s\n", program, strings.ReplaceAll(err.Error(), "\n", " | "))
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Invalid
}

// CheckAddress returns what is wrong with an address that should be host:port.
// It accepts the name of a port, such as http.
func CheckAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not an address: want host:port", address)
	}
	if n, err := strconv.Atoi(port); errors.Is(err, strconv.ErrRange) || err == nil && (n < 0 || n > 65535) {
		return fmt.Errorf("%q is not an address: want host:port with a port of at most 65535", address)
	}
	return nil
}

// Parse parses flags. For --help it prints about, the flags and the exit codes
// to w and returns flag.ErrHelp.
func Parse(fs *flag.FlagSet, args []string, w io.Writer, about string) error {
	words, err := ParseWords(fs, args, w, about)
	if err == nil && len(words) > 0 {
		err = Failf(Usage, "unexpected argument %q (see --help)", words[0])
	}
	return err
}

// ParseWords is Parse for a program that takes words too, before, between or
// after the flags, and returns them.
func ParseWords(fs *flag.FlagSet, args []string, w io.Writer, about string) ([]string, error) {
	fs.SetOutput(io.Discard)
	var words []string
	for {
		err := fs.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			_, _ = fmt.Fprintf(w, "%s\n\nFlags:\n", strings.TrimSpace(about))
			fs.VisitAll(func(f *flag.Flag) { printFlag(w, f) })
			_, _ = io.WriteString(w, "\n"+ExitText)
			return nil, err
		case err != nil:
			return nil, Failf(Usage, "%w (see --help)", err)
		case fs.NArg() == 0:
			return words, nil
		}
		words, args = append(words, fs.Arg(0)), fs.Args()[1:]
	}
}

func printFlag(w io.Writer, f *flag.Flag) {
	kind, usage := flag.UnquoteUsage(f)
	left := "--" + f.Name
	if kind != "" {
		left += " " + kind
	}
	if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "false" {
		usage += " (" + f.DefValue + ")"
	}
	_, _ = fmt.Fprintf(w, "  %-22s %s\n", left, usage)
}

// NeedDescriptors checks that the process may hold n connections.
func NeedDescriptors(n int) error {
	const others = 64 // epoll, the standard streams, the admin's connections
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return Failf(Usage, "cannot read the limit of open files: %w", err)
	}
	if uint64(n)+others > lim.Max {
		return Failf(Usage, "%d connections need %d open files, and the limit is %d", n, n+others, lim.Max)
	}
	lim.Cur = lim.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return Failf(Usage, "cannot raise the limit of open files: %w", err)
	}
	return nil
}

// Progress is a line that rewrites itself on a terminal. On anything else it
// prints nothing.
type Progress struct {
	w    io.Writer
	last time.Time
}

// NewProgress makes a Progress on w.
func NewProgress(w io.Writer) *Progress {
	f, ok := w.(*os.File)
	if !ok {
		return &Progress{}
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return &Progress{}
	}
	return &Progress{w: w}
}

// Show rewrites the line, at most five times a second.
func (p *Progress) Show(format string, args ...any) {
	if p.w == nil || time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last = time.Now()
	_, _ = fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
}

// Clear removes the line.
func (p *Progress) Clear() {
	if p.w != nil && !p.last.IsZero() {
		_, _ = io.WriteString(p.w, "\r\x1b[K")
	}
}

// Count writes a number with thousands separators.
func Count[T int | int32 | int64 | uint32](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
