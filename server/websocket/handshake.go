package websocket

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 requires SHA-1; it protects no secret.
	"encoding/base64"
	"net/http"
	"strings"
)

// The errors of CheckHandshake.
var (
	errMethod        = &HeadError{http.StatusMethodNotAllowed, "a WebSocket handshake must be a GET"}
	errHTTP10        = &HeadError{http.StatusBadRequest, "a WebSocket handshake needs HTTP/1.1, and this request came with HTTP/1.0; " + nginxLines}
	errHandshakeHost = &HeadError{http.StatusBadRequest, "a WebSocket handshake needs a Host field"}
	errUpgrade       = &HeadError{http.StatusBadRequest, "a WebSocket handshake needs the field Upgrade: websocket; " + nginxLines}
	errConnection    = &HeadError{http.StatusBadRequest, "a WebSocket handshake needs the field Connection: Upgrade; " + nginxLines}
	errKey           = &HeadError{http.StatusBadRequest, "a WebSocket handshake needs one Sec-WebSocket-Key, 16 bytes in base64"}
	errWebSocket13   = &HeadError{http.StatusUpgradeRequired, "this server speaks only WebSocket version 13"}
)

// nginxLines is advice for a handshake whose fields a proxy has removed. By default nginx removes them.
const nginxLines = `if nginx is in front, its location needs: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; ` +
	`proxy_set_header Connection "upgrade"; proxy_set_header Host $http_host;`

// keySize is the length of 16 bytes in base64.
const keySize = 24

// IsUpgrade reports whether a request asks for a WebSocket: it has an Upgrade field or any Sec-WebSocket field. So the answer
// to a broken handshake is a refusal of CheckHandshake with a reason, and not a page.
func IsUpgrade(h http.Header) bool {
	if hasToken(h["Upgrade"], "websocket") {
		return true
	}
	const prefix = "Sec-Websocket-" // the spelling of net/http
	for name := range h {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// CheckHandshake checks a client's opening handshake (RFC 6455 section 4.2.1) and returns nil if it may be accepted. It checks
// the version before the key, because another version might use other keys.
func CheckHandshake(r *http.Request) *HeadError {
	switch h := r.Header; {
	case r.Method != http.MethodGet:
		return errMethod
	case !r.ProtoAtLeast(1, 1):
		return errHTTP10
	case r.Host == "":
		return errHandshakeHost
	case !hasToken(h["Upgrade"], "websocket"):
		return errUpgrade
	case !hasToken(h["Connection"], "upgrade"):
		return errConnection
	case len(h["Sec-Websocket-Version"]) != 1 || h["Sec-Websocket-Version"][0] != "13":
		return errWebSocket13
	case len(h["Sec-Websocket-Key"]) != 1 || !validKey(h["Sec-Websocket-Key"][0]):
		return errKey
	default:
		return nil
	}
}

// validKey reports whether key is the one valid base64 form of 16 bytes (RFC 6455 section 4.1). The strict decoder also refuses
// bits that are set after the last byte. The check of the length refuses line breaks, which the decoder would skip.
func validKey(key string) bool {
	var nonce [18]byte // 24 base64 digits decode to at most 18 bytes
	if len(key) != keySize {
		return false
	}
	n, err := base64.StdEncoding.Strict().Decode(nonce[:], []byte(key))
	return err == nil && n == 16
}

// AcceptKey returns the value of Sec-WebSocket-Accept for a client's key (RFC 6455 section 4.2.2).
func AcceptKey(key string) string {
	return string(appendAcceptKey(nil, key))
}

func appendAcceptKey(dst []byte, key string) []byte {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	var room [keySize + len(guid)]byte
	sum := sha1.Sum(append(append(room[:0], key...), guid...)) //nolint:gosec // see the import
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// AppendSwitchingProtocols appends the whole response that accepts a handshake (RFC 6455 section 4.2.2). key is the client's key;
// subprotocol is one that the client offered, or "" for none.
//
// No extension is ever negotiated, in particular not permessage-deflate (RFC 7692). With context takeover, that extension needs
// at least 64 KiB of memory for each connection, while a Parser has 64 bytes. Each member would need a frame of its own, but
// without the extension one encoded frame is enough for a whole room. And if the message of one user is compressed together
// with another user's secret, the length of the result leaks the secret (CRIME, BREACH).
func AppendSwitchingProtocols(dst []byte, key, subprotocol string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = appendAcceptKey(dst, key)
	if subprotocol != "" {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, subprotocol...)
	}
	return append(dst, "\r\n\r\n"...)
}

// ValidToken reports whether text can be the name of a subprotocol (RFC 9110 section 5.6.2).
func ValidToken(text string) bool {
	for i := range len(text) {
		if !isToken(text[i]) {
			return false
		}
	}
	return text != ""
}

// Offered lists the subprotocols that a client offers, in the client's order of preference (RFC 6455 section 11.3.4).
func Offered(h http.Header) (names []string) {
	for _, field := range h["Sec-Websocket-Protocol"] {
		for item := range strings.SplitSeq(field, ",") {
			if item = strings.Trim(item, " \t"); item != "" {
				names = append(names, item)
			}
		}
	}
	return names
}

// hasToken reports whether a list contains a token, ignoring case. The list may be spread over several fields (RFC 9110 section
// 5.3).
func hasToken(fields []string, token string) bool {
	for _, field := range fields {
		for item := range strings.SplitSeq(field, ",") {
			if strings.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}
