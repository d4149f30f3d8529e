package websocket

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

const sampleKey = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455 section 1.3

// read scans and parses a head as the server does.
func read(t *testing.T, head string) *http.Request {
	t.Helper()
	if n, err := heads.Scan([]byte(head)); n != len(head) || err != nil {
		t.Fatalf("Scan(%q) = %d, %v", head, n, err)
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestHandshakes(t *testing.T) {
	const upgrade, connection = "Upgrade: websocket\r\n", "Connection: Upgrade\r\n"
	const key, version = "Sec-WebSocket-Key: " + sampleKey + "\r\n", "Sec-WebSocket-Version: 13\r\n"
	for _, test := range []struct {
		name, head string
		want       *HeadError
	}{
		{"a browser's is accepted", browserHead, nil},
		{"the least is accepted", get(upgrade + connection + key + version), nil},
		{"lists and any case are accepted", get("upgrade: foo/2, WebSocket\r\nconnection: keep-alive,\tUPGRADE\r\n" + key + version), nil},
		{"lists over several lines are accepted", get("Connection: keep-alive\r\nConnection: upgrade\r\n" + upgrade + key + version), nil},
		{"a POST", "POST / HTTP/1.1\r\nHost: h\r\n" + upgrade + connection + key + version + "\r\n", errMethod},
		{"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n" + upgrade + connection + key + version + "\r\n", errHandshakeHost},
		{"no Upgrade", get(connection + key + version), errUpgrade},
		{"another Upgrade", get("Upgrade: websocket2\r\n" + connection + key + version), errUpgrade},
		{"no Connection", get(upgrade + key + version), errConnection},
		{"another Connection", get("Connection: close\r\n" + upgrade + key + version), errConnection},
		{"no version", get(upgrade + connection + key), errWebSocket13},
		{"version 8", get(upgrade + connection + key + "Sec-WebSocket-Version: 8\r\n"), errWebSocket13},
		{"a list of versions", get(upgrade + connection + key + "Sec-WebSocket-Version: 13, 8\r\n"), errWebSocket13},
		{"no key", get(upgrade + connection + version), errKey},
		{"an empty key", get(upgrade + connection + version + "Sec-WebSocket-Key:\r\n"), errKey},
		{"a key of 15 bytes", get(upgrade + connection + version + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n"), errKey},
		{"a key of 17 bytes", get(upgrade + connection + version + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n"), errKey},
		{"a key of 18 bytes", get(upgrade + connection + version + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA\r\n"), errKey},
		{"a key without padding", get(upgrade + connection + version + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"), errKey},
		{"a key in two forms", get(upgrade + connection + version + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n"), errKey},
		{"a key that is not base64", get(upgrade + connection + version + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==\r\n"), errKey},
		{"two keys in one field", get(upgrade + connection + version + "Sec-WebSocket-Key: " + sampleKey + ", " + sampleKey + "\r\n"), errKey},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := read(t, test.head)
			if !IsUpgrade(r.Header) {
				t.Error("not taken for a handshake")
			}
			if got := CheckHandshake(r); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestHandshakeOverHTTP10IsRefused(t *testing.T) {
	r := read(t, browserHead)
	r.ProtoMinor = 0
	if got := CheckHandshake(r); got != errHTTP10 {
		t.Errorf("got %v, want %v", got, errHTTP10)
	}
}

func TestOrdinaryRequestsAreNoHandshakes(t *testing.T) {
	for _, fields := range []string{"", "Connection: Upgrade\r\n", "Upgrade: h2c\r\n", "Upgrade: not-websocket\r\n", "Sec-Fetch-Mode: cors\r\n"} {
		if IsUpgrade(read(t, get(fields)).Header) {
			t.Errorf("%q was taken for a handshake", fields)
		}
	}
}

func TestAcceptKeyIsTheOneOfTheRFC(t *testing.T) {
	if got, want := AcceptKey(sampleKey), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSwitchingProtocolsNegotiatesNoExtension(t *testing.T) {
	for _, subprotocol := range []string{"", "dots.v2"} {
		wire := AppendSwitchingProtocols([]byte{}, sampleKey, subprotocol)
		rest := bufio.NewReader(bytes.NewReader(append(wire, "frame"...)))
		resp, err := http.ReadResponse(rest, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		h := resp.Header
		if resp.StatusCode != 101 || h.Get("Upgrade") != "websocket" || h.Get("Connection") != "Upgrade" ||
			h.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Errorf("got %q", wire)
		}
		if _, offered := h["Sec-Websocket-Protocol"]; h.Get("Sec-WebSocket-Protocol") != subprotocol || offered != (subprotocol != "") {
			t.Errorf("got %q, want subprotocol %q", wire, subprotocol)
		}
		if h.Get("Sec-WebSocket-Extensions") != "" {
			t.Errorf("an extension was negotiated: %q", wire)
		}
		if left, _ := io.ReadAll(rest); string(left) != "frame" {
			t.Errorf("the response ends in %q", left)
		}
	}
}

func TestRefusalsAreWholeResponses(t *testing.T) {
	for _, test := range []struct {
		err   *HeadError
		field string
		want  string
	}{
		{errMethod, "Allow", "GET"},
		{errWebSocket13, "Sec-WebSocket-Version", "13"},
		{errWebSocket13, "Upgrade", "websocket"},
		{&HeadError{503, "the server has reached its limit of connections"}, "Retry-After", "5"},
		{&HeadError{403, "this origin is not allowed"}, "Retry-After", ""},
		{&HeadError{408, "the request took too long"}, "Content-Type", "text/plain; charset=utf-8"},
		{&HeadError{599, "no name for this"}, "Cache-Control", "no-store"},
		{heads.lineTooLong, "Sec-WebSocket-Version", ""},
		{heads.tooBig, "Allow", ""},
	} {
		wire := AppendRefusal(nil, test.err)
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(wire)), nil)
		if err != nil {
			t.Fatalf("%q: %v", wire, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != test.err.Status || string(body) != test.err.Text+"\n" || !resp.Close {
			t.Errorf("%v: got %q (%v)", test.err, wire, err)
		}
		if resp.ContentLength != int64(len(body)) {
			t.Errorf("%v: length %d, want %d", test.err, resp.ContentLength, len(body))
		}
		if got := resp.Header.Get(test.field); got != test.want {
			t.Errorf("%v: %s is %q, want %q", test.err, test.field, got, test.want)
		}
		connection := "\r\nConnection: close\r\n" // net/http removes this field from the header
		if test.err.Status == http.StatusUpgradeRequired {
			connection = "\r\nConnection: close, Upgrade\r\n"
		}
		if !strings.Contains(string(wire), connection) {
			t.Errorf("%q lacks %q", wire, connection)
		}
		if !strings.Contains(test.err.Error(), test.err.Text) {
			t.Errorf("%v does not contain %q", test.err, test.err.Text)
		}
	}
}
