package analyze

import (
	"cmp"
	"container/heap"
	"slices"
)

// Top keeps the n greatest items by a score, in memory for n items. Of equal
// scores the smaller name stays, so that the result does not depend on order.
type Top[T any] struct {
	n    int
	heap ranks[T]
	rank func(T) (score int64, name string)
}

// NewTop returns a Top of n items. rank gives the score, and a name that tells
// items apart: an item with the name of one already kept replaces it.
func NewTop[T any](n int, rank func(T) (score int64, name string)) *Top[T] {
	return &Top[T]{n: n, rank: rank, heap: ranks[T]{at: make(map[string]int)}}
}

// Add offers an item.
func (t *Top[T]) Add(item T) {
	score, name := t.rank(item)
	r := ranked[T]{score, name, item}
	if i, known := t.heap.at[name]; known { // a scan may bring a key twice
		t.heap.items[i] = r
		heap.Fix(&t.heap, i)
		return
	}
	switch {
	case t.n < 1:
	case len(t.heap.items) < t.n:
		heap.Push(&t.heap, r)
	case compare(r, t.heap.items[0]) > 0:
		delete(t.heap.at, t.heap.items[0].name)
		t.heap.items[0] = r
		t.heap.at[name] = 0
		heap.Fix(&t.heap, 0)
	}
}

// Merge offers everything that other kept.
func (t *Top[T]) Merge(other *Top[T]) {
	for _, r := range other.heap.items {
		t.Add(r.item)
	}
}

// Items returns what was kept, the greatest first.
func (t *Top[T]) Items() []T {
	all := slices.Clone(t.heap.items)
	slices.SortFunc(all, func(a, b ranked[T]) int { return compare(b, a) })
	items := make([]T, len(all))
	for i, r := range all {
		items[i] = r.item
	}
	return items
}

type ranked[T any] struct {
	score int64
	name  string
	item  T
}

func compare[T any](a, b ranked[T]) int {
	return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(b.name, a.name))
}

// ranks is a heap with the least on top, and the place of each name.
type ranks[T any] struct {
	items []ranked[T]
	at    map[string]int
}

func (h *ranks[T]) Len() int           { return len(h.items) }
func (h *ranks[T]) Less(i, j int) bool { return compare(h.items[i], h.items[j]) < 0 }
func (h *ranks[T]) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.at[h.items[i].name], h.at[h.items[j].name] = i, j
}

func (h *ranks[T]) Push(x any) {
	r := x.(ranked[T])
	h.at[r.name] = len(h.items)
	h.items = append(h.items, r)
}

func (h *ranks[T]) Pop() any {
	last := h.items[len(h.items)-1]
	h.items = h.items[:len(h.items)-1]
	delete(h.at, last.name)
	return last
}
