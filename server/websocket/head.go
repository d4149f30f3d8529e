package websocket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// The limits of a request head. The head of a browser has 500 to 1,500 bytes and about 20 fields, and more if a site stores much
// data in its cookies.
const (
	DefaultMaxHead = 16 << 10 // bytes of the request line, the fields and the empty line together
	maxFields      = 100
	maxEmptyLines  = 4 // limit of empty lines before the request line
)

// The errors of Scan. They are declared once, so that a flood of bad heads allocates nothing.
var (
	errTLS         = &HeadError{400, "this port speaks plain HTTP, not TLS"}
	errProxy       = &HeadError{400, "this port does not understand the PROXY protocol: switch it off in the proxy (send-proxy in HAProxy, proxy_protocol in nginx)"}
	errNotHTTP     = &HeadError{400, "this is not an HTTP request"}
	errRequestLine = &HeadError{400, "the request line must read: method, one space, target, one space, HTTP/1.1"}
	errTargetForm  = &HeadError{400, "the request target must begin with a slash or with http://HOST"}
	errTargetSpace = &HeadError{400, "the request target contains a space: write it as %20"}
	errTargetByte  = &HeadError{400, "the request target contains a byte that must be percent-encoded"}
	errTargetHost  = &HeadError{400, "the host in the request target is not a host and port"}
	errPercent     = &HeadError{400, "the request target contains an invalid percent-encoding"}
	errVersion     = &HeadError{400, "this port speaks only HTTP/1.1 and HTTP/1.0"}
	errLineEnd     = &HeadError{400, "every line of the request head must end in CR LF"}
	errFold        = &HeadError{400, "a header field must not be folded over lines"}
	errName        = &HeadError{400, "the name of a header field must be a token followed by a colon"}
	errNameSpace   = &HeadError{400, "a header field must not have a space before its colon"}
	errValue       = &HeadError{400, "a header field contains a control character"}
	errBody        = &HeadError{400, "on this port only POST /chat/ROOM/ may have a body (see --publish); the API that publishes is on the admin address (--admin)"}
	errEncoding    = &HeadError{400, "a body must come with Content-Length, not with Transfer-Encoding"}
	errLength      = &HeadError{400, "the Content-Length is not a plain number"}
	errNoHost      = &HeadError{400, "the Host field is missing"}
	errHost        = &HeadError{400, "the Host field is not a host and port"}
	errManyFields  = &HeadError{431, "the request head has over 100 fields"}
)

// The fields that may occur only once, each a bit of headScan.seen. If such a field occurred twice, two parsers could read the
// request differently (RFC 9112 section 11.2), or the handshake could have two contradicting values (RFC 6455 section 4.1).
// Transfer-Encoding is not in this list, because it is always refused.
const (
	fieldHost = iota
	fieldContentLength
	fieldOrigin
	fieldKey
	fieldVersion
	fieldTransferEncoding
	fieldOther
)

var knownFields = [...]struct {
	name  string
	twice *HeadError
}{
	fieldHost:             {"Host", &HeadError{400, "two Host fields"}},
	fieldContentLength:    {"Content-Length", &HeadError{400, "two Content-Length fields"}},
	fieldOrigin:           {"Origin", &HeadError{400, "two Origin fields"}},
	fieldKey:              {"Sec-WebSocket-Key", &HeadError{400, "two Sec-WebSocket-Key fields"}},
	fieldVersion:          {"Sec-WebSocket-Version", &HeadError{400, "two Sec-WebSocket-Version fields"}},
	fieldTransferEncoding: {"Transfer-Encoding", errBody},
}

// pathWithBody is the beginning of the paths at which a POST may have a body.
const pathWithBody = "/chat/"

// HeadScanner checks request heads up to a maximum size. It is immutable and serves all connections.
type HeadScanner struct {
	max         int
	tooBig      *HeadError
	lineTooLong *HeadError
}

// NewHeadScanner makes a scanner for heads of at most max bytes.
func NewHeadScanner(max int) *HeadScanner {
	return &HeadScanner{
		max:         max,
		tooBig:      &HeadError{431, fmt.Sprintf("the request head is over %d bytes (see --max-header)", max)},
		lineTooLong: &HeadError{414, fmt.Sprintf("the request line is over %d bytes (see --max-header)", max)},
	}
}

// Max is the size of the largest allowed head in bytes.
func (h *HeadScanner) Max() int { return h.max }

// Scan checks whether p begins with one whole request head of HTTP/1.1 or 1.0. It follows RFC 9112 sections 2 to 5 strictly, and
// refuses everything that two parsers could read differently. n is the length of the head with its final empty line; these n
// bytes, without the empty lines before the request line (section 2.2), can be given to http.ReadRequest. If n is 0 and there is
// no error, more bytes are needed.
//
// Scan is one pass that stops at the first violation, so the result for a prefix never contradicts the result for the whole. It
// keeps nothing between calls and starts from the beginning each time. If the bytes come in small pieces, call Again first.
func (h *HeadScanner) Scan(p []byte) (n int, err *HeadError) {
	s := headScan{p: p[:min(len(p), h.max)]}
	done, err := s.requestLine()
	if err != nil {
		return 0, err
	}
	lineDone := done
	for done && !s.end {
		if done, err = s.field(); err != nil {
			return 0, err
		}
	}
	switch {
	case done && s.seen&(1<<fieldHost) == 0 && !s.old: // RFC 9112 section 3.2
		return 0, errNoHost
	case done:
		return s.i, nil
	case len(p) < h.max:
		return 0, nil
	case lineDone:
		return 0, h.tooBig // RFC 6585 section 5
	default:
		return 0, h.lineTooLong // RFC 9110 section 15.5.15
	}
}

// Again reports whether another Scan of p is useful, after a Scan of its first seen bytes had no result. It is useful if a line
// has ended since then, or if p has grown by an eighth. So a head of 16 KiB that arrives byte by byte is scanned some 100 times
// instead of 16,384 times (BenchmarkScanHeadDripped: 1.5 ms instead of 86), and a connection does not need to keep the state of a
// scan.
func (h *HeadScanner) Again(p []byte, seen int) bool {
	return len(p) >= h.max || len(p) >= seen+seen/8 || bytes.IndexByte(p[seen:], '\n') >= 0
}

// headScan is one pass over a head. Its methods advance i over the bytes that they accept. A method returns done if it has
// scanned its whole part of the head, or an error if the byte at i is not allowed. If the bytes end before that, it returns
// neither.
type headScan struct {
	p      []byte
	i      int
	fields int
	seen   uint8 // a bit for each field that may occur only once
	path   int   // where the path begins
	old    bool  // the request is HTTP/1.0
	body   bool  // the request may have a body
	end    bool  // the empty line was found
}

// requestLine scans "GET /path HTTP/1.1" CR LF (RFC 9112 section 3), and the empty lines before it (section 2.2).
func (s *headScan) requestLine() (done bool, err *HeadError) {
	for s.i < len(s.p) && s.p[s.i] == '\r' {
		if s.i == 2*maxEmptyLines {
			return false, errNotHTTP
		}
		if s.i+1 == len(s.p) {
			return false, nil
		}
		if s.p[s.i+1] != '\n' {
			return false, errNotHTTP
		}
		s.i += 2
	}
	start := s.i
	for s.i < len(s.p) && isToken(s.p[s.i]) {
		s.i++
	}
	switch {
	case s.i == len(s.p):
		return false, nil
	case s.i == start && start == 0 && s.p[0] == 0x16: // first byte of a TLS record with a handshake (RFC 8446 section 5.1)
		return false, errTLS
	case s.i == start && start == 4 && s.p[start] == 0: // PROXY protocol version 2 begins with CR LF CR LF NUL
		return false, errProxy
	case s.i == start:
		return false, errNotHTTP
	case s.p[s.i] != ' ':
		return false, errRequestLine
	}
	method := s.p[start:s.i]
	s.i++
	if s.i < len(s.p) && s.p[s.i] != '/' && string(method) == "PROXY" { // PROXY protocol version 1: TCP4, TCP6 or UNKNOWN follows
		return false, errProxy
	}
	if done, err = s.target(); !done {
		return false, err
	}
	s.body = string(method) == "POST" && bytes.HasPrefix(s.p[s.path:], []byte(pathWithBody))
	return s.version()
}

// target scans the request target and the space after it. The target is a path with its query (RFC 9112 section 3.2.1), or
// http://HOST followed by a path and its query (section 3.2.2). The other two forms in the RFC are for proxies. Bytes that a
// URI does not allow but that browsers send in a query, such as { and |, are accepted. # is refused, because no client sends a
// fragment.
func (s *headScan) target() (done bool, err *HeadError) {
	if s.i == len(s.p) {
		return false, nil
	}
	if s.p[s.i] != '/' {
		if done, err = s.authority(); !done {
			return false, err
		}
	}
	s.path = s.i
	hexDigits, query := 0, false // hexDigits: digits still missing after a percent sign; query: a question mark came before i
	for ; s.i < len(s.p); s.i++ {
		b := s.p[s.i]
		switch {
		case hexDigits > 0: // RFC 3986 section 2.1
			if !isHex(b) {
				return false, errPercent
			}
			hexDigits--
		case b == '%' && !query: // in a query any use of a percent sign is accepted
			hexDigits = 2
		case b == '?':
			query = true
		case b == ' ':
			s.i++
			return true, nil
		case b == '\r', b == '\n': // HTTP/0.9 had no version after the target
			return false, errRequestLine
		case b < ' ', b >= 0x7f, b == '#':
			return false, errTargetByte
		}
	}
	return false, nil
}

// authority scans http://HOST:PORT, up to the path, the query or the space after it.
func (s *headScan) authority() (done bool, err *HeadError) {
	const scheme = "http://"
	for j := range len(scheme) {
		if s.i == len(s.p) {
			return false, nil
		}
		if lower(s.p[s.i]) != scheme[j] {
			return false, errTargetForm
		}
		s.i++
	}
	start := s.i
	for ; s.i < len(s.p); s.i++ {
		switch b := s.p[s.i]; {
		case b == '/', b == '?', b == ' ':
			if _, _, ok := splitAuthority(string(s.p[start:s.i])); !ok {
				return false, errTargetHost
			}
			return true, nil
		case !isHost(b):
			return false, errTargetHost
		}
	}
	return false, nil
}

// SplitTarget returns the path and the query of a request target that Scan has accepted, as they were on the wire.
func SplitTarget(target string) (path, query string) {
	if !strings.HasPrefix(target, "/") {
		target = target[len("http://"):]
		if i := strings.IndexAny(target, "/?"); i >= 0 {
			target = target[i:]
		} else {
			target = ""
		}
	}
	path, query, _ = strings.Cut(target, "?")
	if path == "" {
		path = "/" // RFC 9110 section 4.2.3
	}
	return path, query
}

// version scans "HTTP/1." DIGIT CR LF (RFC 9112 section 2.3). A higher minor version is treated as the same protocol (RFC 9110
// section 2.5).
func (s *headScan) version() (done bool, err *HeadError) {
	const name = "HTTP/1."
	for j := range len(name) {
		if s.i == len(s.p) {
			return false, nil
		}
		switch {
		case s.p[s.i] == name[j]:
		case j == 0 && s.p[s.i] != 'h':
			return false, errTargetSpace
		default:
			return false, errVersion
		}
		s.i++
	}
	if s.i == len(s.p) {
		return false, nil
	}
	if digit := s.p[s.i]; digit < '0' || digit > '9' {
		return false, errVersion
	}
	s.old = s.p[s.i] == '0'
	s.i++
	return s.lineEnd()
}

// lineEnd scans CR LF. It refuses a bare CR or LF, although RFC 9112 section 2.2 lets a server accept a bare LF: an intermediary
// may see the end of the line at another place.
func (s *headScan) lineEnd() (done bool, err *HeadError) {
	if s.i == len(s.p) {
		return false, nil
	}
	if s.p[s.i] != '\r' {
		return false, errLineEnd
	}
	if s.i+1 == len(s.p) {
		return false, nil
	}
	if s.p[s.i+1] != '\n' {
		return false, errLineEnd
	}
	s.i += 2
	return true, nil
}

// field scans a header field with its CR LF, or the empty line (RFC 9112 section 5).
func (s *headScan) field() (done bool, err *HeadError) {
	if s.i == len(s.p) {
		return false, nil
	}
	switch s.p[s.i] {
	case '\r', '\n':
		s.end, err = s.lineEnd()
		return s.end, err
	case ' ', '\t': // section 5.2
		return false, errFold
	}
	if s.fields++; s.fields > maxFields {
		return false, errManyFields
	}
	start := s.i
	for s.i < len(s.p) && isToken(s.p[s.i]) {
		s.i++
	}
	if s.i == len(s.p) {
		return false, nil
	}
	if b := s.p[s.i]; b == ' ' || b == '\t' { // section 5.1
		return false, errNameSpace
	}
	if s.p[s.i] != ':' || s.i == start {
		return false, errName
	}
	known, err := s.know(s.p[start:s.i])
	if err != nil {
		return false, err
	}
	s.i++
	return s.value(known)
}

// know identifies a field by its name. It refuses a field that is not allowed, and a second field that may occur only once.
func (s *headScan) know(name []byte) (known int, err *HeadError) {
	for known := range knownFields {
		f := &knownFields[known]
		if len(name) != len(f.name) || !equalFold(name, f.name) {
			continue
		}
		switch {
		case known == fieldTransferEncoding && s.body:
			return known, errEncoding
		case known == fieldTransferEncoding, s.seen&(1<<known) != 0:
			return known, f.twice
		}
		s.seen |= 1 << known
		return known, nil
	}
	return fieldOther, nil
}

// value scans a field's value and the CR LF after it. Bytes from 0x80 on are obs-text (RFC 9110 section 5.5) and are accepted,
// because cookies contain them.
func (s *headScan) value(known int) (done bool, err *HeadError) {
	start := s.i
	end := start + valueBytes(s.p[start:])
	s.i = end
	if end < len(s.p) && s.p[end] != '\r' && s.p[end] != '\n' {
		return false, errValue
	}
	if done, err = s.lineEnd(); !done {
		return false, err
	}
	value := bytes.Trim(s.p[start:end], " \t")
	switch known {
	case fieldContentLength:
		switch {
		case string(value) == "0":
		case !s.body:
			return false, errBody
		case !isLength(value):
			return false, errLength
		}
	case fieldHost: // may be empty (RFC 9112 section 3.2), though not in a handshake
		for _, b := range value {
			if !isHost(b) {
				return false, errHost
			}
		}
	}
	return true, nil
}

// isLength reports whether a Content-Length is a number that all parsers read in the same way (RFC 9112 section 6.3): digits only, without
// a zero before them, and small enough for 64 bits.
func isLength(value []byte) bool {
	for _, b := range value {
		if b < '0' || b > '9' {
			return false
		}
	}
	return len(value) > 0 && len(value) < 19 && value[0] != '0'
}

// valueBytes counts the bytes at the beginning of p that a value may contain. Most bytes of a head are in values. So it takes
// eight bytes at a time, as long as all eight are at least a space and not DEL. This makes BenchmarkScanHeadDripped three times
// as fast.
func valueBytes(p []byte) (n int) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(p)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(p[n:])
		del := w ^ 0x7f*ones
		// In each result the top bit of a byte is set if the byte of w is below the subtracted byte. A borrow can set a top bit
		// that should not be set, but it never clears one.
		if ((w-' '*ones)&^w|(del-ones)&^del)&tops != 0 {
			break
		}
	}
	for n < len(p) && (p[n] >= ' ' && p[n] != 0x7f || p[n] == '\t') {
		n++
	}
	return n
}

// isToken reports whether a byte may occur in a method or a field name (RFC 9110 section 5.6.2).
func isToken(b byte) bool {
	const mask = 0 |
		(1<<10-1)<<'0' | (1<<26-1)<<'A' | (1<<26-1)<<'a' |
		1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' |
		1<<'-' | 1<<'.' | 1<<'^' | 1<<'_' | 1<<'`' | 1<<'|' | 1<<'~'
	return inMask(b, mask&(1<<64-1), mask>>64)
}

// isHost reports whether a byte may occur in a host and port (RFC 3986 section 3.2.2, without user information).
func isHost(b byte) bool {
	const mask = 0 |
		(1<<10-1)<<'0' | (1<<26-1)<<'A' | (1<<26-1)<<'a' |
		1<<'-' | 1<<'.' | 1<<'_' | 1<<'~' | 1<<'%' | 1<<':' | 1<<'[' | 1<<']' |
		1<<'!' | 1<<'$' | 1<<'&' | 1<<'\'' | 1<<'(' | 1<<')' | 1<<'*' | 1<<'+' | 1<<',' | 1<<';' | 1<<'='
	return inMask(b, mask&(1<<64-1), mask>>64)
}

// inMask reports whether the bit of b is set in a set of ASCII bytes. A shift by 64 or more gives 0 in Go. So only the half of
// the set that may contain b has an effect, and for b >= 128 neither half has.
func inMask(b byte, low, high uint64) bool {
	return (uint64(1)<<b)&low|(uint64(1)<<(b-64))&high != 0
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'f'
}

// equalFold compares a token with a known name of the same length, without regard to ASCII case.
func equalFold(token []byte, name string) bool {
	for i, b := range token {
		if lower(b) != lower(name[i]) {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
