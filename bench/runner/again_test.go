package runner

import (
	"net/netip"
	"slices"
	"testing"

	"dotsconnect/bench/adapter"
)

func TestTheFlagsOfARunAreThoseThatWereTyped(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want []string
	}{
		{Spec{Procs: 1, Servers: 1}, []string{"--url", DefaultURL}},
		{Spec{URL: "ws://a:1,ws://b:1", Pids: []int{7, 8}}, []string{"--url", "ws://a:1,ws://b:1"}},
		{Spec{ServerCmd: "x {port}", Servers: 1}, []string{"--server-cmd", "x {port}"}},
		{Spec{ServerCmd: "x {port}", URL: "ws://x/y", Servers: 3, Admin: "http://a:1", HurtCmd: "a", HealCmd: "b"},
			[]string{"--url", "ws://x/y", "--server-cmd", "x {port}", "--servers", "3", "--admin", "http://a:1", "--hurt-cmd", "a", "--heal-cmd", "b"}},
		{Spec{Adapter: &adapter.Adapter{Name: "gws", File: "peers.yaml"}, Pin: true}, []string{"--adapter", "peers.yaml:gws", "--pin"}},
		{Spec{Procs: 2, Workers: []string{"a:1", "b:1"}, Source: netip.MustParsePrefix("127.0.0.0/24")},
			[]string{"--url", DefaultURL, "--procs", "2", "--workers", "a:1,b:1", "--source", "127.0.0.0/24"}},
	} {
		if got := c.spec.flags(); !slices.Equal(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
