package server

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"dotsconnect/loop"
)

// Plain HTTP on the port for clients: the page, /healthz, and 404. Requests have no bodies, so a request is complete with its
// head. A standard http.Handler answers it into memory, at once (this takes tens of microseconds, see BenchmarkPage), so that a
// client that has already sent FIN also gets its answer. The bytes of the answer are the connection's last words. The
// descriptor is never handed over to net/http, because net/http would need a duplicate of it. The duplicate would keep the
// registration with epoll alive after the original descriptor was closed.

// servePage answers a request with a page.
func (s *session) servePage(r *http.Request) {
	srv := s.poller().srv
	srv.counts.pages.Add(1)
	r.Header.Del("Range") // otherwise a field full of ranges would keep the loop busy for milliseconds
	r.Header.Del("If-Range")
	s.Finish(respond(srv, r), loop.ReasonClosed)
}

// respond runs the handler for the pages, and returns its whole response.
func respond(s *Server, r *http.Request) []byte {
	w := &memoryWriter{header: http.Header{}}
	func() {
		defer func() {
			if p := recover(); p != nil {
				s.counts.panics.Add(1)
				s.log.Error("panic while answering a request for a page", zap.Any("panic", p), zap.String("path", r.URL.Path), zap.Stack("stack"))
				*w = memoryWriter{header: http.Header{}, status: http.StatusInternalServerError}
			}
		}()
		s.pages.ServeHTTP(w, r)
	}()
	return w.bytes(r)
}

// memoryWriter is an http.ResponseWriter that collects the response.
type memoryWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *memoryWriter) Header() http.Header { return w.header }

func (w *memoryWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// bytes renders the response as HTTP/1.1 with its length and Connection: close. The answer to HEAD has the length that GET would
// have (RFC 9110 section 9.3.2): the length that the handler wrote, or the one in its Content-Length if it wrote no body.
func (w *memoryWriter) bytes(r *http.Request) []byte {
	w.WriteHeader(http.StatusOK)
	w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	length := int64(w.body.Len())
	if said, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil && r.Method == http.MethodHead && length == 0 {
		length = said
	}
	response := http.Response{
		StatusCode: w.status, ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: w.header, Close: true,
		Body: io.NopCloser(&w.body), ContentLength: length,
	}
	var out bytes.Buffer
	_ = response.Write(&out) // writes into memory, so it cannot fail
	return out.Bytes()
}
