package server

import (
	"os"
	"slices"
	"strings"
)

// hostNames returns the names of this machine: the system's host name without its domain, and the same name with the domain that
// the resolver appends. Only a page of this server can have one of these names as its host, because a stranger cannot give the
// names another address.
func hostNames() (names []string) {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return nil
	}
	resolver, _ := os.ReadFile("/etc/resolv.conf") // without this file there is no domain
	return namesOf(name, string(resolver))
}

func namesOf(name, resolver string) []string {
	short, domain, _ := strings.Cut(strings.TrimSuffix(name, "."), ".")
	if domain == "" {
		domain = resolverDomain(resolver)
	}
	names := []string{short, short + ".local"} // the second name is used by multicast DNS (RFC 6762)
	if domain != "" {
		names = append(names, short+"."+domain)
	}
	return names
}

// resolverDomain returns the domain in a resolv.conf(5): that of its domain entry, or the first of its search list.
func resolverDomain(text string) string {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && slices.Contains([]string{"domain", "search"}, words[0]) {
			return strings.Trim(words[1], ".")
		}
	}
	return ""
}
