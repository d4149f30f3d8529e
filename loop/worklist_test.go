package loop

import (
	"slices"
	"testing"
)

func drain(w *worklist[int]) (got []int) {
	w.each(func(item int) { got = append(got, item) })
	return got
}

func TestAWorklistGoesOnBehindTheItemThatPanicked(t *testing.T) {
	var w worklist[int]
	for i := range 4 {
		w.add(i)
	}
	func() {
		defer func() { _ = recover() }()
		w.each(func(item int) {
			if item == 1 {
				panic("a bug")
			}
		})
	}()
	if got, want := drain(&w), []int{2, 3}; !slices.Equal(got, want) {
		t.Errorf("after the panic come %v, want %v", got, want)
	}
}

func TestAWorklistHandsOutWhatIsAddedMeanwhile(t *testing.T) {
	var w worklist[int]
	w.add(3)
	var got []int
	w.each(func(item int) {
		if got = append(got, item); item > 0 {
			w.add(item - 1)
		}
	})
	if want := []int{3, 2, 1, 0}; !slices.Equal(got, want) || w.len() != 0 {
		t.Errorf("got %v and %d are left, want %v and 0", got, w.len(), want)
	}
}

func TestTheFirstOfAWorklistStaysUntilItIsTakenOff(t *testing.T) {
	var w worklist[int]
	if item, ok := w.first(); ok {
		t.Errorf("the first of an empty list is %d, want none", item)
	}
	w.add(7)
	for range 2 {
		if item, ok := w.first(); !ok || item != 7 || w.len() != 1 {
			t.Errorf("first is %d, %v, with %d waiting, want 7, true, 1", item, ok, w.len())
		}
	}
	w.drop()
	if w.len() != 0 {
		t.Errorf("%d wait after the only one was dropped, want 0", w.len())
	}
}

func TestARefilledWorklistGivesTheMemoryOfItsLastItemsBack(t *testing.T) {
	var w worklist[int]
	spare := w.refill([]int{1, 2, 3})
	if got, want := drain(&w), []int{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if cap(spare) != 0 {
		t.Errorf("an empty list gave back memory for %d", cap(spare))
	}
	if spare = w.refill([]int{4}); len(spare) != 0 || cap(spare) != 3 {
		t.Errorf("gave back %d items and memory for %d, want 0 and 3", len(spare), cap(spare))
	}
}

func TestAWorklistThatIsNeverEmptyStaysSmallAndKeepsNothing(t *testing.T) {
	var w worklist[*int]
	const waiting = 100
	for i := range 100_000 {
		w.add(&i)
		if i < waiting {
			continue
		}
		if item, _ := w.first(); *item != i-waiting {
			t.Fatalf("item %d came, want %d", *item, i-waiting)
		}
		w.drop()
	}
	if n := cap(w.items); n > 8*waiting {
		t.Errorf("memory for %d items with %d waiting, want at most %d", n, waiting, 8*waiting)
	}
	for i, item := range w.items[:cap(w.items)] {
		if waits := i >= w.taken && i < len(w.items); (item != nil) != waits {
			t.Fatalf("place %d of %d to %d holds %v", i, w.taken, len(w.items), item)
		}
	}
}
