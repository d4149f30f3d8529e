package client

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// maxResponseBytes limits the head of the server's HTTP answer.
const maxResponseBytes = 16 << 10

var headEnd = []byte("\r\n\r\n")

// key is a Sec-WebSocket-Key and the Sec-WebSocket-Accept that a server must
// send in its answer.
type key struct{ text, accept string }

// newKey makes a random key (RFC 6455 section 4.1). All connections of an
// engine share one key: the key guards against caches, not against attackers.
func newKey() key {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never returns an error
	text := base64.StdEncoding.EncodeToString(b[:])
	sum := sha1.Sum([]byte(text + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return key{text, base64.StdEncoding.EncodeToString(sum[:])}
}

// appendRequest appends the HTTP request for the path to dst.
func (k key) appendRequest(dst []byte, to Target, path string) []byte {
	return fmt.Appendf(dst, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
		path, to.Host, k.text)
}

// RequestBytes returns the length of the request for the path. Callers of
// DialCut need it.
func (e *Engine) RequestBytes(path string) int {
	return len(e.key.appendRequest(nil, e.cfg.Target, path))
}

// rejected is the error for an HTTP answer other than 101.
type rejected struct {
	status int
	text   string
}

func (r rejected) Error() string { return fmt.Sprintf("HTTP %d: %s", r.status, r.text) }

// parseResponse parses the head of the server's answer. It returns the length
// of the head, or 0 if b ends before the head does.
func parseResponse(b []byte, accept string) (int, error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		if len(b) > maxResponseBytes {
			return 0, errors.New("response head is too long")
		}
		return 0, nil
	}
	head, body := string(b[:end]), b[end+len(headEnd):]
	status, fields, _ := strings.Cut(head, "\r\n")
	var code int
	if _, err := fmt.Sscanf(status, "HTTP/1.1 %d", &code); err != nil {
		return 0, fmt.Errorf("not an HTTP/1.1 answer: %.60q", status)
	}
	if code != 101 {
		text, _, _ := bytes.Cut(body, []byte("\n"))
		return 0, rejected{code, string(text[:min(len(text), 120)])}
	}
	if err := checkUpgrade(fields, accept); err != nil {
		return 0, err
	}
	return end + len(headEnd), nil
}

// checkUpgrade checks the header fields of a 101, as RFC 6455 section 4.1
// requires of a client.
func checkUpgrade(fields, accept string) error {
	var upgrade, connection, accepted bool
	for line := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "upgrade":
			upgrade = strings.EqualFold(value, "websocket")
		case "connection":
			connection = strings.Contains(strings.ToLower(value), "upgrade")
		case "sec-websocket-accept":
			accepted = value == accept
		case "sec-websocket-extensions", "sec-websocket-protocol":
			return fmt.Errorf("the server chose a %s that the client did not offer", name)
		}
	}
	if !upgrade || !connection || !accepted {
		return fmt.Errorf("the 101 has no valid Upgrade, Connection or Sec-WebSocket-Accept")
	}
	return nil
}
