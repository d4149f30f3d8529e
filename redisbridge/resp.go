package redisbridge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// RESP3, as much of it as a link speaks (https://redis.io/docs/latest/develop/reference/protocol-spec). go-redis would do it too,
// but not what a link is for: many calls on their way at once on the connection that is also subscribed, so that Redis answers
// a call and sends what was published in one write.

// appendCommand appends a command: an array of bulk strings.
func appendCommand(dst []byte, args ...string) []byte {
	dst = appendCount(dst, '*', len(args))
	for _, a := range args {
		dst = appendBulk(dst, a)
	}
	return dst
}

func appendCount(dst []byte, kind byte, n int) []byte {
	return append(strconv.AppendInt(append(dst, kind), int64(n), 10), '\r', '\n')
}

func appendBulk[T string | []byte](dst []byte, text T) []byte {
	dst = appendCount(dst, '$', len(text))
	return append(append(dst, text...), '\r', '\n')
}

// reply is one value of Redis. A push is told by its kind: '>' comes when something is published, and answers nothing.
type reply struct {
	kind byte    // of RESP3: '+' '-' ':' '$' '*' '>' '_' and their like
	text []byte  // of '+', '-', '$', ':' and the other plain ones; it is good until the next read
	list []reply // of '*', '>', '%'
}

// serverError is an error reply of Redis: its first word says what kind it is.
type serverError string

func (e serverError) Error() string { return string(e) }

// number is the value of ':', or of a text that is one.
func (r *reply) number() (int64, bool) {
	n, err := strconv.ParseInt(string(r.text), 10, 64)
	return n, err == nil
}

// err is the error that an error reply stands for, nil for any other.
func (r *reply) err() error {
	if r.kind == '-' || r.kind == '!' {
		return serverError(r.text)
	}
	return nil
}

var errProtocol = errors.New("what came is not RESP3: is that a Redis of version 6 or later?")

const (
	maxReply = 64 << 20 // bytes of one text
	maxList  = 1 << 20  // elements
	maxNest  = 8
)

// respReader reads replies. It reuses its memory: a reply is good until the next one is read.
type respReader struct {
	in   *bufio.Reader
	text []byte  // of the reply being read
	list []reply // the same
}

func newRespReader(in io.Reader) *respReader { return &respReader{in: bufio.NewReaderSize(in, 64<<10)} }

// buffered reports whether there is more to read without waiting.
func (r *respReader) buffered() bool { return r.in.Buffered() > 0 }

// read reads the next reply.
func (r *respReader) read() (reply, error) {
	if cap(r.text) > 1<<20 { // of a page of the log, perhaps: it need not stay
		r.text = nil
	}
	r.text, r.list = r.text[:0], r.list[:0]
	return r.value(0)
}

// value reads one value. Texts are copied behind each other: the memory of earlier ones may move, and they keep the old one.
func (r *respReader) value(depth int) (v reply, err error) {
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		return v, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' || depth > maxNest {
		return v, errProtocol
	}
	v.kind, line = line[0], line[1:len(line)-2]
	switch v.kind {
	case '+', '-', ':', ',', '#', '(', '_':
		v.text = r.keep(line)
		return v, nil
	case '$', '=', '!':
		return r.bulk(v.kind, line)
	case '*', '>', '~', '%', '|':
		return r.array(v.kind, line, depth)
	}
	return v, errProtocol
}

func (r *respReader) keep(p []byte) []byte {
	at := len(r.text)
	r.text = append(r.text, p...)
	return r.text[at:len(r.text):len(r.text)]
}

func (r *respReader) bulk(kind byte, line []byte) (reply, error) {
	n, err := strconv.Atoi(string(line))
	if err != nil || n > maxReply {
		return reply{}, fmt.Errorf("a text of %q bytes: %w", line, errProtocol)
	}
	if n < 0 {
		return reply{kind: '_'}, nil
	}
	at := len(r.text)
	r.text = append(r.text, make([]byte, n+2)...)
	whole := r.text[at : at+n+2 : at+n+2]
	if _, err := io.ReadFull(r.in, whole); err != nil {
		return reply{}, err
	}
	if whole[n] != '\r' || whole[n+1] != '\n' {
		return reply{}, errProtocol
	}
	r.text = r.text[:at+n]
	return reply{kind: kind, text: whole[:n:n]}, nil
}

func (r *respReader) array(kind byte, line []byte, depth int) (reply, error) {
	n, err := strconv.Atoi(string(line))
	if err != nil || n > maxList {
		return reply{}, fmt.Errorf("a list of %q elements: %w", line, errProtocol)
	}
	if n < 0 {
		return reply{kind: '_'}, nil
	}
	if kind == '%' || kind == '|' {
		n *= 2
	}
	list := make([]reply, 0, min(n, 1024))
	if depth == 0 && cap(r.list) >= n {
		list = r.list[:0]
	}
	for range n {
		v, err := r.value(depth + 1)
		if err != nil {
			return reply{}, err
		}
		list = append(list, v)
	}
	if depth == 0 {
		r.list = list
	}
	if kind == '|' { // attributes stand before the value that they are of
		return r.value(depth)
	}
	return reply{kind: kind, list: list}, nil
}
