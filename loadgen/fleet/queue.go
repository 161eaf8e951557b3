package fleet

// A ring is a first-in first-out queue that keeps its memory. The zero ring is empty.
type ring[T any] struct {
	slots []T // a power of two of them
	head  int
	n     int
}

func (r *ring[T]) len() int { return r.n }

// front is the oldest, to be read or changed in place. The ring must not be empty.
func (r *ring[T]) front() *T { return &r.slots[r.head] }

func (r *ring[T]) push(v T) { *r.add() = v }

// add appends one and returns its place, which holds whatever was there, until the next add.
func (r *ring[T]) add() *T {
	if r.n == len(r.slots) {
		bigger := make([]T, max(16, 2*r.n))
		k := copy(bigger, r.slots[r.head:])
		copy(bigger[k:], r.slots[:r.head])
		r.slots, r.head = bigger, 0
	}
	slot := &r.slots[(r.head+r.n)&(len(r.slots)-1)]
	r.n++
	return slot
}

func (r *ring[T]) pop() T {
	v := r.slots[r.head]
	r.drop()
	return v
}

func (r *ring[T]) drop() {
	r.head = (r.head + 1) & (len(r.slots) - 1)
	r.n--
}

// A heap has its least on top. Four children a node: shallower than two, and they share a cache line or two.
type heap[T any, P interface {
	*T
	before(*T) bool
}] []T

func (h *heap[T, P]) push(v T) {
	*h = append(*h, v)
	s := *h
	i := len(s) - 1
	for i > 0 {
		p := (i - 1) / 4
		if !P(&v).before(&s[p]) {
			break
		}
		s[i], i = s[p], p
	}
	s[i] = v
}

func (h *heap[T, P]) pop() T {
	s := *h
	top, last := s[0], s[len(s)-1]
	s = s[:len(s)-1]
	*h = s
	if len(s) > 0 {
		h.sink(last)
	}
	return top
}

// sink puts v where the top was.
func (h *heap[T, P]) sink(v T) {
	s, i := *h, 0
	for {
		first := 4*i + 1
		if first >= len(s) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(s)); c++ {
			if P(&s[c]).before(&s[least]) {
				least = c
			}
		}
		if !P(&s[least]).before(&v) {
			break
		}
		s[i], i = s[least], least
	}
	s[i] = v
}

const pageSize = 256

// A paged table holds a T for every number. It takes memory for those numbers that were used, in
// pages, and never moves: pointers into it hold.
type paged[T any] struct {
	pages []*[pageSize]T
}

// at is the place of number i.
func (p *paged[T]) at(i Key) *T {
	n := int(i / pageSize)
	if n >= len(p.pages) || p.pages[n] == nil {
		p.grow(n)
	}
	return &p.pages[n][i%pageSize]
}

func (p *paged[T]) grow(n int) {
	if n >= len(p.pages) {
		p.pages = append(p.pages, make([]*[pageSize]T, max(n+1-len(p.pages), len(p.pages)/2))...)
	}
	p.pages[n] = new([pageSize]T)
}

// all calls do with every T of the pages that were used, in the order of their numbers.
func (p *paged[T]) all(do func(Key, *T)) {
	for n, page := range p.pages {
		if page == nil {
			continue
		}
		for i := range page {
			do(Key(n*pageSize+i), &page[i])
		}
	}
}
