package web

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func serve(method, target string, header ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	Handler().ServeHTTP(recorder, request)
	return recorder
}

func TestPageIsServedWithStrictHeaders(t *testing.T) {
	got := serve(http.MethodGet, "/")
	if got.Code != http.StatusOK {
		t.Fatalf("GET / = %d, want 200", got.Code)
	}
	want := map[string]string{
		"Content-Type":           "text/html; charset=utf-8",
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
		"Cache-Control":          "no-cache",
	}
	for name, value := range want {
		if got := got.Header().Get(name); got != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
	policy := got.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self' ws: wss:", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("Content-Security-Policy = %q, lacks %q", policy, part)
		}
	}
	for _, loophole := range []string{"unsafe", "http:", "https:", "data:", "*"} {
		if strings.Contains(policy, loophole) {
			t.Errorf("Content-Security-Policy = %q, has %q", policy, loophole)
		}
	}
}

func TestEveryPathHasATypeAndAnETag(t *testing.T) {
	for _, path := range Paths() {
		got := serve(http.MethodGet, path)
		if got.Code != http.StatusOK || got.Header().Get("Content-Type") == "" || got.Header().Get("Etag") == "" || got.Body.Len() == 0 {
			t.Errorf("GET %s = %d, %d bytes, header %v", path, got.Code, got.Body.Len(), got.Header())
		}
	}
}

func TestUnchangedFileIsNotSentAgain(t *testing.T) {
	etag := serve(http.MethodGet, "/page.js").Header().Get("Etag")
	got := serve(http.MethodGet, "/page.js", "If-None-Match", `"other", W/`+etag)
	if got.Code != http.StatusNotModified || got.Body.Len() != 0 || got.Header().Get("Etag") != etag {
		t.Errorf("conditional GET = %d with %d bytes and ETag %q, want 304, 0 and %q", got.Code, got.Body.Len(), got.Header().Get("Etag"), etag)
	}
	if got := serve(http.MethodGet, "/page.js", "If-None-Match", `"other"`); got.Code != http.StatusOK {
		t.Errorf("GET with another ETag = %d, want 200", got.Code)
	}
}

func TestHeadHasTheLengthAndNoBody(t *testing.T) {
	get, head := serve(http.MethodGet, "/"), serve(http.MethodHead, "/")
	if head.Code != http.StatusOK || head.Body.Len() != 0 {
		t.Errorf("HEAD / = %d with %d bytes, want 200 with none", head.Code, head.Body.Len())
	}
	if got, want := head.Header().Get("Content-Length"), get.Header().Get("Content-Length"); got != want || got == "" {
		t.Errorf("Content-Length of HEAD = %q, want %q", got, want)
	}
}

func TestOtherMethodsAndPathsAreRefused(t *testing.T) {
	if got := serve(http.MethodPost, "/"); got.Code != http.StatusMethodNotAllowed || got.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST / = %d, Allow %q, want 405 and GET, HEAD", got.Code, got.Header().Get("Allow"))
	}
	for _, path := range []string{"/index.html", "/assets/app.css", "/nothing", "//"} {
		if got := serve(http.MethodGet, path); got.Code != http.StatusNotFound {
			t.Errorf("GET %s = %d, want 404", path, got.Code)
		}
	}
}

// An embedded page must work without the internet, and must not tell another host that it was opened.
func TestAssetsNameNoOtherHost(t *testing.T) {
	external := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.[a-z]`)
	for _, name := range names() {
		body, err := assets.ReadFile("assets/" + name)
		if err != nil {
			t.Fatal(err)
		}
		// The name of the SVG namespace looks like an address, but browsers never fetch it.
		body = bytes.ReplaceAll(body, []byte("http://www.w3.org/2000/svg"), nil)
		if found := external.Find(body); found != nil {
			t.Errorf("%s names another host: %s", name, found)
		}
	}
}

// All texts for people, also those for screen readers, must be sentences or names of things: none may begin like a question.
func TestTextsOfThePageAreWholeSentences(t *testing.T) {
	page := serve(http.MethodGet, "/").Body.String()
	texts := regexp.MustCompile(`>\s*([^<>]+?)\s*<|(?:aria-label|title|content|placeholder)="([^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(texts) < 30 {
		t.Fatalf("%d texts found in the page, want at least 30", len(texts))
	}
	for _, match := range texts {
		if text := match[1] + match[2]; regexp.MustCompile(`^(Who|What|Which|How)\w*\b[^?]*$|, (read|see) `).MatchString(text) {
			t.Errorf("the page has the text %q", text)
		}
	}
}

// The Content-Security-Policy forbids inline scripts and styles, so they would not work in the page.
func TestPageHasNoInlineScriptOrStyle(t *testing.T) {
	page := serve(http.MethodGet, "/").Body.String()
	if inline := regexp.MustCompile(`<style|\sstyle=|\son[a-z]+=|<script>`).FindString(page); inline != "" {
		t.Errorf("the page contains %q", inline)
	}
	for _, match := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(page, -1) {
		if !slices.Contains(Paths(), "/"+match[1]) {
			t.Errorf("the page refers to %s, which is not served", match[1])
		}
	}
}
