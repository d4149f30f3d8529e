package loop

import (
	"slices"
	"strings"
	"testing"
	"unsafe"
)

func testBatches(t *testing.T) (*batches, func(bodies ...string) *batch) {
	r := newRig(t, nil)
	p := &batches{encodings: &r.node.cfg.Encodings}
	return p, func(bodies ...string) *batch {
		b := p.take(0)
		for _, body := range bodies {
			b.pubs = append(b.pubs, newPublication(&p.encodings[0], 0, "room", 0, nil, KindText, []byte(body)))
		}
		return b
	}
}

func TestABatchIsTheFramesOfItsPublicationsInOrder(t *testing.T) {
	p, batch := testBatches(t)
	b := batch("a", "bc", "")
	for v := range Variant(2) {
		var want []byte
		for i, pub := range b.pubs {
			if at := p.offset(b, v, i); at != len(want) {
				t.Errorf("variant %d: frame %d begins at %d, want %d", v, i, at, len(want))
			}
			want = append(want, pub.frame(p.encodings, v)...)
		}
		if got := p.encoded(b, v); !slices.Equal(got, want) {
			t.Errorf("variant %d: %q, want %q", v, got, want)
		}
	}
}

func TestABatchOfOneIsItsFrame(t *testing.T) {
	p, batch := testBatches(t)
	long := strings.Repeat("x", bufferSize)
	over := len(batch(long).pubs[0].frame(p.encodings, 0)) - bufferSize
	b := batch(long[over:]) // the frame has a size at which it could be mistaken for a buffer of the free list
	if got, want := p.encoded(b, 0), b.pubs[0].frame(p.encodings, 0); unsafe.SliceData(got) != unsafe.SliceData(want) {
		t.Error("the frame was copied, want it shared")
	}
	p.strip(b)
	if len(p.buffers) != 0 {
		t.Error("the frame of a publication was kept as a buffer: the next batch would write into it")
	}
}

func TestABufferIsUsedAgainOnceItsBatchIsStripped(t *testing.T) {
	p, batch := testBatches(t)
	first, second := batch("a", "b"), batch("c", "d")
	buf := unsafe.SliceData(p.encoded(first, 0))
	if unsafe.SliceData(p.encoded(second, 0)) == buf {
		t.Error("two batches share a buffer")
	}
	p.strip(first)
	if first.bufs[0] != nil || first.encoded[0] != 0 {
		t.Error("a stripped batch keeps its frames")
	}
	if third := batch("e", "f"); unsafe.SliceData(p.encoded(third, 0)) != buf {
		t.Error("a new buffer was made, want the one that was free")
	}
}

func TestABatchThatIsGivenBackKeepsNothingOfWhatItHad(t *testing.T) {
	p, batch := testBatches(t)
	b := batch("a", "b")
	b.frozen, b.bytes, b.cost = true, 10, 20
	pubs := b.pubs
	p.give(b)
	if pubs[0] != nil || pubs[1] != nil {
		t.Error("the publications are still referenced")
	}
	again := p.take(7)
	if again != b || again.base != 7 || len(again.pubs) != 0 || again.frozen || again.bytes != 0 || again.cost != 0 {
		t.Errorf("the next batch is %+v, want the same one, empty, from 7 on", again)
	}
}
