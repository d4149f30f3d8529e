package websocket

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// browserHead is a head as Chrome sends it, with a path, cookies and proxy fields of usual length.
const browserHead = "GET /ws/chat/lobby/?v=2&since=01J8ZQ HTTP/1.1\r\n" +
	"Host: dots.example.com\r\n" +
	"Connection: Upgrade\r\n" +
	"Pragma: no-cache\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\n" +
	"Origin: https://dots.example.com\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7\r\n" +
	"Cookie: session=5f4dcc3b5aa765d61d8327deb882cf99; theme=dark\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" +
	"X-Forwarded-For: 203.0.113.7\r\n" +
	"\r\n"

// heads is the scanner that the tests use.
var heads = NewHeadScanner(DefaultMaxHead)

// get returns a head with the given fields after the Host field. Each field must end in CR LF.
func get(fields string) string {
	return "GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n"
}

func TestScanHeadAcceptsOneHead(t *testing.T) {
	for _, test := range []struct{ name, head string }{
		{"a browser's handshake", browserHead},
		{"the least that is a request", "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
		{"another method, judged later", "DELETE /api/rooms/x HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"a higher minor version", "GET / HTTP/1.2\r\nHost: h\r\n\r\n"},
		{"a body of no bytes", get("Content-Length: 0\r\n")},
		{"a body for a room", "POST /chat/a/?x HTTP/1.1\r\nHost: h\r\nContent-Length: 123456789012345678\r\n\r\n"},
		{"a body for a room in absolute form", "POST http://h:80/chat/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"},
		{"any case of names, and space around values", "GET / HTTP/1.1\r\nhOST: \t h:80 \t\r\nconnection:close\r\n\r\n"},
		{"an IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"},
		{"an empty value and a tab", get("A:\r\nB: x\ty\r\n")},
		{"bytes beyond ASCII in a value", get("Cookie: n=\xff\xc3\xa4\r\n")},
		{"lists over several lines", get("Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: a\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\nSec-WebSocket-Extensions: x\r\nSec-WebSocket-Extensions: y\r\n")},
		{"percent-encoding", "GET /a%2Fb%20c%C3%A4?q=%zz&{|}^` HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"a path of two slashes", "GET //other.example/x HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"absolute form", "GET http://other.example:8000/ws/chat/x/?v=1 HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"absolute form with an IPv6 address", "GET HTTP://[::1]:80/x HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"absolute form without a path", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"absolute form with a query alone", "GET http://h?a=b HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"HTTP/1.0", "GET /healthz HTTP/1.0\r\n\r\n"},
		{"HTTP/1.0 with a Host", "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"},
		{"an empty line before the request line", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"four empty lines before the request line", strings.Repeat("\r\n", 4) + "GET / HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"100 fields", get(strings.Repeat("A: b\r\n", 99))},
		{"16,384 bytes", get("A: " + strings.Repeat("x", DefaultMaxHead-len(get("A: \r\n"))) + "\r\n")},
		{"16,384 bytes, most of them in the request line", "GET /" + strings.Repeat("x", DefaultMaxHead-len("GET / HTTP/1.1\r\nHost: h\r\n\r\n")) + " HTTP/1.1\r\nHost: h\r\n\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, after := range []string{"", "GET / HTTP/1.1\r\n", "\x81\x80", strings.Repeat("\x00", DefaultMaxHead)} {
				if n, err := heads.Scan([]byte(test.head + after)); n != len(test.head) || err != nil {
					t.Errorf("with %d bytes after it: got %d, %v, want %d", len(after), n, err, len(test.head))
				}
			}
			for i := range len(test.head) {
				if n, err := heads.Scan([]byte(test.head[:i])); n != 0 || err != nil {
					t.Fatalf("first %d bytes: got %d, %v, want more to be asked for", i, n, err)
				}
			}
			checkReadable(t, []byte(test.head))
		})
	}
}

func TestScanHeadRefusesAtTheFirstByteThatShowsIt(t *testing.T) {
	for _, test := range []struct {
		name string
		head string // ends with that byte
		want *HeadError
	}{
		{"a TLS hello", "\x16", errTLS},
		{"a NUL", "\x00", errNotHTTP},
		{"a CR", "\rG", errNotHTTP},
		{"version 1 of the PROXY protocol", "PROXY T", errProxy},
		{"version 1 of the PROXY protocol, from a health check", "PROXY U", errProxy},
		{"version 2 of the PROXY protocol", "\r\n\r\n\x00", errProxy},
		{"a NUL after an empty line", "\r\n\x00", errNotHTTP},
		{"a fifth empty line", strings.Repeat("\r\n", 4) + "\r", errNotHTTP}, // each empty line would cause another scan
		{"a space", " ", errNotHTTP},
		{"an unmasked WebSocket frame", "\x81", errNotHTTP},
		{"a line that is not a request line", "hello\r", errRequestLine},
		{"a method with a colon", "GET:", errRequestLine},
		{"two spaces", "GET  ", errTargetForm},
		{"a target with a host", "GET ho", errTargetForm},
		{"a target by another scheme", "GET w", errTargetForm},
		{"a target by https", "GET https", errTargetForm},
		{"a target without a host", "GET http:///", errTargetHost},
		{"a target with a user", "GET http://u@", errTargetHost},
		{"a target with a bad port", "GET http://h:x/", errTargetHost},
		{"a target with an address that is none", "GET http://[::x]/", errTargetHost},
		{"a star", "OPTIONS *", errTargetForm},
		{"no version", "GET /\r", errRequestLine},
		{"no version and a bare LF", "GET /\n", errRequestLine},
		{"a NUL in the target", "GET /\x00", errTargetByte},
		{"a tab in the target", "GET /\t", errTargetByte},
		{"a DEL in the target", "GET /\x7f", errTargetByte},
		{"raw UTF-8 in the target", "GET /caf\xc3", errTargetByte},
		{"raw UTF-8 in the query", "GET /?caf\xc3", errTargetByte},
		{"a fragment in the target", "GET /#", errTargetByte},
		{"a percent sign alone", "GET /% ", errPercent},
		{"half a percent-encoding", "GET /%4g", errPercent},
		{"a space in the target", "GET /a b", errTargetSpace},
		{"another protocol", "GET / HTTPS", errVersion},
		{"a small http", "GET / h", errVersion},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", errNoHost},
		{"HTTP/2", "GET / HTTP/2", errVersion},
		{"HTTP/2 with prior knowledge", "PRI *", errTargetForm},
		{"a version without a digit", "GET / HTTP/1.x", errVersion},
		{"a version of two digits", "GET / HTTP/1.11", errLineEnd},
		{"a space after the version", "GET / HTTP/1.1 ", errLineEnd},
		{"a bare LF after the request line", "GET / HTTP/1.1\n", errLineEnd},
		{"a bare CR after the request line", "GET / HTTP/1.1\rH", errLineEnd},

		{"a space before the first field", "GET / HTTP/1.1\r\n ", errFold},
		{"a folded field", "GET / HTTP/1.1\r\nA: b\r\n\t", errFold},
		{"a space before the colon", "GET / HTTP/1.1\r\nHost ", errNameSpace},
		{"a tab before the colon", "GET / HTTP/1.1\r\nHost\t", errNameSpace},
		{"a field without a name", "GET / HTTP/1.1\r\n:", errName},
		{"a field without a colon", "GET / HTTP/1.1\r\nHost\r", errName},
		{"a name with a slash", "GET / HTTP/1.1\r\nA/", errName},
		{"a name beyond ASCII", "GET / HTTP/1.1\r\nH\xc3", errName},
		{"a NUL in a name", "GET / HTTP/1.1\r\n\x00", errName},
		{"a NUL in a value", "GET / HTTP/1.1\r\nA: \x00", errValue},
		{"an escape in a value", "GET / HTTP/1.1\r\nA: \x1b", errValue},
		{"a DEL in a value", "GET / HTTP/1.1\r\nA: \x7f", errValue},
		{"a bare LF after a field", "GET / HTTP/1.1\r\nA: b\n", errLineEnd},
		{"a bare CR in a field", "GET / HTTP/1.1\r\nA: b\rc", errLineEnd},
		{"a bare LF for the empty line", "GET / HTTP/1.1\r\nHost: h\r\n\n", errLineEnd},
		{"a bare CR for the empty line", "GET / HTTP/1.1\r\nHost: h\r\n\rx", errLineEnd},

		{"no Host", "GET / HTTP/1.1\r\nA: b\r\n\r\n", errNoHost},
		{"no field at all", "GET / HTTP/1.1\r\n\r\n", errNoHost},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost:", knownFields[fieldHost].twice},
		{"a Host with a user", "GET / HTTP/1.1\r\nHost: u@h\r\n", errHost},
		{"a Host with a path", "GET / HTTP/1.1\r\nHost: h/x\r\n", errHost},
		{"a Host of two words", "GET / HTTP/1.1\r\nHost: a b\r\n", errHost},
		{"a Host beyond ASCII", "GET / HTTP/1.1\r\nHost: h\xc3\r\n", errHost},
		{"two keys", "GET / HTTP/1.1\r\nSec-WebSocket-Key: a\r\nsec-websocket-key:", knownFields[fieldKey].twice},
		{"two versions", "GET / HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Version:", knownFields[fieldVersion].twice},
		{"two Origins", "GET / HTTP/1.1\r\nOrigin: a\r\nA: b\r\nORIGIN:", knownFields[fieldOrigin].twice},
		{"a body", "POST / HTTP/1.1\r\nContent-Length: 5\r\n", errBody},
		{"a length that is not 0 to every reader", "POST / HTTP/1.1\r\nContent-Length: +0\r\n", errBody},
		{"a list of lengths", "POST / HTTP/1.1\r\nContent-Length: 0, 0\r\n", errBody},
		{"an empty length", "POST / HTTP/1.1\r\nContent-Length:\r\n", errBody},
		{"two lengths", "POST / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length:", knownFields[fieldContentLength].twice},
		{"chunks", "POST / HTTP/1.1\r\nTransfer-Encoding:", errBody},
		{"a length and chunks", "POST / HTTP/1.1\r\nContent-Length: 0\r\ntransfer-encoding:", errBody},
		{"a body of another method", "PUT /chat/a HTTP/1.1\r\nContent-Length: 5\r\n", errBody},
		{"a body at an address like that of a room", "POST /chats/a HTTP/1.1\r\nContent-Length: 5\r\n", errBody},
		{"a body at an encoded address", "POST /%63hat/a HTTP/1.1\r\nContent-Length: 5\r\n", errBody},
		{"a body with the address in the query", "POST /?/chat/ HTTP/1.1\r\nContent-Length: 5\r\n", errBody},
		{"a body with the address in the host", "POST http://chat HTTP/1.1\r\nContent-Length: 5\r\n", errBody},
		{"chunks to a room", "POST /chat/a HTTP/1.1\r\nTransfer-Encoding:", errEncoding},
		{"a length and chunks to a room", "POST /chat/a HTTP/1.1\r\nContent-Length: 5\r\ntransfer-encoding:", errEncoding},
		{"two lengths to a room", "POST /chat/a HTTP/1.1\r\nContent-Length: 5\r\nContent-Length:", knownFields[fieldContentLength].twice},
		{"a signed length to a room", "POST /chat/a HTTP/1.1\r\nContent-Length: +5\r\n", errLength},
		{"an octal length to a room", "POST /chat/a HTTP/1.1\r\nContent-Length: 010\r\n", errLength},
		{"an empty length to a room", "POST /chat/a HTTP/1.1\r\nContent-Length:\r\n", errLength},
		{"a length of 19 digits", "POST /chat/a HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n", errLength},
		{"101 fields", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A: b\r\n", 99) + "A", errManyFields},
		{"a head of 16,384 bytes without end", get("A: " + strings.Repeat("x", DefaultMaxHead))[:DefaultMaxHead], heads.tooBig},
		{"a head of 16,384 bytes that lacks its last", get("A: " + strings.Repeat("x", DefaultMaxHead+1-len(get("A: \r\n"))) + "\r\n")[:DefaultMaxHead], heads.tooBig},
		{"a request line without end", "GET /" + strings.Repeat("x", DefaultMaxHead-5), heads.lineTooLong},
		{"a method without end", strings.Repeat("x", DefaultMaxHead), heads.lineTooLong},
		{"a request line whose LF is byte 16,385", "GET /" + strings.Repeat("x", DefaultMaxHead-15) + " HTTP/1.1\r", heads.lineTooLong},
	} {
		t.Run(test.name, func(t *testing.T) {
			if n, err := heads.Scan([]byte(test.head)); n != 0 || err != test.want {
				t.Errorf("got %d, %v, want %v", n, err, test.want)
			}
			if n, err := heads.Scan([]byte(test.head + "\r\n\r\n more")); n != 0 || err != test.want {
				t.Errorf("with more bytes: got %d, %v, want %v", n, err, test.want)
			}
			for i := range len(test.head) {
				if n, err := heads.Scan([]byte(test.head[:i])); n != 0 || err != nil {
					t.Fatalf("first %d bytes: got %d, %v, want more to be asked for", i, n, err)
				}
			}
		})
	}
}

func TestScanHeadRefusesAMegabyteWithoutReadingIt(t *testing.T) {
	line := []byte("GET /" + strings.Repeat("x", 1<<20))
	if _, err := heads.Scan(line); err != heads.lineTooLong {
		t.Errorf("got %v, want %v", err, heads.lineTooLong)
	}
	head := append([]byte("GET / HTTP/1.1\r\nHost: h\r\nA: "), line...)
	if _, err := heads.Scan(head); err != heads.tooBig {
		t.Errorf("got %v, want %v", err, heads.tooBig)
	}
}

func TestScanHeadFindsControlBytesAnywhereInAValue(t *testing.T) {
	for _, around := range []byte{' ', '!', 'x', 0x7e, 0x80, 0xff, '\t'} {
		for b := range 256 {
			for at := range 20 {
				value := bytes.Repeat([]byte{around}, 20)
				value[at] = byte(b)
				want := len(value)
				if b < ' ' && b != '\t' || b == 0x7f {
					want = at
				}
				if got := valueBytes(value); got != want {
					t.Fatalf("%x: got %d bytes, want %d", value, got, want)
				}
			}
		}
	}
}

// A head that arrives byte by byte is scanned only a few times, and is found complete at its last byte.
func TestADrippedHeadIsScannedSeldom(t *testing.T) {
	for _, head := range []string{
		browserHead, "GET /" + strings.Repeat("x", 15000) + " HTTP/1.1\r\nHost: h\r\n\r\n", get("Cookie: " + strings.Repeat("x", 16000) + "\r\n"),
		get(strings.Repeat("A: "+strings.Repeat("x", 150)+"\r\n", 99)), get("A: " + strings.Repeat("x\t", 8000) + "\r\n"),
	} {
		p, scans, seen := []byte(head), 0, 0
		for i := 1; i <= len(p); i++ {
			if !heads.Again(p[:i], seen) {
				continue
			}
			scans++
			n, err := heads.Scan(p[:i])
			if err != nil || n > 0 && n != len(p) || i == len(p) && n == 0 {
				t.Fatalf("first %d of %d bytes: %d, %v", i, len(p), n, err)
			}
			seen = i
		}
		if seen != len(p) || scans > 200 {
			t.Errorf("a head of %d bytes was scanned %d times, at last with %d bytes, want at most 200", len(p), scans, seen)
		}
	}
}

func TestScanHeadAllocatesNothing(t *testing.T) {
	good, bad := []byte(browserHead), []byte("GET / HTTP/1.1\r\nHost : h\r\n\r\n")
	if got := testing.AllocsPerRun(100, func() {
		_, _ = heads.Scan(good)
		_, _ = heads.Scan(bad)
	}); got != 0 {
		t.Errorf("got %v allocations", got)
	}
}

// checkReadable checks that net/http reads an accepted head as a request without a body, and nothing behind it.
func checkReadable(t *testing.T, head []byte) {
	t.Helper()
	const after = "behind"
	rest := bufio.NewReader(io.MultiReader(bytes.NewReader(bytes.TrimLeft(head, "\r\n")), strings.NewReader(after)))
	r, err := http.ReadRequest(rest)
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", head, err)
	}
	mayHaveBody := r.Method == http.MethodPost && strings.HasPrefix(r.URL.EscapedPath(), pathWithBody)
	if r.ContentLength != 0 && (r.ContentLength < 0 || !mayHaveBody) || len(r.TransferEncoding) != 0 || !r.ProtoAtLeast(1, 0) {
		t.Errorf("%q: length %d, encoding %v, %s", head, r.ContentLength, r.TransferEncoding, r.Proto)
	}
	if left, _ := io.ReadAll(rest); string(left) != after {
		t.Errorf("%q: net/http left %q", head, left)
	}
	path, query := SplitTarget(r.RequestURI)
	if path == "" || path[0] != '/' || strings.Contains(path, "?") || query != r.URL.RawQuery {
		t.Errorf("target %q: path %q, query %q, want %q", r.RequestURI, path, query, r.URL.RawQuery)
	}
	_, _ = IsUpgrade(r.Header), CheckHandshake(r)
}

// FuzzScanHead checks that net/http reads every accepted head to the same end, and that a result for a prefix of a head is also
// the result for the whole head.
func FuzzScanHead(f *testing.F) {
	for _, head := range []string{
		browserHead, get(""), get("Content-Length: 0\r\n"), get("Transfer-Encoding: chunked\r\n"), get("Host: again\r\n"),
		"POST /a%20b?c HTTP/1.1\r\nHost: [::1]:80\r\nA:\tb \r\n\r\n\x81\x80", "GET / HTTP/1.0\r\n\r\n", "\r\nGET http://a:1?b HTTP/1.0\r\n\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "\x16\x03\x01\x02\x00",
		"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", "GET / HTTP/1.1\nHost: h\n\n",
	} {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		n, err := heads.Scan(p)
		if n < 0 || n > len(p) || n > heads.Max() || n > 0 && err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
		if n > 0 {
			checkReadable(t, p[:n])
		}
		decided := false
		for i := range min(len(p), 2048) {
			got, gotErr := heads.Scan(p[:i])
			if final := got != 0 || gotErr != nil; final && (got != n || gotErr != err) || decided && !final {
				t.Fatalf("first %d bytes of %q: got %d, %v; all: %d, %v", i, p, got, gotErr, n, err)
			} else if decided = final; n > 0 && final != (i >= n) {
				t.Fatalf("head of %d bytes: with %d bytes found is %v", n, i, final)
			}
		}
	})
}
