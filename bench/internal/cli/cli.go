// Package cli has the common parts of the commands of dotsbench: exit codes,
// help texts, errors of one line, and a progress line.
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

// The exit codes of dotsbench.
const (
	OK         = 0
	Missed     = 1 // a threshold was missed
	Usage      = 2 // wrong flags, or there is no server
	Invalid    = 3 // the run proves nothing: the generator or the machine was too slow
	Violated   = 4 // the server broke a promise
	ServerDied = 5
)

// ExitText explains the exit codes in help texts.
const ExitText = "Exit: 0 pass, 1 threshold missed, 2 wrong usage or server unreachable, 3 run invalid, 4 promise broken, 5 server died.\n"

// Error is an error with an exit code.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Failf makes an Error with a formatted text.
func Failf(code int, format string, args ...any) error {
	return &Error{code, fmt.Errorf(format, args...)}
}

// Exit prints an error as one line to w and returns its exit code. Without an
// error it returns OK. An error without a code is Invalid.
func Exit(w io.Writer, program string, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return OK
	}
	// Ignore an error of the write, because this error could not be printed
	// either.
	_, _ = fmt.Fprintf(w, "%s: %s\n", program, strings.ReplaceAll(err.Error(), "\n", " | "))
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Invalid
}

// CheckAddress returns an error if address is not host:port. The port may be a
// name, such as http.
func CheckAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not an address: write host:port", address)
	}
	if n, err := strconv.Atoi(port); errors.Is(err, strconv.ErrRange) || err == nil && (n < 0 || n > 65535) {
		return fmt.Errorf("%q is not an address: write host:port with a port of at most 65535", address)
	}
	return nil
}

// Parse parses the flags of a command that takes no arguments. For --help it
// prints about, the flags and the exit codes to w, and returns flag.ErrHelp.
func Parse(fs *flag.FlagSet, args []string, w io.Writer, about string) error {
	words, err := ParseWords(fs, args, w, about)
	if err == nil && len(words) > 0 {
		err = Failf(Usage, "unexpected argument %q (see --help)", words[0])
	}
	return err
}

// ParseWords is like Parse, but for a command that also takes arguments, which
// may be before, between or after the flags. ParseWords returns these
// arguments.
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

// NeedDescriptors raises the limit of open files to its maximum. It returns an
// error if that is not enough for n connections.
func NeedDescriptors(n int) error {
	const others = 64 // descriptors for epoll, the standard streams, and requests to debug pages
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

// Progress shows a line on a terminal and rewrites it. If the output is not a
// terminal, it prints nothing.
type Progress struct {
	w    io.Writer
	last time.Time
}

// NewProgress makes a Progress that writes to w.
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

// Show rewrites the line, unless the last rewrite was less than 200 ms ago.
func (p *Progress) Show(format string, args ...any) {
	if p.w == nil || time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last = time.Now()
	_, _ = fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
}

// Clear removes the line from the terminal.
func (p *Progress) Clear() {
	if p.w != nil && !p.last.IsZero() {
		_, _ = io.WriteString(p.w, "\r\x1b[K")
	}
}

// Count formats a number with commas between groups of three digits.
func Count[T int | int32 | int64 | uint32](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
