package redisbridge

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzParseAddress puts a password into the middle of any text, and checks that no error about the address contains the password.
// It also checks that any two texts, percent-encoded, are read back as user and password.
func FuzzParseAddress(f *testing.F) {
	for _, seed := range [][2]string{
		{"redis://:", "@localhost:6379/1"}, {"redis://user:", ""}, {"redis://", ":port"}, {"redis://localhost/", ""}, {"rediss://:%", "@[::1]:7"},
		{"redis+sentinel://:", "@a:1,b:2/master"}, {"redis+sentinel://a/master?sentinel_password=", ""}, {"redis+sentinel://a/m?", "=x&y"},
		{"redis+sentinel://a/m?sentinel_password=x", "@y z"}, {"redis+sentinel://a?sentinel_user=", "#"}, {"redis+cluster://a/", "?"}, {"", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	const secret = "gEhEiM7"
	f.Fuzz(func(t *testing.T, before, after string) {
		a, err := ParseAddress(before + secret + after)
		switch {
		case err != nil && strings.Contains(err.Error(), secret):
			t.Errorf("%q and %q: the error repeats what is between: %v", before, after, err)
		case err == nil && strings.Contains(a.Password+a.SentinelPassword, secret) && strings.Contains(a.String(), secret):
			t.Errorf("%q and %q: a password is shown as %s", before, after, a)
		}
		if before == "" || after == "" {
			return
		}
		encode := func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
		a, err = ParseAddress("redis+sentinel://:" + encode(before) + "@host/master?sentinel_password=" + encode(after))
		if err != nil || a.Password != before || a.SentinelPassword != after {
			t.Errorf("%q and %q: got %+v and %v", before, after, a, err)
		}
	})
}
