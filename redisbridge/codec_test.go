package redisbridge

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dotsconnect/loop"
)

func TestABatchIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := ident{nodeID(rapid.Uint64Min(1).Draw(t, "node")), rapid.Uint64Min(1).Draw(t, "n")}
		var pubs []*loop.Publication
		for range rapid.IntRange(0, 5).Draw(t, "count") {
			pubs = append(pubs, &loop.Publication{
				Room: rapid.StringN(0, 140, 140).Draw(t, "room"), Value: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value"),
				Kind: loop.Kind(rapid.IntRange(0, 1).Draw(t, "kind")),
			})
		}
		gotID, got, err := parseBatch(string(appendBatch(nil, id, pubs)))
		if err != nil || gotID != id || len(got) != len(pubs) {
			t.Fatalf("got %v, %d publications and %v; want %v and %d", gotID, len(got), err, id, len(pubs))
		}
		for i, p := range pubs {
			if got[i].Room != p.Room || !bytes.Equal(got[i].Value, p.Value) || got[i].Kind != p.Kind || got[i].Origin != 0 {
				t.Fatalf("publication %d: got %+v, want %+v", i, got[i], p)
			}
		}
	})
}

// FuzzParseBatch: no input makes the decoder panic or take more memory than it has bytes, and what it takes is canonical
// enough to be written and read again.
func FuzzParseBatch(f *testing.F) {
	f.Add("0123456789abcdef 7 " + string(appendBatch(nil, ident{7, 9}, []*loop.Publication{{Room: "chat/x", Value: []byte("hello")}})))
	f.Add("0123456789abcdef 1 " + string(appendBatch(nil, ident{1, 1}, nil)))
	f.Add("0123456789abcdef 1 \x01\x00\x00\x00\x00\x00\x00\x00\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Fuzz(func(t *testing.T, payload string) {
		m, err := parseMessage(payload)
		if err != nil {
			return
		}
		id, pubs, err := parseBatch(m.batch)
		if err != nil {
			return
		}
		again, twice, err := parseBatch(string(appendBatch(nil, id, pubs)))
		if err != nil || again != id || len(twice) != len(pubs) {
			t.Fatalf("%v with %d becomes %v with %d, %v", id, len(pubs), again, len(twice), err)
		}
	})
}

func TestWhatIsNoBatchIsRefused(t *testing.T) {
	good := string(appendBatch(nil, ident{7, 9}, []*loop.Publication{{Room: "chat/x", Value: []byte("hello")}}))
	for n := range len(good) {
		if _, _, err := parseBatch(good[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a batch", n, len(good))
		}
	}
	for _, bad := range []string{good + "x", "\x02" + good[1:], strings.Replace(good, "\x00\x06chat", "\x02\x06chat", 1), good[:1] + strings.Repeat("\x00", 8) + good[9:]} {
		if _, _, err := parseBatch(bad); err == nil {
			t.Errorf("%q is taken for a batch", bad)
		}
	}
	for _, bad := range []string{"", "x", "0123456789abcdef", "0123456789abcdef 1", "0123456789ABCDEF 1 ", "0123456789abcdef 0 ", "0123456789abcdef -1 ", "0123456789abcdef 9007199254740993 x", "123 1 x"} {
		if m, err := parseMessage(bad); err == nil {
			t.Errorf("%q is taken for a message: %+v", bad, m)
		}
	}
}
