package websocket

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// OriginPolicy decides which web pages may open a WebSocket (RFC 6455 section 10.2). A browser lets any page connect to any
// server and sends the user's cookies along; only the Origin field, which a page cannot forge, tells the server where the page
// came from. A client that is not a browser usually sends no Origin, and such a client is accepted, because it could also forge
// an Origin.
//
// A page may connect without a pattern if it comes from the host that the request names, and if this host is an IP address,
// localhost or a name of this machine. A stranger may let any other name point to the address of this server (DNS rebinding),
// and then the stranger's page has the same origin as this server. So a page at any other name needs a pattern.
//
// An OriginPolicy is immutable and safe for concurrent use.
type OriginPolicy struct {
	any      bool // the pattern * is set
	null     bool // the pattern null is set
	patterns []originPattern
	own      []string // names of this machine
}

// originPattern is a parsed pattern. An empty scheme means any scheme; port 0 means the default port of the origin's scheme.
type originPattern struct {
	scheme     string
	host       string
	port       int
	subdomains bool // host is a suffix that begins with a dot
}

// NewOriginPolicy parses patterns of these forms. Case does not matter. A port may follow each host; a pattern without a port
// means the default port of the origin's scheme:
//
//	https://app.example.com   this origin
//	app.example.com           this host, by any scheme
//	*.example.com             each subdomain of any depth, not example.com itself; https://*.example.com also
//	*                         every origin: only for servers that hold nothing private and know users by tokens alone
//	null                      sandboxed frames and local files: anyone can make one, so it is as open as *
//
// own lists the names of this machine.
func NewOriginPolicy(patterns []string, own ...string) (*OriginPolicy, error) {
	p := &OriginPolicy{own: append([]string{"localhost"}, own...)}
	for _, text := range patterns {
		switch text {
		case "*":
			p.any = true
			continue
		case "null":
			p.null = true
			continue
		}
		pattern, err := parseOriginPattern(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not an origin pattern: %w", text, err)
		}
		p.patterns = append(p.patterns, pattern)
	}
	return p, nil
}

// Allowed reports whether a request with this Origin field may become a WebSocket. host is the request's Host field; an empty
// origin means that there is no Origin field. A slash at the end of an origin, which some clients send, is ignored.
func (p *OriginPolicy) Allowed(origin, host string) bool {
	if origin == "" || p.any {
		return true
	}
	if origin == "null" {
		return p.null
	}
	o, ok := parseOrigin(strings.TrimSuffix(origin, "/"))
	if !ok {
		return false
	}
	if o.sameHost(host) && p.isOwn(o.host) {
		return true
	}
	for i := range p.patterns {
		if p.patterns[i].matches(o) {
			return true
		}
	}
	return false
}

// PatternFor returns the pattern that would allow an origin, or "" if only * would, because no page can have that origin.
func PatternFor(origin string) string {
	origin = strings.TrimSuffix(origin, "/")
	if _, ok := parseOrigin(origin); !ok {
		return ""
	}
	return origin
}

// isOwn reports whether the host is an IP address, localhost or a name of this machine: no stranger can let such a host point
// to this server.
func (p *OriginPolicy) isOwn(host string) bool {
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return slices.ContainsFunc(p.own, func(name string) bool { return strings.EqualFold(host, name) })
}

// originValue is a parsed Origin field. The port is never 0 for a scheme with a default port.
type originValue struct {
	scheme string
	host   string
	port   int
}

// parseOrigin parses the only form that browsers send: scheme, host and port, and nothing else (RFC 6454 section 6.2).
func parseOrigin(text string) (o originValue, ok bool) {
	scheme, authority, found := strings.Cut(text, "://")
	if !found || !validScheme(scheme) {
		return originValue{}, false
	}
	host, port, ok := splitAuthority(authority)
	if !ok {
		return originValue{}, false
	}
	if port == 0 {
		port = defaultPort(scheme)
	}
	return originValue{scheme, host, port}, true
}

// sameHost reports whether the page came from the host that the request names. The scheme that the client used is unknown,
// because a proxy may have terminated TLS. So a Host without a port stands for the default port of the origin's scheme.
func (o originValue) sameHost(requestHost string) bool {
	host, port, ok := splitAuthority(requestHost)
	if !ok || defaultPort(o.scheme) == 0 {
		return false
	}
	if port == 0 {
		port = defaultPort(o.scheme)
	}
	return port == o.port && strings.EqualFold(host, o.host)
}

func (p *originPattern) matches(o originValue) bool {
	if p.scheme != "" && !strings.EqualFold(p.scheme, o.scheme) {
		return false
	}
	port := p.port
	if port == 0 {
		port = defaultPort(o.scheme)
	}
	if port != o.port {
		return false
	}
	return p.hasHost(o.host)
}

func parseOriginPattern(text string) (originPattern, error) {
	var p originPattern
	rest := text
	if scheme, authority, found := strings.Cut(text, "://"); found {
		if !validScheme(scheme) {
			return p, errors.New("the scheme before :// is missing or not valid")
		}
		p.scheme, rest = scheme, authority
	}
	if strings.HasPrefix(rest, "*.") {
		p.subdomains = true
		rest = rest[2:]
	}
	host, port, ok := splitAuthority(rest)
	if !ok {
		head, _, found := strings.Cut(rest, "/")
		if _, _, ok := splitAuthority(head); found && ok {
			return p, fmt.Errorf("write %q; an origin has no path, not even a slash", text[:len(text)-len(rest)+len(head)])
		}
		return p, errors.New("write https://HOST, https://HOST:PORT or https://*.HOST (all subdomains of HOST), the same with http:// or without a scheme (every scheme), or * (every origin)")
	}
	p.host, p.port = host, port
	if p.subdomains {
		if _, err := netip.ParseAddr(host); err == nil || host[0] == '[' {
			return p, errors.New("an IP address has no subdomains")
		}
		p.host = "." + host
	}
	return p, nil
}

// splitAuthority splits host[:port] strictly. The host is a name or an IPv4 address of nonempty labels, or an IPv6 address in
// brackets; user information is refused. Port 0 means that there is no port.
func splitAuthority(text string) (host string, port int, ok bool) {
	end := strings.LastIndexByte(text, ':')
	if strings.HasPrefix(text, "[") {
		end = strings.IndexByte(text, ']') + 1
		if end == 0 || !validAddress(text[1:end-1]) {
			return "", 0, false
		}
	} else {
		if end < 0 {
			end = len(text)
		}
		if !validName(text[:end]) {
			return "", 0, false
		}
	}
	host, rest := text[:end], text[end:]
	if rest == "" {
		return host, 0, true
	}
	n, err := strconv.ParseUint(rest[1:], 10, 16)
	if rest[0] != ':' || err != nil || n == 0 {
		return "", 0, false
	}
	return host, int(n), true
}

// longestName is the maximum length in bytes of a DNS name (RFC 1035 section 2.3.4).
const longestName = 255

// validName accepts letters, digits, hyphens and underscores in labels. A browser sends all other names in Punycode.
func validName(name string) bool {
	if len(name) > longestName {
		return false
	}
	label := 0
	for i := range len(name) {
		switch b := name[i]; {
		case b == '.' && label == 0:
			return false
		case b == '.':
			label = 0
		case isAlphanumeric(b), b == '-', b == '_':
			label++
		default:
			return false
		}
	}
	return name != ""
}

// validAddress accepts an IPv6 address without a zone.
func validAddress(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Is6() && a.Zone() == ""
}

// validScheme accepts a URI scheme (RFC 3986 section 3.1).
func validScheme(scheme string) bool {
	for i := range len(scheme) {
		switch b := scheme[i]; {
		case isAlphanumeric(b) && (i > 0 || b > '9'):
		case i > 0 && (b == '+' || b == '-' || b == '.'):
		default:
			return false
		}
	}
	return scheme != ""
}

func defaultPort(scheme string) int {
	switch {
	case strings.EqualFold(scheme, "https"):
		return 443
	case strings.EqualFold(scheme, "http"):
		return 80
	default:
		return 0
	}
}

func isAlphanumeric(b byte) bool {
	return b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
}
