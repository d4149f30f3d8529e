package websocket

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 names SHA-1; nothing secret rests on it.
	"encoding/base64"
	"net/http"
	"strings"
)

// What CheckHandshake can find wrong.
var (
	errMethod        = &HeadError{http.StatusMethodNotAllowed, "a WebSocket handshake must be a GET"}
	errHTTP10        = &HeadError{http.StatusBadRequest, "a WebSocket handshake needs HTTP/1.1, and this request came with HTTP/1.0; " + nginxLines}
	errHandshakeHost = &HeadError{http.StatusBadRequest, "a WebSocket handshake needs a Host field"}
	errUpgrade       = &HeadError{http.StatusBadRequest, "a WebSocket handshake needs the field Upgrade: websocket; " + nginxLines}
	errConnection    = &HeadError{http.StatusBadRequest, "a WebSocket handshake needs the field Connection: Upgrade; " + nginxLines}
	errKey           = &HeadError{http.StatusBadRequest, "a WebSocket handshake needs one Sec-WebSocket-Key, 16 bytes in base64"}
	errWebSocket13   = &HeadError{http.StatusUpgradeRequired, "only WebSocket version 13 is spoken here"}
)

// nginxLines is what a proxy needs that keeps the fields of a handshake to itself: nginx does, unless it is told.
const nginxLines = `if nginx is in front, its location needs: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; ` +
	`proxy_set_header Connection "upgrade"; proxy_set_header Host $http_host;`

// keySize is the length of 16 bytes in base64.
const keySize = 24

// IsUpgrade reports whether a request asks for a WebSocket: by its Upgrade field or by any Sec-WebSocket field. The latter
// so that a broken handshake is refused by CheckHandshake with a reason, rather than answered with a page.
func IsUpgrade(h http.Header) bool {
	if hasToken(h["Upgrade"], "websocket") {
		return true
	}
	const prefix = "Sec-Websocket-" // as net/http writes it
	for name := range h {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// CheckHandshake judges a client's opening handshake (RFC 6455 section 4.2.1) and returns nil if it may be accepted. The
// version is judged before the key, because another version might have other keys.
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

// validKey reports whether key is the one base64 form of 16 bytes (RFC 6455 section 4.1). Strict also refuses set bits
// behind the last byte; the length refuses line breaks, which the decoder would skip.
func validKey(key string) bool {
	var nonce [18]byte // room for what 24 digits could hold
	if len(key) != keySize {
		return false
	}
	n, err := base64.StdEncoding.Strict().Decode(nonce[:], []byte(key))
	return err == nil && n == 16
}

// AcceptKey is the value of Sec-WebSocket-Accept for a client's key (RFC 6455 section 4.2.2).
func AcceptKey(key string) string {
	return string(appendAcceptKey(nil, key))
}

func appendAcceptKey(dst []byte, key string) []byte {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	var room [keySize + len(guid)]byte
	sum := sha1.Sum(append(append(room[:0], key...), guid...)) //nolint:gosec // see the import
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// AppendSwitchingProtocols appends the whole response that accepts a handshake (RFC 6455 section 4.2.2). key is the
// client's; subprotocol is one that the client offered, or "" for none.
//
// No extension is ever negotiated, permessage-deflate (RFC 7692) least of all. With context takeover it costs from 64 KiB of
// memory for each connection, against 64 bytes of Parser; each member would need a frame of its own, where now one encoded
// frame serves a whole room; and compressing what one user wrote together with another's secret leaks the secret by its
// length (CRIME, BREACH).
func AppendSwitchingProtocols(dst []byte, key, subprotocol string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = appendAcceptKey(dst, key)
	if subprotocol != "" {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, subprotocol...)
	}
	return append(dst, "\r\n\r\n"...)
}

// ValidToken reports whether text may be the name of a subprotocol (RFC 9110 section 5.6.2).
func ValidToken(text string) bool {
	for i := range len(text) {
		if !isToken(text[i]) {
			return false
		}
	}
	return text != ""
}

// Offered lists the subprotocols that a client offers, in the order of its preference (RFC 6455 section 11.3.4).
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

// hasToken reports whether a list that may stretch over several fields (RFC 9110 section 5.3) holds a token, without regard
// to case.
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
