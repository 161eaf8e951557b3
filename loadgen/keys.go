package loadgen

// The laws of keys.
const (
	Uniform    = "uniform"    // every key is as likely
	Zipf       = "zipf"       // P(rank r) ~ 1/r^Theta; ranks are strewn over the key numbers
	Hotspot    = "hotspot"    // a share Hot of the keys, strewn, draws a share Heat of the requests
	Latest     = "latest"     // writes go round through all keys; others are Zipf over how lately a key was written
	Sequential = "sequential" // one after the other, round and round
)

// KeyLaws are the names of the laws of keys.
var KeyLaws = []string{Uniform, Zipf, Hotspot, Latest, Sequential}

// keyPicker says which key an op means.
type keyPicker struct {
	law      uint8
	n        uint64
	draws    draws
	zipf     zipf
	scramble scramble
	hot      uint64 // of hotspot: how many keys are hot
	heat     uint64 // bound (see boundOf) of the bits that mean one of them
	newest   uint64 // of latest
}

// The laws as numbers, for a switch.
const (
	uniformLaw uint8 = iota
	zipfLaw
	hotspotLaw
	latestLaw
	sequentialLaw
)

func newKeyPicker(k *Keys, seed uint64) keyPicker {
	p := keyPicker{n: k.N, draws: drawsOf(seed, ofKeys), scramble: newScramble(k.N, seed), newest: k.N - 1}
	switch k.Law {
	case Zipf:
		p.law, p.zipf = zipfLaw, newZipf(k.N, k.Theta)
	case Latest:
		p.law, p.zipf = latestLaw, newZipf(k.N, k.Theta)
	case Hotspot:
		p.law, p.hot, p.heat = hotspotLaw, k.HotKeys(), boundOf(k.Heat)
	case Sequential:
		p.law = sequentialLaw
	}
	return p
}

// HotKeys is how many keys of a hotspot are hot: at least one, and not all unless there is but one.
func (k *Keys) HotKeys() uint64 {
	return max(min(uint64(float64(k.N)*k.Hot+0.5), k.N-1), 1)
}

// written tells of a write, whoever's shard it belongs to.
func (p *keyPicker) written() {
	if p.newest++; p.newest == p.n {
		p.newest = 0
	}
}

// pick brings the key of op n. A write has been told of before.
func (p *keyPicker) pick(n uint64, do Do) uint64 {
	switch p.law {
	case uniformLaw:
		return below(p.draws.at(n), p.n)
	case zipfLaw:
		return p.scramble.of(p.zipf.rank(p.draws.at(n)) - 1)
	case hotspotLaw:
		return p.scramble.of(p.spot(p.draws.at(n)))
	case latestLaw:
		if do == Write {
			return p.newest
		}
		if back := p.zipf.rank(p.draws.at(n)) - 1; back > p.newest {
			return p.newest + p.n - back
		} else {
			return p.newest - back
		}
	}
	return n % p.n
}

// spot is a number below hot for a hot key, else one from there on.
func (p *keyPicker) spot(x uint64) uint64 {
	which := again(x)
	if under(x, p.heat) || p.hot == p.n {
		return below(which, p.hot)
	}
	return p.hot + below(which, p.n-p.hot)
}
