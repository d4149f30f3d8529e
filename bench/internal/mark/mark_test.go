package mark

import (
	"bytes"
	"testing"
)

func TestMarkSurvivesAnyEnvelope(t *testing.T) {
	want := Mark{0xfffffffe, 7, 500}
	m := AppendMessage(nil, want)
	for _, envelope := range [][]byte{m, append([]byte(`{"id":"7",`), m[1:]...), m[12:]} {
		if got, err := Parse(envelope); got != want || err != nil {
			t.Errorf("%s: got %v, %v", envelope, got, err)
		}
	}
}

func TestEveryChangedByteOfAMarkIsFound(t *testing.T) {
	m := AppendMessage(nil, Mark{1, 2, 3})
	from := bytes.Index(m, []byte(tag))
	for i := from; i < from+length; i++ {
		for bit := range 8 {
			bad := bytes.Clone(m)
			bad[i] ^= 1 << bit
			if got, err := Parse(bad); err == nil {
				t.Fatalf("byte %d changed to %q: read as %v", i, bad[i], got)
			}
		}
	}
	for n := range from + length {
		if _, err := Parse(m[:n]); err == nil {
			t.Fatalf("cut to %d bytes: accepted", n)
		}
	}
	if _, err := Parse(append(m, m...)); err != ErrTwo {
		t.Errorf("two messages: got %v", err)
	}
}
