package redisbridge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dotsconnect/loop"
)

// drawBatch draws a random batch of a format.
func drawBatch(t *rapid.T, format int) (id ident, pubs []*loop.Publication, n *notice) {
	id = ident{nodeID(rapid.Uint64Min(1).Draw(t, "node")), rapid.Uint64Min(1).Draw(t, "n")}
	for range rapid.IntRange(0, 5).Draw(t, "count") {
		pubs = append(pubs, &loop.Publication{
			Room: rapid.StringN(0, 3, 140).Draw(t, "room"), Value: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value"),
			Kind: loop.Kind(rapid.IntRange(0, 1).Draw(t, "kind")),
		})
	}
	if format == 1 {
		return id, pubs, nil
	}
	slices.SortStableFunc(pubs, func(a, b *loop.Publication) int { return strings.Compare(a.Room, b.Room) })
	if rapid.Bool().Draw(t, "notice") {
		n = &notice{messages: rapid.Uint64().Draw(t, "messages"), more: rapid.Bool().Draw(t, "more"), rooms: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "rooms")}
	}
	return id, pubs, n
}

// TestABatchIsReadAsItWasWritten reads a batch twice: with members in all rooms of the batch, and with members in some of the
// rooms.
func TestABatchIsReadAsItWasWritten(t *testing.T) {
	for _, format := range []int{1, 2} {
		t.Run(fmt.Sprint("format ", format), rapid.MakeCheck(func(t *rapid.T) {
			id, pubs, n := drawBatch(t, format)
			absent := rapid.StringN(0, 3, 140).Draw(t, "nobody is in")
			b := appendBatch(nil, format, id, pubs, n)
			got, err := parseBatch(b, func(name []byte) (string, bool) { return string(name), string(name) != absent })
			if err != nil || got.id != id || senderOf(b) != id.node {
				t.Fatalf("got %v of %v and %v; want %v", got.id, senderOf(b), err, id)
			}
			if n != nil {
				rooms := slices.DeleteFunc(slices.Clone(n.rooms), func(room string) bool { return room == absent })
				if m := got.notice; m == nil || m.messages != n.messages || m.more != n.more || !slices.Equal(m.rooms, rooms) {
					t.Fatalf("the notice is %+v, want %+v without %q", m, n, absent)
				}
			}
			for i, p := range pubs {
				if p.Room == absent {
					continue
				}
				if len(got.pubs) == 0 {
					t.Fatalf("publication %d is missing", i)
				}
				q := got.pubs[0]
				got.pubs = got.pubs[1:]
				if q.Room != p.Room || !bytes.Equal(q.Value, p.Value) || q.Kind != p.Kind || q.Origin != 0 || q.ID.Index != uint32(i) {
					t.Fatalf("publication %d: got %+v, want %+v", i, q, p)
				}
			}
			if len(got.pubs) > 0 {
				t.Fatalf("%d more than there are", len(got.pubs))
			}
		}))
	}
}

// seal corrects the checksum of a batch.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[1:], crc32.Checksum(b[5:], castagnoli))
	return b
}

// TestFormat2PassesOverWhatItDoesNotKnow: unknown sections, unknown kinds of publications, and unknown fields after a
// publication.
func TestFormat2PassesOverWhatItDoesNotKnow(t *testing.T) {
	head := appendBatch(nil, 2, ident{7, 9}, nil, nil)
	hello := []*loop.Publication{{Room: "chat/x", Value: []byte("hello")}}
	room := appendRoom(nil, hello)
	section := func(kind byte, body string) []byte { return appendText([]byte{kind}, body) }
	fields := section(sectionRoom, "\x06chat/x\x02"+"\x80\x05first\x03new"+"\x07\x02??")
	for name, row := range map[string]struct {
		sections [][]byte
		want     []string
	}{
		"an unknown section":     {[][]byte{section(77, "whatever"), room}, []string{"0 hello"}},
		"fields, and a new kind": {[][]byte{fields, room}, []string{"0 first", "2 hello"}},
		"an unknown notice":      {[][]byte{section(sectionNotice, "\x03\x01"), room}, []string{"0 hello"}},
	} {
		b := seal(append(slices.Clone(head), bytes.Join(row.sections, nil)...))
		all, err := parseBatch(b, anybody)
		var got []string
		for _, p := range all.pubs {
			got = append(got, fmt.Sprintf("%d %s", p.ID.Index, p.Value))
		}
		if err != nil || !slices.Equal(got, row.want) {
			t.Errorf("%s: got %q and %v, want %q", name, got, err, row.want)
		}
	}
}

// A fence names a sender, but has no ref. One without a sender is passed over.
func TestAFenceComesThrough(t *testing.T) {
	fence := &loop.Publication{Room: "chat/x", Kind: loop.KindFence, By: &loop.Sender{Me: 1<<48 - 1}, Value: []byte("the key")}
	none := &loop.Publication{Room: "chat/x", Kind: loop.KindFence, Value: []byte("x")}
	all, err := parseBatch(appendBatch(nil, 2, ident{7, 9}, []*loop.Publication{fence, none}, nil), anybody)
	if err != nil || len(all.pubs) != 1 {
		t.Fatalf("got %d publications, %v, want one", len(all.pubs), err)
	}
	if p := all.pubs[0]; p.Kind != fence.Kind || *p.By != *fence.By || string(p.Value) != "the key" {
		t.Errorf("got %+v by %+v, want the fence", p, p.By)
	}
}

// TestEveryFlippedBitIsNoticed: the checksum of format 2 finds each flipped bit.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	good := appendBatch(nil, 2, ident{7, 9}, []*loop.Publication{{Room: "chat/x", Value: []byte("hello")}}, &notice{messages: 3, rooms: []string{"chat/y"}})
	for bit := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := parseBatch(bad, anybody); err == nil {
			t.Errorf("bit %d is flipped, and nothing noticed", bit)
		}
	}
}

// FuzzParseBatch checks that no input makes the decoder panic or take more memory than the input has bytes, and that every
// accepted input can be written and read again.
func FuzzParseBatch(f *testing.F) {
	hello := []*loop.Publication{{Room: "chat/x", Value: []byte("hello")}}
	for _, format := range []int{1, 2} {
		f.Add(append([]byte("0123456789abcdef 7 "), appendBatch(nil, format, ident{7, 9}, hello, &notice{messages: 1, rooms: []string{"chat/x"}})...))
		f.Add(append([]byte("0123456789abcdef 1 "), appendBatch(nil, format, ident{1, 1}, nil, nil)...))
	}
	f.Add([]byte("0123456789abcdef 1 \x01\x00\x00\x00\x00\x00\x00\x00\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := parseMessage(payload)
		if err != nil {
			return
		}
		if len(m.batch) >= 5 && m.batch[0] == 2 {
			m.batch = seal(bytes.Clone(m.batch)) // otherwise the checksum would refuse nearly every input
		}
		all, err := parseBatch(m.batch, anybody)
		if err != nil {
			return
		}
		again, err := parseBatch(appendBatch(nil, int(m.batch[0]), all.id, all.pubs, all.notice), anybody)
		if err != nil || again.id != all.id || len(again.pubs) != len(all.pubs) || (again.notice == nil) != (all.notice == nil) {
			t.Fatalf("%v with %d becomes %v with %d, %v", all.id, len(all.pubs), again.id, len(again.pubs), err)
		}
	})
}

func TestWhatIsNoBatchIsRefused(t *testing.T) {
	for _, format := range []int{1, 2} {
		good := string(appendBatch(nil, format, ident{7, 9}, []*loop.Publication{{Room: "chat/x", Value: []byte("hello")}}, nil))
		for n := range len(good) {
			if _, err := parseBatch([]byte(good[:n]), anybody); err == nil {
				t.Errorf("the first %d of %d bytes are taken for a batch", n, len(good))
			}
		}
		bad := []string{good + "x", "\x03" + good[1:], strings.Replace(good, strings.Repeat("\x00", 7)+"\x07", strings.Repeat("\x00", 8), 1)}
		if format == 1 {
			bad = append(bad, strings.Replace(good, "\x00\x06chat", "\x02\x06chat", 1)) // an invalid kind
		}
		for _, bad := range bad {
			if _, err := parseBatch([]byte(bad), anybody); err == nil {
				t.Errorf("%q is taken for a batch", bad)
			}
		}
	}
	for _, bad := range []string{"", "x", "0123456789abcdef", "0123456789abcdef 1", "0123456789ABCDEF 1 ", "0123456789abcdef 0 ", "0123456789abcdef -1 ", "0123456789abcdef 9007199254740993 x", "123 1 x"} {
		if m, err := parseMessage([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a message: %+v", bad, m)
		}
	}
}

func TestANoticeIsBounded(t *testing.T) {
	var n notice
	for i := range 3 * noticeRooms {
		n.note(fmt.Sprint("chat/", i%(2*noticeRooms)))
	}
	if n.messages != 3*noticeRooms || len(n.rooms) != noticeRooms || !n.more || n.gap().Rooms != nil {
		t.Errorf("%d messages, %d rooms, more: %v, the gap is for %d rooms; want %d, %d, true, all", n.messages, len(n.rooms), n.more, len(n.gap().Rooms), 3*noticeRooms, noticeRooms)
	}
	n = notice{}
	n.note(strings.Repeat("x", noticeBytes))
	if n.note("y"); len(n.rooms) != 1 || !n.more {
		t.Errorf("%d rooms of %d bytes, more: %v", len(n.rooms), n.bytes, n.more)
	}
	var all notice
	all.note("chat/a")
	all.merge(&notice{messages: 2, rooms: []string{"chat/a", "chat/b"}})
	if all.merge(nil); all.messages != 3 || fmt.Sprint(all.rooms) != "[chat/a chat/b]" {
		t.Errorf("merged: %d messages into %q", all.messages, all.rooms)
	}
}
