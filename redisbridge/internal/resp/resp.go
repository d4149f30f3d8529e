// Package resp implements the part of RESP3 that a link to Redis needs
// (https://redis.io/docs/latest/develop/reference/protocol-spec). go-redis has all of RESP3, but it cannot keep many calls in
// flight at once on a connection that is also subscribed. A link needs that, so that Redis sends the answer to a call and the
// published batch in one write.
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

// Value is one value that Redis sent. The Reader owns its memory: it is valid until the next value is read.
type Value struct {
	Kind byte    // type byte of RESP3: '+' '-' ':' '$' '*' '>' '_' and others; '>' is a push, which is not an answer
	Text []byte  // content of '+', '-', '$', ':' and the other plain types
	List []Value // elements of '*', '>', '%', '~'
}

// Error is an error reply. Its first word names the kind of error.
type Error string

func (e Error) Error() string { return string(e) }

// Word returns the first word of an error reply, or "" for any other error.
func Word(err error) string {
	var e Error
	if !errors.As(err, &e) {
		return ""
	}
	word, _, _ := strings.Cut(string(e), " ")
	return word
}

// Int returns the number that v is, or that its text contains.
func (v *Value) Int() (n int64, ok bool) {
	n, err := strconv.ParseInt(string(v.Text), 10, 64)
	return n, err == nil
}

// Err returns an error if v is an error reply, or nil for any other value.
func (v *Value) Err() error {
	if v.Kind == '-' || v.Kind == '!' {
		return Error(v.Text)
	}
	return nil
}

// ErrProtocol is the error if the received bytes are not RESP3.
var ErrProtocol = errors.New("the answer is not in RESP3: use Redis 6 or later")

const (
	maxText = 64 << 20 // bytes
	maxList = 1 << 20  // elements
	maxNest = 8
)

// Reader reads values. It uses the same memory for each.
type Reader struct {
	in   *bufio.Reader
	text []byte  // texts of the current value
	list []Value // lists of the current value
}

// NewReader makes a Reader.
func NewReader(in io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(in, 64<<10)} }

// Read reads the next value. The error is ErrProtocol, or the error of the connection.
func (r *Reader) Read() (Value, error) {
	if cap(r.text) > 1<<20 { // does not keep the memory of a very large value
		r.text = nil
	}
	r.text, r.list = r.text[:0], r.list[:0]
	return r.value(0)
}

// value reads one value. Texts follow each other in r.text. If r.text moves, the texts that were read before keep the old memory.
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
	if kind == '|' { // attributes come before the value that they describe; they are skipped
		return r.value(depth)
	}
	return Value{Kind: kind, List: list}, nil
}
