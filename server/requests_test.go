package server

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// object is what a client of version 2 reads.
type object struct {
	ID      string           `json:"id"`
	Room    string           `json:"room"`
	Reason  string           `json:"reason"`
	Event   string           `json:"event"`
	Message *json.RawMessage `json:"message"`
	From    string           `json:"from"`
	Ref     int              `json:"ref"`
	Me      string           `json:"me"`
	Key     string           `json:"key"`
	Resumed *bool            `json:"resumed"`
	Fenced  *bool            `json:"fenced"`
	Count   int              `json:"count"`
	Error   *struct {
		Code  int    `json:"code"`
		Name  string `json:"name"`
		Text  string `json:"text"`
		Retry int    `json:"retry"`
	} `json:"error"`
}

// client2 is a client of version 2 that remembers its position.
type client2 struct {
	*wire
	open  object
	since string
}

func (s *testServer) join2(t *testing.T, query string) *client2 {
	t.Helper()
	c := &client2{wire: s.join(t, "/ws/chat/lobby/?v=2"+query)}
	c.open = c.read()
	if c.open.Event != "open" || len(c.open.Me) != 8 || len(c.open.Key) != 16 {
		t.Fatalf("the first event is %+v, want open", c.open)
	}
	return c
}

// read reads the next object.
func (c *client2) read() (o object) {
	c.t.Helper()
	text := c.message()
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		c.t.Fatalf("%s: %v", text, err)
	}
	if o.ID != "" {
		if o.ID < c.since {
			c.t.Errorf("%s: the id is smaller than %s before it", text, c.since)
		}
		c.since = o.ID
	}
	return o
}

// hear reads messages and returns their texts.
func (c *client2) hear(n int) (texts []string) {
	c.t.Helper()
	for range n {
		o := c.read()
		if o.Message == nil || o.ID == "" {
			c.t.Fatalf("got %+v, want a message with an id", o)
		}
		var text string
		if err := json.Unmarshal(*o.Message, &text); err != nil {
			c.t.Fatal(err)
		}
		texts = append(texts, text)
	}
	return texts
}

func TestAMessageWithARefComesBackAndIsAcknowledged(t *testing.T) {
	s := startServer(t, nil)
	a, b := s.join2(t, ""), s.join2(t, "")
	one := s.join(t, "/ws/chat/lobby/")
	if a.open.Me == b.open.Me || a.open.Key == b.open.Key || a.open.Resumed != nil || b.open.Count != 2 {
		t.Errorf("opened with %+v and %+v", a.open, b.open)
	}
	a.text(`{"message":"hello","ref":7}`)
	for _, c := range []*client2{a, b} {
		if o := c.read(); string(*o.Message) != `"hello"` || o.From != a.open.Me || o.Ref != 7 || len(o.ID) != 16 {
			t.Errorf("got %+v", o)
		}
	}
	if o := a.read(); o.Event != "ack" || o.Ref != 7 || o.ID != b.since {
		t.Errorf("got %+v, want the acknowledgement at %s", o, b.since)
	}
	one.hears("hello")
	one.say("one")
	if o := b.read(); string(*o.Message) != `"one"` || o.From != "" || o.Ref != 0 {
		t.Errorf("got %+v, want the message of a client of version 1", o)
	}
}

func TestAClientGetsWhatItMissed(t *testing.T) {
	s := startServer(t, nil)
	talker, c := s.join2(t, ""), s.join2(t, "")
	say := func(texts ...string) {
		for _, text := range texts {
			talker.say(text)
		}
		talker.hear(len(texts))
	}
	say("a", "b")
	c.hear(2)
	_ = c.Close()
	say("c", "d", "e")
	back := s.join2(t, "&since="+c.since)
	if back.open.Resumed == nil || !*back.open.Resumed || back.open.ID != c.since {
		t.Errorf("opened with %+v, want it resumed at %s", back.open, c.since)
	}
	if got, want := back.hear(3), []string{"c", "d", "e"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if o := back.read(); o.Event != "live" || o.ID != talker.since {
		t.Errorf("got %+v, want live at %s", o, talker.since)
	}
	say("f")
	if got := back.hear(1); got[0] != "f" {
		t.Errorf("got %q after live", got)
	}
	nothing := s.join2(t, "&since="+talker.since)
	if o := nothing.read(); o.Event != "live" || !*nothing.open.Resumed {
		t.Errorf("who missed nothing got %+v and %+v", nothing.open, o)
	}
	for _, since := range []string{"zzzzzzzzzzzzzzzz", "what", strings.Repeat("-", 16)} {
		lost := s.join2(t, "&since="+since)
		if o := lost.read(); lost.open.Resumed == nil || *lost.open.Resumed || o.Event != "live" || o.ID != talker.since {
			t.Errorf("since=%s: %+v and %+v, want it not resumed, live at %s", since, lost.open, o, talker.since)
		}
	}
	last := s.join2(t, "&last=2")
	if got, want := last.hear(2), []string{"e", "f"}; !slices.Equal(got, want) {
		t.Errorf("last=2 gave %q, want %q", got, want)
	}
	if o := last.read(); o.Event != "live" {
		t.Errorf("got %+v, want live", o)
	}
}

func TestABadRequestIsAnsweredAndTheConnectionStays(t *testing.T) {
	s := startServer(t, nil)
	c := s.join2(t, "")
	for _, row := range []struct {
		request   string
		code, ref int
		text      string
	}{
		{`{"massage":"x","ref":3}`, 4500, 3, "none of the keys"},
		{`{"message":1,"join":"x"}`, 4500, 0, "two of the keys"},
		{`{"message":1,"ref":"x"}`, 4500, 0, "ref"},
		{`{"join":"x"}`, 4500, 0, "one room"},
		{`{"members":1}`, 4500, 0, "members"},
		{`{"token":"x"}`, 4501, 0, "token"},
	} {
		c.text(row.request)
		if o := c.read(); o.Error == nil || o.Error.Code != row.code || o.Ref != row.ref || !strings.Contains(o.Error.Text, row.text) {
			t.Errorf("%s: %+v, want error %d about %q", row.request, o, row.code, row.text)
		}
	}
	c.text(`[{"message":"a","ref":5},{"message":"b","ref":5}]`)
	if o := c.read(); o.Error == nil || o.Ref != 5 || !strings.Contains(o.Error.Text, "grow") {
		t.Errorf("got %+v, want an error about the second ref", o)
	}
	if o := c.read(); o.Message == nil || string(*o.Message) != `"a"` {
		t.Errorf("got %+v, want the first message", o)
	}
	if o := c.read(); o.Event != "ack" || o.Ref != 5 {
		t.Errorf("got %+v, want its acknowledgement", o)
	}
	c.text("not JSON")
	if code, _, _ := c.ends(); code != 4500 {
		t.Errorf("closed with %d after text that is not JSON, want 4500", code)
	}
}

func TestTheHeartbeatSaysWhereTheRoomIs(t *testing.T) {
	s := startServer(t, nil)
	c := s.join2(t, "")
	c.say("x")
	c.hear(1)
	at := c.since
	c.text(`"heartbeat"`)
	if o := c.read(); o.Event != "heartbeat" || o.ID != at {
		t.Errorf("got %+v, want a heartbeat at %s", o, at)
	}
}

func TestASilentClientOfVersion2StaysWhileItAnswersPings(t *testing.T) {
	s := startServer(t, func(c *Config) { c.MaxAge = 600 * time.Millisecond })
	c := s.join2(t, "")
	for pings := 0; pings < 6; {
		op, payload, err := c.next()
		if err != nil || op != 9 {
			t.Fatalf("got opcode %d, %v, want a ping", op, err)
		}
		pings++
		c.write(string(frame(10, true, payload)))
	}
}

// An answer costs the server a write, so a frame of 128 bad requests costs much more than its sender pays.
func TestAFloodOfRequestsWithAnswersEndsWith1008(t *testing.T) {
	for _, request := range []string{`"heartbeat"`, "[" + strings.Repeat(`{"x":1},`, 127) + `{"x":1}]`} {
		s := startServer(t, func(c *Config) { c.ControlRate, c.ControlBurst = 10, 100 })
		c := s.join2(t, "")
		go func() {
			for range 200 {
				if _, err := c.Write(frame(1, true, []byte(request))); err != nil {
					return
				}
			}
		}()
		code, reason, answers := c.ends()
		if code != 1008 || !strings.Contains(reason, "--control-rate") || len(answers) > 150 {
			t.Errorf("%.20s: closed with %d %q after %d answers, want 1008 after about 100", request, code, reason, len(answers))
		}
	}
}
