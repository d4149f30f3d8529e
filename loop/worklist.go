package loop

// A worklist holds work that a loop does one item at a time, over several turns if needed.
//
// An item is removed before it is handled. If the handling of an item panics, the host recovers, and the next turn goes on with
// the next item. So a connection with a bug affects only itself: the others are still handled, and the panic does not repeat in
// every turn. Code that fills a list must first handle the items that an earlier turn has left on it.
//
// Items that are added while the list is handled are handled in the same call. If handled items may be added again, the caller
// gathers them in a slice, and refill fills the list from this slice once per turn. Otherwise a connection that always has more
// input would keep the loop busy.
//
// The zero value is empty. Only the loop's goroutine uses it.
type worklist[T any] struct {
	items []T
	taken int // items[:taken] were removed, and are zero
}

func (w *worklist[T]) add(item T) {
	if len(w.items) == cap(w.items) && w.taken > len(w.items)/2 { // needed because the list may never become empty
		kept := copy(w.items, w.items[w.taken:])
		clear(w.items[kept:])
		w.items, w.taken = w.items[:kept], 0
	}
	w.items = append(w.items, item)
}

// len is the number of items that wait.
func (w *worklist[T]) len() int { return len(w.items) - w.taken }

// each removes one item after the other and handles it.
func (w *worklist[T]) each(handle func(T)) {
	for w.taken < len(w.items) {
		item := w.items[w.taken]
		w.drop()
		handle(item)
	}
	w.items, w.taken = w.items[:0], 0
}

// first returns the first item, for items that are handled in parts: it stays, even after a panic, until drop removes it.
func (w *worklist[T]) first() (item T, ok bool) {
	if w.taken == len(w.items) {
		return item, false
	}
	return w.items[w.taken], true
}

// drop removes the first item.
func (w *worklist[T]) drop() {
	var none T
	w.items[w.taken] = none
	w.taken++
}

// refill puts the items on a list, which must be empty, and returns the memory of its old items for reuse.
func (w *worklist[T]) refill(items []T) (empty []T) {
	empty, w.items, w.taken = w.items[:0], items, 0
	return empty
}
