package websocket

import (
	"strings"
	"testing"
)

func TestOriginPolicy(t *testing.T) {
	none := []string{}
	site := []string{"https://app.example.com", "*.example.org", "static.example.net:8443"}
	for _, test := range []struct {
		name     string
		patterns []string
		origin   string
		host     string
		want     bool
	}{
		{"the own host", none, "https://good.com", "good.com", true},
		{"the own host in another case", none, "HTTPS://Good.COM", "gOOD.com", true},
		{"the own host and port", none, "http://good.com:8080", "good.com:8080", true},
		{"the default port written by the page", none, "https://good.com:443", "good.com", true},
		{"the default port written by the request", none, "http://good.com", "good.com:80", true},
		{"the own IPv6 address", none, "http://[::1]:8080", "[::1]:8080", true},
		{"the own IPv6 address without a port", none, "http://[::1]", "[::1]:80", true},
		{"another port", none, "http://good.com:8080", "good.com:8081", false},
		{"another port than the default", none, "http://good.com:8080", "good.com", false},
		{"the other scheme's default port", none, "http://good.com", "good.com:443", false},
		{"another host", none, "https://evil.com", "good.com", false},
		{"a name that ends alike", none, "https://evilgood.com", "good.com", false},
		{"a name that begins alike", none, "https://good.com.evil.com", "good.com", false},
		{"a subdomain", none, "https://evil.good.com", "good.com", false},
		{"the parent domain", none, "https://good.com", "app.good.com", false},
		{"a name with the root's dot", none, "https://good.com.", "good.com", false},
		{"a user before the host", none, "https://good.com@evil.com", "good.com", false},
		{"a user before the own host", none, "https://user@good.com", "good.com", false},
		{"a user with a port for a password", none, "https://good.com:80@evil.com", "good.com:80", false},
		{"null", none, "null", "good.com", false},
		{"null and a host named null", none, "null", "null", false},
		{"an empty field, which is none", none, "", "good.com", true},
		{"an empty field and an empty Host", none, "", "", true},
		{"an origin without a host", none, "https://", "", false},
		{"an origin without a scheme", none, "good.com", "good.com", false},
		{"an origin without slashes", none, "https:good.com", "good.com", false},
		{"a slash at the end", none, "https://good.com/", "good.com", true},
		{"two slashes at the end", none, "https://good.com//", "good.com", false},
		{"a path", none, "https://good.com/x", "good.com", false},
		{"an IP address, which is nobody's name", none, "http://192.0.2.7:8000", "192.0.2.7:8000", true},
		{"localhost", none, "http://localhost:8000", "localhost:8000", true},
		{"this machine's name", none, "http://WEB1:8000", "web1:8000", true},
		{"a name that a stranger may have given our address", none, "http://rebound.example:8000", "rebound.example:8000", false},
		{"a name below localhost", none, "http://x.localhost", "x.localhost", false},
		{"another address", none, "http://192.0.2.7", "192.0.2.8", false},
		{"a backslash", none, `https://good.com\.evil.com`, "good.com", false},
		{"a query", none, "https://good.com?x", "good.com", false},
		{"two origins in one field", none, "https://good.com https://evil.com", "good.com", false},
		{"a bad scheme", none, "ht tp://good.com", "good.com", false},
		{"a scheme that begins with a digit", none, "3d://good.com", "good.com", false},
		{"a scheme of another kind", none, "chrome-extension://good.com", "good.com", false},
		{"an empty label", none, "https://good..com", "good..com", false},
		{"an empty port", none, "https://good.com:", "good.com:", false},
		{"port 0", none, "https://good.com:0", "good.com:0", false},
		{"a port beyond 65535", none, "https://good.com:65536", "good.com:65536", false},
		{"a port with a sign", none, "https://good.com:+80", "good.com:+80", false},
		{"bytes beyond ASCII", none, "https://gööd.com", "gööd.com", false},
		{"the Kelvin sign for a k", none, "https://\u212Aelvin.com", "kelvin.com", false},
		{"an IPv6 address without end", none, "http://[::1", "[::1", false},
		{"an empty IPv6 address", none, "http://[]", "[]", false},
		{"an IPv6 address with a zone", none, "http://[::1%25eth0]", "[::1%25eth0]", false},
		{"something after an IPv6 address", none, "http://[::1]x80", "[::1]x80", false},
		{"a bare IPv6 address", none, "http://::1", "::1", false},

		{"a listed origin", site, "https://app.example.com", "ws.example.com", true},
		{"a listed origin with its default port", site, "https://app.example.com:443", "ws.example.com", true},
		{"a listed origin by another scheme", site, "http://app.example.com", "ws.example.com", false},
		{"a listed origin on another port", site, "https://app.example.com:8443", "ws.example.com", false},
		{"a subdomain of a wildcard", site, "https://a.example.org", "x", true},
		{"a subdomain of a wildcard, any depth, scheme and case", site, "http://A.b.Example.ORG", "x", true},
		{"the wildcard's own domain", site, "https://example.org", "x", false},
		{"a name that ends like the wildcard", site, "https://evilexample.org", "x", false},
		{"a name that continues after the wildcard", site, "https://a.example.org.evil.com", "x", false},
		{"an empty label for the wildcard", site, "https://.example.org", "x", false},
		{"a subdomain on another port", site, "https://a.example.org:8443", "x", false},
		{"a listed host and port", site, "https://static.example.net:8443", "x", true},
		{"a listed host and port by another scheme", site, "http://static.example.net:8443", "x", true},
		{"a listed host on its default port", site, "https://static.example.net", "x", false},
		{"any name where others are listed", site, "https://own.com", "own.com", false},
		{"this machine's name where others are listed", site, "http://web1:8000", "web1:8000", true},
		{"an IP address where others are listed", site, "http://127.0.0.1:8000", "127.0.0.1:8000", true},
		{"null where others are listed", site, "null", "x", false},
		{"garbage where others are listed", site, "app.example.com", "x", false},
		{"a wildcard with scheme and port", []string{"https://*.a.com:8443"}, "https://x.a.com:8443", "x", true},
		{"a listed extension", []string{"chrome-extension://abcdef"}, "chrome-extension://abcdef", "x", true},
		{"another extension", []string{"chrome-extension://abcdef"}, "chrome-extension://abcdeg", "x", false},
		{"null where it is listed", []string{"null"}, "null", "x", true},
		{"the own host where only null is listed", []string{"null"}, "https://x", "x", false},
		{"anything", []string{"*"}, "https://evil.com", "x", true},
		{"null if every origin is allowed", []string{"*"}, "null", "x", true},
		{"garbage if every origin is allowed", []string{"https://a.com", "*"}, "\x00", "x", true},
		{"an own address that is not a host of the request", []string{"*.example.org"}, "http://127.0.0.1", "app.example.org", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := NewOriginPolicy(test.patterns, "web1", "good.com")
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Allowed(test.origin, test.host); got != test.want {
				t.Errorf("Allowed(%q, %q) = %v, want %v", test.origin, test.host, got, test.want)
			}
			if slashed := p.Allowed(test.origin+"/", test.host); slashed != test.want && !strings.HasSuffix(test.origin, "/") && test.origin != "" && test.origin != "null" {
				t.Errorf("with a slash at its end: %v, want %v", slashed, test.want)
			}
			if !p.Allowed("", test.host) {
				t.Error("a request without an Origin was refused")
			}
		})
	}
}

func TestBadOriginPatternsAreNamed(t *testing.T) {
	for _, pattern := range []string{
		"", " ", "*.", "*.*", "*com", "a.*.com", "https://*", "*:8080", "https://a.com/", "https://a.com/chat", "https://u@a.com",
		"://a.com", "a b.com", "a.com:", "a.com:0", "a.com:99999", "gööd.com", "*.[::1]", "*.10.0.0.1", "http://*.127.0.0.1:8000", "[::1", "a.com,b.com",
	} {
		if _, err := NewOriginPolicy([]string{"good.com", pattern}); err == nil || !strings.Contains(err.Error(), `"`+pattern+`"`) {
			t.Errorf("%q: got error %v", pattern, err)
		}
	}
}

// A pattern with a path is easily copied from a browser. The error must suggest the pattern without the path.
func TestAPatternWithAPathIsToldWithoutIt(t *testing.T) {
	for pattern, want := range map[string]string{
		"https://b/x": `"https://b"`, "https://b:8443/": `"https://b:8443"`, "*.b.org/x/y": `"*.b.org"`, "https://[::1]/x": `"https://[::1]"`,
		"https://a b/x": "https://HOST", "https:///x": "https://HOST", "/": "https://HOST",
	} {
		if _, err := NewOriginPolicy([]string{pattern}); err == nil || !strings.Contains(err.Error(), "write "+want) {
			t.Errorf("%q: got %v, want %s", pattern, err, want)
		}
	}
}

func TestThePatternForAnOriginAllowsIt(t *testing.T) {
	for origin, want := range map[string]string{
		"https://chat.example.org": "https://chat.example.org", "http://chat.example.org:8000/": "http://chat.example.org:8000",
		"null": "", "": "", "nonsense": "", "https://a b": "", "*": "", "https://*.a.com": "",
	} {
		got := PatternFor(origin)
		if got != want {
			t.Errorf("%q: got %q, want %q", origin, got, want)
		}
		if got == "" {
			continue
		}
		if p, err := NewOriginPolicy([]string{got}); err != nil || !p.Allowed(origin, "elsewhere") || p.Allowed("https://evil.example", "elsewhere") {
			t.Errorf("%q: pattern %q: %v, or it does not allow that origin alone", origin, got, err)
		}
	}
}
