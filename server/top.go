package server

import (
	"container/heap"
	"slices"
)

// top keeps the elements that come first in the given order, up to a limit, of all elements that are offered to it. It is a
// heap whose root is the last of the kept elements, so most offers cost one comparison.
type top[T any] struct {
	kept    []T
	limit   int
	compare func(a, b T) int // negative: a comes first
	offered int
}

func newTop[T any](limit int, compare func(a, b T) int) *top[T] {
	return &top[T]{kept: []T{}, limit: limit, compare: compare}
}

func (t *top[T]) Len() int           { return len(t.kept) }
func (t *top[T]) Less(i, j int) bool { return t.compare(t.kept[i], t.kept[j]) > 0 }
func (t *top[T]) Swap(i, j int)      { t.kept[i], t.kept[j] = t.kept[j], t.kept[i] }
func (t *top[T]) Push(x any)         { t.kept = append(t.kept, x.(T)) }
func (*top[T]) Pop() any             { panic("not used") }

func (t *top[T]) offer(v T) {
	t.offered++
	switch {
	case len(t.kept) < t.limit:
		heap.Push(t, v)
	case t.compare(v, t.kept[0]) < 0:
		t.kept[0] = v
		heap.Fix(t, 0)
	}
}

// sorted returns the kept elements in order. The heap is unusable afterwards.
func (t *top[T]) sorted() []T {
	slices.SortFunc(t.kept, t.compare)
	return t.kept
}
