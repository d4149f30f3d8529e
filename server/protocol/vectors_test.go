package protocol_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"dotsconnect/server/protocol"
)

// vectors is the file of test vectors that the server and the clients in all languages are tested with.
type vectors struct {
	IDs []struct {
		Tag   uint32
		Seq   uint64
		Index uint16
		ID    string
	}
	NotIDs []string `json:"not_ids"`
	Keys   []struct{ Bytes, Key, Me string }
	Frames []struct {
		Fields fields
		Text   string
	}
	Events []struct {
		Kind   string
		Fields fields
		Text   string
	}
}

// fields are the fields of all frames and events together. Pointers tell a missing field from its zero value.
type fields struct {
	ID, Room, From, Me, Key       string
	Ref                           uint64
	Value                         string
	Heartbeat, Count, Code, Retry int
	MaxAge                        int `json:"max_age"`
	Resumed, Fenced               *bool
	Lost                          *int
	Scope, Reason, Name, Text     string
	Maybe                         bool
}

func loadVectors(t testing.TB) (v vectors) {
	t.Helper()
	text, err := os.ReadFile("testdata/v2.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.IDs) == 0 || len(v.NotIDs) == 0 || len(v.Keys) == 0 || len(v.Frames) == 0 || len(v.Events) == 0 {
		t.Fatal("a part of the test vectors is empty")
	}
	return v
}

func TestIDsAreThoseOfTheVectors(t *testing.T) {
	v := loadVectors(t)
	for i, row := range v.IDs {
		p := protocol.Position{Tag: row.Tag, Seq: row.Seq, Index: row.Index}
		if got := string(p.Append([]byte("before"))); got != "before"+row.ID {
			t.Errorf("%+v: got %q, want %q", p, got, "before"+row.ID)
		}
		if got, ok := protocol.ParsePosition(row.ID); !ok || got != p {
			t.Errorf("%q: got %+v, %v, want %+v", row.ID, got, ok, p)
		}
		if i > 0 && row.ID <= v.IDs[i-1].ID {
			t.Errorf("%q does not come after %q", row.ID, v.IDs[i-1].ID)
		}
	}
	for _, id := range v.NotIDs {
		if got, ok := protocol.ParsePosition(id); ok || got != (protocol.Position{}) {
			t.Errorf("%q: got %+v, %v, want a refusal", id, got, ok)
		}
		if got, ok := protocol.ParseKey16(id); ok || got != ([12]byte{}) {
			t.Errorf("%q: got the key %x, %v, want a refusal", id, got, ok)
		}
	}
}

func TestKeysAndTagsAreThoseOfTheVectors(t *testing.T) {
	for _, row := range loadVectors(t).Keys {
		var key [12]byte
		if n, err := hex.Decode(key[:], []byte(row.Bytes)); n != len(key) || err != nil {
			t.Fatalf("%q: %d bytes, %v", row.Bytes, n, err)
		}
		if got := string(protocol.AppendKey([]byte("before"), key)); got != "before"+row.Key {
			t.Errorf("%x: got %q, want %q", key, got, "before"+row.Key)
		}
		if got, ok := protocol.ParseKey16(row.Key); !ok || got != key {
			t.Errorf("%q: got %x, %v, want %x", row.Key, got, ok, key)
		}
		me := protocol.MeOf(key)
		if got := string(protocol.AppendMe(nil, me)); got != row.Me || me>>48 != 0 {
			t.Errorf("%x: got the tag %q, %x, want %q", key, got, me, row.Me)
		}
	}
}

func TestFramesAreThoseOfTheVectors(t *testing.T) {
	for _, row := range loadVectors(t).Frames {
		f := row.Fields
		want := string(protocol.AppendRaw([]byte("before"), false, []byte(row.Text)))
		m := protocol.MessageV2{Room: f.Room, Me: tag(f.From), Ref: f.Ref, Value: []byte(f.Value)}
		if p := f.position(); p != nil {
			m.Position, m.HasPosition = *p, true
		}
		if got := m.Append([]byte("before")); string(got) != want || len(got) != len("before")+m.Size() {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestEventsAreThoseOfTheVectors(t *testing.T) {
	kinds := map[string]int{}
	for _, row := range loadVectors(t).Events {
		kinds[row.Kind]++
		got := row.Fields.appendEvent([]byte("before"), row.Kind)
		if want := string(protocol.AppendRaw([]byte("before"), false, []byte(row.Text))); string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, kind := range []string{"open", "live", "heartbeat", "mark", "ack", "gap", "left", "error"} {
		if kinds[kind] == 0 {
			t.Errorf("no test vector for %s", kind)
		}
		delete(kinds, kind)
	}
	if len(kinds) > 0 {
		t.Errorf("the test does not know the kinds %v", kinds)
	}
}

// appendEvent appends the event of the kind with these fields; an unknown kind appends nothing.
func (f fields) appendEvent(dst []byte, kind string) []byte {
	p := f.position()
	switch kind {
	case "open":
		key, _ := protocol.ParseKey16(f.Key)
		o := protocol.Open{
			Room: f.Room, HasPosition: p != nil, Me: tag(f.Me), Key: key, Heartbeat: f.Heartbeat, MaxAge: f.MaxAge,
			Resumed: f.Resumed, Count: f.Count,
		}
		if p != nil {
			o.Position = *p
		}
		return o.Append(dst)
	case "live":
		return protocol.AppendLive(dst, f.Room, p, f.Fenced)
	case "heartbeat":
		return protocol.AppendHeartbeatEvent(dst, p)
	case "mark":
		return protocol.AppendMark(dst, f.Room, *p)
	case "ack":
		return protocol.AppendAck(dst, f.Room, f.Ref, p, f.Scope == "node")
	case "gap":
		lost := -1
		if f.Lost != nil {
			lost = *f.Lost
		}
		return protocol.AppendGap(dst, f.Room, p, f.Reason, lost)
	case "error":
		e := protocol.ErrorEvent{Code: f.Code, Name: f.Name, Text: f.Text, Retry: f.Retry, Maybe: f.Maybe, Ref: f.Ref, Room: f.Room}
		return e.Append(dst)
	case "left":
		if f.Code == 0 {
			return protocol.AppendLeft(dst, f.Room, nil)
		}
		return protocol.AppendLeft(dst, f.Room, &protocol.ErrorEvent{Code: f.Code, Name: f.Name, Text: f.Text})
	}
	return dst
}

// position returns the position of the id, or nil if there is none.
func (f fields) position() *protocol.Position {
	p, ok := protocol.ParsePosition(f.ID)
	if !ok {
		return nil
	}
	return &p
}

// tag is the inverse of AppendMe. A tag is as long as the second half of an id, which has the last 32 bits of the seq and the
// index.
func tag(me string) uint64 {
	p, _ := protocol.ParsePosition("--------" + me)
	return p.Seq<<16 | uint64(p.Index)
}
