// Package web is the demo page of dotsconnect, and the reference client of protocol version 2.
//
// The page consists of a few files in assets, which are embedded unchanged. There is no build step, and there are no files from
// other hosts. client.js is the connection (join, position, resume, acknowledgements) without any user interface; it is also the
// npm package in clients/js. page.js and the other files are the page.
//
// Every response is small and complete in memory. The handler uses only Header, WriteHeader and Write of its http.ResponseWriter,
// so any server that collects a response can run it.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed assets
var assets embed.FS

// contentSecurityPolicy lets the page load its own files and open WebSockets, and forbids everything else. The ws: and wss:
// sources are for browsers in which 'self' does not include WebSockets to the page's own host.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// contentTypes are constant, because the result of mime.TypeByExtension depends on the machine.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

type asset struct {
	body        []byte
	contentType string
	etag        string
}

type handler struct {
	assets map[string]asset // by path; immutable after Handler
}

// Handler serves the page at / and its other files (see [Paths]) for GET and HEAD. Other methods get 405, other paths 404. The
// files have a strong ETag and browsers revalidate them at each load, so an old page never talks to a new server.
func Handler() http.Handler {
	h := &handler{assets: make(map[string]asset)}
	for _, name := range names() {
		body, err := assets.ReadFile("assets/" + name)
		if err != nil {
			panic("web: " + err.Error()) // the names come from the same embedded folder
		}
		sum := sha256.Sum256(body)
		h.assets[address(name)] = asset{body, contentTypes[path.Ext(name)], `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return h
}

// Paths returns the paths that [Handler] serves, for a server that routes by exact path: "/", "/app.css" and others.
func Paths() []string {
	paths := names()
	for i, name := range paths {
		paths[i] = address(name)
	}
	return paths
}

func names() []string {
	names, err := fs.Glob(assets, "assets/*")
	if err != nil {
		panic("web: " + err.Error()) // the only possible error is a malformed pattern
	}
	for i, name := range names {
		names[i] = path.Base(name)
	}
	return names
}

func address(name string) string {
	if name == "index.html" {
		return "/"
	}
	return "/" + name
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	a, ok := h.assets[r.URL.Path]
	if !ok {
		http.Error(w, "not found: the demo page is at /, rooms are at /ws/chat/ROOM/ and /ws/raw/ROOM/, metrics and the API at the admin address (--admin)", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "this path accepts only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	header.Set("Content-Type", a.contentType)
	header.Set("Content-Security-Policy", contentSecurityPolicy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-cache")
	header.Set("Etag", a.etag)
	// ServeContent handles conditional requests, ranges and HEAD. With a zero time it sends no Last-Modified.
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
}
