// Package resp is RESP3, as much of it as a link to Redis speaks
// (https://redis.io/docs/latest/develop/reference/protocol-spec). go-redis has all of it, but not what a link is for: many calls
// on their way at once on the connection that is also subscribed, so that Redis answers a call and sends what was published in
// one write.
package resp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// AppendCommand appends a command to dst: an array of bulk strings.
func AppendCommand(dst []byte, args ...string) []byte {
	dst = AppendArray(dst, len(args))
	for _, a := range args {
		dst = AppendBulk(dst, a)
	}
	return dst
}

// AppendArray appends the head of an array of n elements.
func AppendArray(dst []byte, n int) []byte { return appendCount(dst, '*', n) }

// AppendBulk appends a bulk string.
func AppendBulk[T string | []byte](dst []byte, text T) []byte {
	dst = appendCount(dst, '$', len(text))
	return append(append(dst, text...), '\r', '\n')
}

// AppendNumber appends a number as a bulk string.
func AppendNumber(dst []byte, n int64) []byte {
	var text [20]byte
	return AppendBulk(dst, strconv.AppendInt(text[:0], n, 10))
}

func appendCount(dst []byte, kind byte, n int) []byte {
	return append(strconv.AppendInt(append(dst, kind), int64(n), 10), '\r', '\n')
}

// Value is one value of Redis. Its memory is the reader's: it is good until the next one is read.
type Value struct {
	Kind byte    // of RESP3: '+' '-' ':' '$' '*' '>' '_' and their like; '>' is a push, which answers nothing
	Text []byte  // of '+', '-', '$', ':' and the other plain ones
	List []Value // of '*', '>', '%', '~'
}

// Error is an error reply: its first word says of what kind it is.
type Error string

func (e Error) Error() string { return string(e) }

// Word is the first word of an error reply, "" for any other error.
func Word(err error) string {
	var e Error
	if !errors.As(err, &e) {
		return ""
	}
	word, _, _ := strings.Cut(string(e), " ")
	return word
}

// Int is the number that v is, or that stands in its text.
func (v *Value) Int() (n int64, ok bool) {
	n, err := strconv.ParseInt(string(v.Text), 10, 64)
	return n, err == nil
}

// Err is the error of an error reply, nil for any other value.
func (v *Value) Err() error {
	if v.Kind == '-' || v.Kind == '!' {
		return Error(v.Text)
	}
	return nil
}

// ErrProtocol says that what came is not RESP3.
var ErrProtocol = errors.New("the answer is not RESP3: want a Redis of version 6 or later there")

const (
	maxText = 64 << 20 // bytes
	maxList = 1 << 20  // elements
	maxNest = 8
)

// Reader reads values, and reuses its memory.
type Reader struct {
	in   *bufio.Reader
	text []byte  // of the value that is read
	list []Value // the same
}

// NewReader makes one.
func NewReader(in io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(in, 64<<10)} }

// Read reads the next value. The error is ErrProtocol, or what the connection says.
func (r *Reader) Read() (Value, error) {
	if cap(r.text) > 1<<20 { // of a large batch, perhaps: it need not stay
		r.text = nil
	}
	r.text, r.list = r.text[:0], r.list[:0]
	return r.value(0)
}

// value reads one value. Texts stand behind each other in r.text: when it moves, those that were read keep the old memory.
func (r *Reader) value(depth int) (v Value, err error) {
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		return v, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' || depth > maxNest {
		return v, ErrProtocol
	}
	v.Kind, line = line[0], line[1:len(line)-2]
	switch v.Kind {
	case '+', '-', ':', ',', '#', '(', '_':
		v.Text = r.keep(line)
		return v, nil
	case '$', '=', '!':
		return r.bulk(v.Kind, line)
	case '*', '>', '~', '%', '|':
		return r.array(v.Kind, line, depth)
	}
	return v, ErrProtocol
}

func (r *Reader) keep(p []byte) []byte {
	at := len(r.text)
	r.text = append(r.text, p...)
	return r.text[at:len(r.text):len(r.text)]
}

func (r *Reader) bulk(kind byte, line []byte) (Value, error) {
	n, err := strconv.Atoi(string(line))
	if err != nil || n > maxText {
		return Value{}, fmt.Errorf("a text of %q bytes: %w", line, ErrProtocol)
	}
	if n < 0 {
		return Value{Kind: '_'}, nil
	}
	at := len(r.text)
	r.text = append(r.text, make([]byte, n+2)...)
	whole := r.text[at : at+n+2]
	if _, err := io.ReadFull(r.in, whole); err != nil {
		return Value{}, err
	}
	if whole[n] != '\r' || whole[n+1] != '\n' {
		return Value{}, ErrProtocol
	}
	r.text = r.text[:at+n]
	return Value{Kind: kind, Text: whole[:n:n]}, nil
}

func (r *Reader) array(kind byte, line []byte, depth int) (Value, error) {
	n, err := strconv.Atoi(string(line))
	if err != nil || n > maxList {
		return Value{}, fmt.Errorf("a list of %q elements: %w", line, ErrProtocol)
	}
	if n < 0 {
		return Value{Kind: '_'}, nil
	}
	if kind == '%' || kind == '|' {
		n *= 2
	}
	list := make([]Value, 0, min(n, 1024))
	if depth == 0 && cap(r.list) >= n {
		list = r.list[:0]
	}
	for range n {
		v, err := r.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		list = append(list, v)
	}
	if depth == 0 {
		r.list = list
	}
	if kind == '|' { // attributes stand before the value that they are of
		return r.value(depth)
	}
	return Value{Kind: kind, List: list}, nil
}
