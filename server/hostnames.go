package server

import (
	"os"
	"slices"
	"strings"
)

// hostNames are the names of this machine: as the system has it, without its domain, and with the domain that the resolver
// appends to names. Only our own page can have one of them as its host, because a stranger cannot give these names an address.
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
	names := []string{short, short + ".local"} // the second by multicast DNS (RFC 6762)
	if domain != "" {
		names = append(names, short+"."+domain)
	}
	return names
}

// resolverDomain is the domain in a resolv.conf(5): its domain entry, or the first of its search list.
func resolverDomain(text string) string {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && slices.Contains([]string{"domain", "search"}, words[0]) {
			return strings.Trim(words[1], ".")
		}
	}
	return ""
}
