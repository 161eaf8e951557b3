package fleet

// WriteThrough is the pattern in which a write brings its value into the cache: commit to the origin,
// then set. It reads as Reading says.
type WriteThrough struct {
	Reading
	CacheFirst bool // set, then commit: the wrong way round
}

// Maker makes the strategy.
func (o WriteThrough) Maker() Maker {
	order := SetAfter
	if o.CacheFirst {
		order = SetBefore
	}
	return CacheAside{Reading: o.Reading, Order: order}.Maker()
}
