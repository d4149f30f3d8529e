package protocol_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dotsconnect/server/protocol"
)

func TestQueriesOfVersion2GiveOptions(t *testing.T) {
	usual := protocol.Options{Echo: true, Slow: "close"}
	with := func(change func(*protocol.Options)) protocol.Options {
		o := usual
		change(&o)
		return o
	}
	for _, test := range []struct {
		query string
		want  protocol.Options
	}{
		{"v=2", usual},
		{"%76=%32", usual},
		{"v=2&v=%32&&x&%zz=2&since=&was=&Last=x&las=x&lasts=x&%6Cas=x&token=t", usual},
		{"last=0&presence=0&echo=1&slow=close&batch=0&v=2", usual},
		{"v=2&since=5XgwIF-----33V-4", with(func(o *protocol.Options) { o.Since = "5XgwIF-----33V-4" })},
		{"v=2&%73ince=5XgwIF%2D%2d---33V-4", with(func(o *protocol.Options) { o.Since = "5XgwIF-----33V-4" })},
		{"v=2&since=" + strings.Repeat("%41", 16), with(func(o *protocol.Options) { o.Since = strings.Repeat("A", 16) })},
		{"v=2&since=a&since=b", with(func(o *protocol.Options) { o.Since = "b" })},
		{"v=2&since=no+id", with(func(o *protocol.Options) { o.Since = "no id" })},
		{"v=2&since=%zz", with(func(o *protocol.Options) { o.Since = "%zz" })},
		{"v=2&since=" + strings.Repeat("x", 5000), with(func(o *protocol.Options) { o.Since = strings.Repeat("x", 17) })},
		{"v=2&since=" + strings.Repeat("%41", 5000), with(func(o *protocol.Options) { o.Since = strings.Repeat("A", 17) })},
		{"v=2&last=1", with(func(o *protocol.Options) { o.Last = 1 })},
		{"v=2&last=x&l%61st=%31000", with(func(o *protocol.Options) { o.Last = 1000 })},
		{"v=2&last=1001", with(func(o *protocol.Options) { o.Last = 1000 })},
		{"v=2&last=18446744073709551617", with(func(o *protocol.Options) { o.Last = 1000 })},
		{"v=2&presence=1", with(func(o *protocol.Options) { o.Presence = 1 })},
		{"v=2&presence=2", with(func(o *protocol.Options) { o.Presence = 2 })},
		{"v=2&echo=0", with(func(o *protocol.Options) { o.Echo = false })},
		{"v=2&slow=gap", with(func(o *protocol.Options) { o.Slow = "gap" })},
		{"v=2&slow=l%61test", with(func(o *protocol.Options) { o.Slow = "latest" })},
		{"v=2&batch=1", with(func(o *protocol.Options) { o.Batch = true })},
		{"v=2&was=Zr0-mB7cQ2xW5tYp", with(func(o *protocol.Options) { o.Was = "Zr0-mB7cQ2xW5tYp" })},
	} {
		want := protocol.Target{Room: "lobby", Version: 2, V2: test.want}
		target, ok, err := protocol.ParseTarget("/ws/chat/lobby/", test.query)
		if err != nil || !ok || target != want {
			t.Errorf("%.60q: got %+v, %v, %v, want %+v", test.query, target, ok, err, want)
		}
	}
}

func TestWrongOptionsNameTheKeyAndItsValues(t *testing.T) {
	for want, queries := range map[string][]string{
		"last must be an integer of 0 or more":                    {"last", "last=", "last=-1", "last=1.0", "last=+1", "last=%zz", "last=1&l%61st=x"},
		"presence must be 0, 1 or 2":                              {"presence=", "presence=3", "presence=true", "presence=10"},
		"echo must be 0 or 1":                                     {"echo", "echo=false", "echo=00", "echo=%"},
		"slow must be close, gap or latest":                       {"slow", "slow=CLOSE", "slow=drop", "slow=%67a"},
		"batch must be 0 or 1":                                    {"batch", "batch=2"},
		"was must be a key: 16 of the characters - 0-9 A-Z _ a-z": {"was=x", "was=%zz", "was=Zr0+mB7cQ2xW5tYp", "was=Zr0-mB7cQ2xW5tYpx"},
	} {
		for _, query := range queries {
			for _, query := range []string{"v=2&" + query, query + "&v=2"} {
				target, ok, err := protocol.ParseTarget("/ws/chat/lobby/", query)
				if !ok || err == nil || target != (protocol.Target{}) || err.Status != http.StatusBadRequest || err.Text != want {
					t.Errorf("%s: got %+v, %v, %v, want 400 %q", query, target, ok, err, want)
				}
			}
		}
	}
}

// checkOptions checks that options are within their ranges.
func checkOptions(t *testing.T, target protocol.Target) {
	t.Helper()
	o := target.V2
	if target.Version == 1 {
		if o != (protocol.Options{}) {
			t.Fatalf("version 1 has the options %+v", o)
		}
		return
	}
	_, isKey := protocol.ParseKey16(o.Was)
	if target.Version != 2 || target.Space != protocol.Chat || len(o.Since) > protocol.PositionSize+1 || o.Last < 0 || o.Last > 1000 ||
		o.Presence < 0 || o.Presence > 2 || !slices.Contains([]string{"close", "gap", "latest"}, o.Slow) || o.Was != "" && !isKey {
		t.Fatalf("the target %+v got in", target)
	}
}

// queryOf writes the query that leads to the target.
func queryOf(target protocol.Target) string {
	if target.Version == 1 {
		return ""
	}
	o := target.V2
	query := fmt.Sprintf("v=2&since=%s&last=%d&presence=%d&slow=%s&was=%s", url.QueryEscape(o.Since), o.Last, o.Presence, o.Slow, o.Was)
	if !o.Echo {
		query += "&echo=0"
	}
	if o.Batch {
		query += "&batch=1"
	}
	return query
}
