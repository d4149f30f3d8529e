package websocket

import "testing"

func TestTheHostsThatNoStrangerCanPointHere(t *testing.T) {
	listed, err := NewOriginPolicy([]string{"https://app.example.org", "*.example.net", "http://dev.test:5173", "null"}, "node1")
	if err != nil {
		t.Fatal(err)
	}
	all, err := NewOriginPolicy([]string{"*"})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"": true, "localhost": true, "LocalHost:1": true, "node1:8000": true, "10.0.0.1": true, "127.0.0.1:8000": true, "[::1]": true, "[fe80::1]:80": true,
		"app.example.org": true, "APP.example.org:444": true, "dev.test": true, "a.example.net": true, "a.b.example.net:80": true,
		"example.net": false, "example.org": false, "evilexample.net": false, "app.example.org.evil": false, "localhost.evil": false, "null": false,
		"1.2.3.4.evil": false, "a:b": false, "app.example.org:0": false, "[::1": false, "::1": false, "a@localhost": false, "node1.evil": false,
	} {
		if got := listed.AllowedHost(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
		if !all.AllowedHost(host) {
			t.Errorf("%q is not allowed by *", host)
		}
		if pattern := HostPattern(host); pattern != "" { // the advice works
			more, err := NewOriginPolicy([]string{pattern})
			if err != nil || !more.AllowedHost(host) {
				t.Errorf("the pattern %q does not allow %q: %v", pattern, host, err)
			}
		}
	}
}
