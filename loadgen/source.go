package loadgen

// source is a Traffic's ops. All shards go through all arrivals; keys, sizes and TTLs are drawn
// by an op's number, so only for the ops of one's own.
type source struct {
	arrivals *arrivals
	keys     keyPicker
	sizes    sizePicker
	ttls     ttlPicker

	mix          draws
	reads        uint64 // bound (see boundOf) of the bits that mean a read
	writes       uint64 // of those that mean a write or a read
	n            uint64 // of the next op
	skip, others int    // ops of others before the next own, and between own ones
}

// Source brings the ops. The Traffic must be Valid, and is not to be changed meanwhile. The
// source is an Ender, and allocates nothing after it was made.
func (t *Traffic) Source() Source {
	s := &source{
		arrivals: newArrivals(t.Phases, t.Seed),
		keys:     newKeyPicker(&t.Keys, t.Seed),
		sizes:    newSizePicker(&t.Sizes, t.Seed),
		ttls:     newTTLPicker(&t.TTLs, t.Seed),
		mix:      drawsOf(t.Seed, ofMix),
	}
	cut := bounds([]float64{t.Mix.Read, t.Mix.Write, t.Mix.Remove})
	s.reads, s.writes = cut[0], cut[1]
	if t.Shard.Of > 1 {
		s.skip, s.others = t.Shard.Index, t.Shard.Of-1
	}
	return s
}

// Next fills in the next op.
func (s *source) Next(op *Op) bool {
	for ; s.skip > 0; s.skip-- {
		if !s.arrivals.next() {
			return false
		}
		if s.keys.law == latestLaw && s.do(s.n) == Write {
			s.keys.written()
		}
		s.n++
	}
	if !s.arrivals.next() {
		return false
	}
	op.N, op.Due, op.Do = s.n, s.arrivals.due(), s.do(s.n)
	if op.Do == Write {
		s.keys.written()
	}
	op.Key = s.keys.pick(s.n, op.Do)
	op.Size, op.TTL = 0, 0
	if op.Do != Remove {
		op.Size, op.TTL = s.sizes.pick(s.n), s.ttls.pick(s.n)
	}
	s.n++
	s.skip = s.others
	return true
}

// do is what op n does.
func (s *source) do(n uint64) Do {
	switch x := s.mix.at(n); {
	case under(x, s.reads):
		return Read
	case under(x, s.writes):
		return Write
	}
	return Remove
}

// EndPhase goes on to the next phase.
func (s *source) EndPhase() {
	if s.arrivals.at < len(s.arrivals.phases) {
		s.arrivals.turn()
	}
}
