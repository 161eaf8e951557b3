package loadgen

import "time"

// ttlPicker says how long a value is to live.
type ttlPicker struct {
	draws draws
	low   time.Duration
	width uint64 // 0: all the same
}

func newTTLPicker(t *TTLs, seed uint64) ttlPicker {
	p := ttlPicker{draws: drawsOf(seed, ofTTLs), low: t.Min}
	if t.Max > t.Min {
		p.width = uint64(t.Max-t.Min) + 1
	}
	return p
}

// pick brings the TTL of op n.
func (p *ttlPicker) pick(n uint64) time.Duration {
	if p.width == 0 {
		return p.low
	}
	return p.low + time.Duration(below(p.draws.at(n), p.width))
}
