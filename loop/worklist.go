package loop

// A worklist is work that a loop does one item after the other, over several turns if it must.
//
// An item is taken off before it is handled. Should handling it panic, the host recovers, and the next turn goes on behind it:
// one connection with a bug behind it costs itself, and neither the others nor a panic in every turn from then on. So whoever
// fills a list first handles what an earlier turn has left on it.
//
// What is added while the list is worked off is handled in the same go. A list whose items may come back at once is filled by
// refill instead, once a turn, from a slice that gathers meanwhile: else one that always has more would hold the loop.
//
// The zero value is empty. Loop's goroutine only.
type worklist[T any] struct {
	items []T
	taken int // items[:taken] were taken off, and are zero
}

func (w *worklist[T]) add(item T) {
	if len(w.items) == cap(w.items) && w.taken > len(w.items)/2 { // it may never be empty
		kept := copy(w.items, w.items[w.taken:])
		clear(w.items[kept:])
		w.items, w.taken = w.items[:kept], 0
	}
	w.items = append(w.items, item)
}

// len is how many items wait.
func (w *worklist[T]) len() int { return len(w.items) - w.taken }

// each takes off one item after the other and handles it.
func (w *worklist[T]) each(handle func(T)) {
	for w.taken < len(w.items) {
		item := w.items[w.taken]
		w.drop()
		handle(item)
	}
	w.items, w.taken = w.items[:0], 0
}

// first is the first item, for one that is handled in part: it stays where it is, should that panic, until it is dropped.
func (w *worklist[T]) first() (item T, ok bool) {
	if w.taken == len(w.items) {
		return item, false
	}
	return w.items[w.taken], true
}

// drop takes the first item off.
func (w *worklist[T]) drop() {
	var none T
	w.items[w.taken] = none
	w.taken++
}

// refill gives an empty list the items, and returns the memory of those that it had.
func (w *worklist[T]) refill(items []T) (empty []T) {
	empty, w.items, w.taken = w.items[:0], items, 0
	return empty
}
