package loop

import (
	"fmt"
	"slices"
	"testing"
)

// fillRig has one lane of a bus with other nodes, which has delivered the batches 1 to 5 before this node kept a history.
type fillRig struct {
	*rig
	log [][]string // values of each batch, from 1
}

const fillTag = 5

func newFillRig(t *testing.T) *fillRig {
	r := &fillRig{rig: newRig(t, func(c *Config) {
		c.Lanes = 1
		c.Encodings[2] = Encoding{Append: func(dst []byte, p *Publication) ([]byte, int) {
			if p.Kind.Notice() {
				return dst, -1
			}
			return appendFrame(dst, fmt.Appendf(nil, "%d.%d:%s", p.ID.Seq, p.ID.Index, p.Value)), -1
		}, Size: func(p *Publication) int { return 40 + len(p.Value) }, NeedsID: true}
	})}
	for i := range 5 {
		r.deliver(fmt.Sprint("a", i), fmt.Sprint("b", i))
	}
	return r
}

func batchOf(values []string) (pubs []*Publication) {
	for i, v := range values {
		pubs = append(pubs, &Publication{Room: "room", Value: []byte(v), ID: ID{Index: uint32(i)}})
	}
	return pubs
}

func (r *fillRig) deliver(values ...string) {
	r.log = append(r.log, values)
	pubs := batchOf(values)
	Number(pubs, fillTag, uint64(len(r.log)))
	r.node.dir.Deliver(0, pubs)
	r.rest()
}

func (r *fillRig) at() ID { return ID{Seq: uint64(len(r.log)), Tag: fillTag} }

// A client that comes to a node which is new waits until the history is filled, and then gets what it missed.
func TestAFilledHistoryHasWhatCameBefore(t *testing.T) {
	r := newFillRig(t)
	if !r.node.KeepHistory(true) || r.node.KeepHistory(true) {
		t.Error("the first call is not the only first")
	}
	back, o := r.resume(0, "room", Start{Since: ID{Seq: 3, Index: 0, Tag: fillTag}, HasSince: true}, -1)
	r.deliver("c") // in the history that is replaced
	f := r.node.dir.Fill(0)
	for f.Next() < 4 {
		seq := max(f.Next(), 1)
		f.Add(seq, fillTag, batchOf(r.log[seq-1]))
	}
	if f.Done(r.at()) || back.joins > 0 {
		t.Fatal("done with a part of the log")
	}
	r.deliver("d")
	for f.Next() <= uint64(len(r.log)) {
		f.Add(f.Next(), fillTag, batchOf(r.log[f.Next()-1]))
	}
	if !f.Done(r.at()) {
		t.Fatal("not done with the whole log")
	}
	r.step(Tick)
	r.step(Tick)
	r.deliver("e")
	if got, want := back.frames(t), []string{"3.1:b2", "4.0:a3", "4.1:b3", "5.0:a4", "5.1:b4", "6.0:c", "7.0:d", "8.0:e"}; !o.Resumed || !slices.Equal(got, want) {
		t.Errorf("opening %+v, got %q, want %q", *o, got, want)
	}
	if r.node.dir.Fill(0) != nil {
		t.Error("it wants to be filled again")
	}
}

// Holes in the log, other numberings, fences and gaps: only what is whole may be resumed.
func TestAFilledHistoryHasNoHole(t *testing.T) {
	for name, row := range map[string]struct {
		fill func(r *fillRig, f *Fill)
		want map[uint64]bool // since -> resumed
	}{
		"a hole": {func(r *fillRig, f *Fill) {
			for _, seq := range []uint64{1, 2, 4, 5} {
				f.Add(seq, fillTag, batchOf(r.log[seq-1]))
			}
			f.Done(r.at())
		}, map[uint64]bool{1: false, 2: false, 4: true}},
		"another numbering": {func(r *fillRig, f *Fill) {
			f.Add(5, fillTag+1, batchOf(r.log[4]))
			f.Done(r.at())
		}, map[uint64]bool{4: false}},
		"nothing":  {func(r *fillRig, f *Fill) { f.Done(r.at()) }, map[uint64]bool{4: false}},
		"given up": {func(_ *fillRig, f *Fill) { f.Abandon() }, map[uint64]bool{4: false}},
		"a gap meanwhile": {func(r *fillRig, f *Fill) {
			for seq := uint64(1); seq <= 5; seq++ {
				f.Add(seq, fillTag, batchOf(r.log[seq-1]))
			}
			r.node.Gap(0, nil)
			f.Done(r.at())
		}, map[uint64]bool{1: false, 4: false}},
		"a fence": {func(r *fillRig, f *Fill) {
			by := &Sender{Me: 9, Ref: 1}
			for seq := uint64(1); seq <= 5; seq++ {
				pubs := batchOf(r.log[seq-1])
				pubs[1].By = by
				if seq == 3 {
					pubs = append(pubs, &Publication{Room: "room", Kind: KindFence, By: &Sender{Me: 9}, ID: ID{Index: 2}})
				}
				f.Add(seq, fillTag, pubs)
			}
			f.Done(r.at())
		}, map[uint64]bool{2: true}},
	} {
		r := newFillRig(t)
		r.node.KeepHistory(true)
		row.fill(r, r.node.dir.Fill(0))
		r.deliver("after")
		for seq, want := range row.want {
			back, o := r.resume(0, "room", Start{Since: ID{Seq: seq, Index: 1, Tag: fillTag}, HasSince: true}, -1)
			if o.Resumed != want {
				t.Errorf("%s: since %d resumed %v, want %v", name, seq, o.Resumed, want)
			}
			if got := back.frames(t); name == "a fence" && !slices.Equal(got, []string{"3.0:a2", "3.1:b2", "4.0:a3", "5.0:a4", "6.0:after"}) {
				t.Errorf("%s: got %q", name, got)
			}
		}
	}
}

// A member that waits for a history that nobody fills goes on without it.
func TestNobodyWaitsLongForAHistory(t *testing.T) {
	r := newFillRig(t)
	r.node.KeepHistory(true)
	back, o := r.resume(0, "room", Start{Since: ID{Seq: 3, Tag: fillTag}, HasSince: true}, -1)
	for range longestLate + 1 {
		r.step(Tick)
	}
	if back.joins != 1 || o.Resumed {
		t.Errorf("joined %d times, opening %+v", back.joins, *o)
	}
}
