package websocket

import "strings"

// A browser sends no Origin with a GET to the page's own host, so the Origin cannot show whether a stranger's name points to the address of
// this server (DNS rebinding). For such a request the server checks the name in the Host field itself.

// AllowedHost reports whether requests for this Host field are answered: its host is an IP address, localhost, a name of this machine, or
// the host of a pattern. Scheme and port do not matter, because a stranger cannot choose the name. Without a Host field (HTTP/1.0) no
// browser has sent the request.
func (p *OriginPolicy) AllowedHost(host string) bool {
	if host == "" || p.any {
		return true
	}
	name, _, ok := splitAuthority(host)
	if !ok {
		return false
	}
	if p.isOwn(name) {
		return true
	}
	for i := range p.patterns {
		if p.patterns[i].hasHost(name) {
			return true
		}
	}
	return false
}

// HostPattern returns the pattern that would allow a Host field, or "" if the field is not a host and port.
func HostPattern(host string) string {
	if _, _, ok := splitAuthority(host); !ok || host == "null" { // null is another pattern
		return ""
	}
	return host
}

// hasHost reports whether the pattern is for this host.
func (p *originPattern) hasHost(host string) bool {
	if p.subdomains {
		head := len(host) - len(p.host)
		return head > 0 && strings.EqualFold(host[head:], p.host)
	}
	return strings.EqualFold(host, p.host)
}
