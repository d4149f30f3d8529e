package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dotsconnect/loop"
)

func TestAPostWithTheSameKeyIsPublishedOnce(t *testing.T) {
	s := startServer(t, open)
	by := s.join(t, "/ws/chat/lobby/")
	post := func(path, key, body string) (int, string) {
		t.Helper()
		w := s.dial(t) // another connection each time: the client had lost the one before
		defer w.Close()
		w.write(postOf(path, body, "Idempotency-Key: "+key))
		status, text, _ := w.answer()
		return status, text
	}
	status, first := post("/chat/lobby/", "k", `"once"`)
	idIn(t, status, first)
	if status, again := post("/chat/lobby/", "k", `"once"`); status != 200 || again != first {
		t.Errorf("again: HTTP %d %s, want 200 %s", status, again, first)
	}
	if status, text := post("/chat/lobby/", "k", `"other"`); status != 422 || !strings.Contains(text, "another body") {
		t.Errorf("another body: HTTP %d %s, want 422", status, text)
	}
	for path, key := range map[string]string{"/chat/lobby/": "l", "/chat/other/": "k"} {
		if status, text := post(path, key, `"once"`); status != 200 || text == first {
			t.Errorf("%s with the key %s: HTTP %d %s, want an id of its own", path, key, status, text)
		}
	}
	by.hears("once")
	by.hears("once")
	by.say("nothing between")
	by.hears("nothing between")
	if status, text := post("/chat/lobby/", "bad", `{`); status != 400 {
		t.Errorf("HTTP %d %s", status, text)
	}
	if status, _ := post("/chat/lobby/", "bad", `{}`); status != 200 { // a request that was not published does not use its key up
		t.Errorf("HTTP %d, want 200", status)
	}
}

func TestAKeyIsForgottenAfterTwoMinutesOrWhenThereAreTooMany(t *testing.T) {
	r := &keyring{most: 3}
	ask := func(key string, now time.Duration) bool {
		_, known := r.begin(digest("chat/x", key), digest("body"), now)
		return known
	}
	if ask("a", 0) || !ask("a", keyAge-1) || ask("a", keyAge) {
		t.Error("a key is not remembered for two minutes exactly")
	}
	for i := range 10 {
		if ask(fmt.Sprint(i), keyAge) {
			t.Errorf("%d is known", i)
		}
	}
	if !ask("9", keyAge) || !ask("7", keyAge) || ask("6", keyAge) || r.len() > 3 || len(r.queue) > 3 {
		t.Errorf("%d keys are remembered, want the latest 3", r.len())
	}
}

func TestTheKeyOfARefusedMessageIsForgotten(t *testing.T) {
	r := &keyring{}
	k, _ := r.begin(digest("k"), digest("b"), 0)
	if _, _, answered := r.answer(k); answered {
		t.Error("answered before the outcome")
	}
	r.settle(k, loop.Refused, loop.ID{})
	again, known := r.begin(digest("k"), digest("b"), 0)
	if known {
		t.Error("the key of a refused message is known")
	}
	r.settle(again, loop.Doubted, loop.ID{})
	if o, _, answered := r.answer(again); o != loop.Doubted || !answered || r.len() != 1 {
		t.Errorf("got %v, %v", o, answered)
	}
	r.settle(nil, loop.Placed, loop.ID{})
	r.shrink(keyAge, mostKeys) // the queue still has the forgotten one
	if r.len() != 0 || len(r.queue) != 0 {
		t.Errorf("%d keys and %d in the queue are left", r.len(), len(r.queue))
	}
}
