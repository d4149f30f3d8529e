package websocket

import (
	"net/http"
	"strconv"
)

// HeadError is the refusal of a request. Text is one short line that tells the client what is wrong.
type HeadError struct {
	Status int // HTTP status
	Text   string
}

func (e *HeadError) Error() string {
	return "websocket: HTTP " + strconv.Itoa(e.Status) + ": " + e.Text
}

// AppendRefusal appends a whole HTTP response that refuses a request. The connection must be closed after it. The response has
// the fields that its status requires: the allowed methods with 405, the protocols with 426 (RFC 9110 sections 15.5.6 and
// 15.5.22, RFC 6455 section 4.4), and the time after which to try again with 503.
func AppendRefusal(dst []byte, e *HeadError) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(e.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(e.Status)...)
	switch e.Status {
	case http.StatusUpgradeRequired:
		dst = append(dst, "\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"...)
	case http.StatusMethodNotAllowed:
		dst = append(dst, "\r\nConnection: close\r\nAllow: GET\r\n"...)
	case http.StatusServiceUnavailable:
		dst = append(dst, "\r\nConnection: close\r\nRetry-After: 5\r\n"...)
	default:
		dst = append(dst, "\r\nConnection: close\r\n"...)
	}
	// A cache may keep some refusals unless the response forbids it (RFC 9110 section 15.1).
	dst = append(dst, "Cache-Control: no-store\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(e.Text)+1), 10)
	dst = append(dst, "\r\n\r\n"...)
	dst = append(dst, e.Text...)
	return append(dst, '\n')
}
