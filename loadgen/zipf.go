package loadgen

import "math"

// zipf draws ranks from 1 to n with P(r) proportional to 1/r^theta, for every theta > 0, exactly, and with
// less than 1.2 tries on average: rejection-inversion (Hörmann and Derflinger 1996), for which nothing is tabled or summed.
type zipf struct {
	n        float64
	theta    float64
	rest     float64 // 1 - theta
	low      float64 // area at 1.5, less 1
	high     float64 // area at n + 0.5
	shortcut float64 // as near as this to the rank above, it is accepted unseen
}

func newZipf(n uint64, theta float64) zipf {
	z := zipf{n: float64(n), theta: theta, rest: 1 - theta}
	z.low = z.area(1.5) - 1
	z.high = z.area(z.n + 0.5)
	z.shortcut = 2 - z.inverse(z.area(2.5)-z.height(2))
	return z
}

// rank draws one; x are the op's bits.
func (z *zipf) rank(x uint64) uint64 {
	for {
		u := z.high + float64(unit(x)*(z.low-z.high))
		at := z.inverse(u)
		k := min(max(math.Floor(at+0.5), 1), z.n)
		if k-at <= z.shortcut || u >= z.area(k+0.5)-z.height(k) {
			return uint64(k)
		}
		x = again(x)
	}
}

// height is 1/x^theta.
func (z *zipf) height(x float64) float64 { return math.Exp(-z.theta * math.Log(x)) }

// area is the integral of height from 1 to x: (x^(1-theta) - 1) / (1-theta), and log x where theta is 1.
func (z *zipf) area(x float64) float64 {
	log := math.Log(x)
	if t := z.rest * log; math.Abs(t) > 1e-8 {
		return math.Expm1(t) / t * log
	}
	return log
}

// inverse is the x whose area is a.
func (z *zipf) inverse(a float64) float64 {
	t := max(a*z.rest, -1)
	if math.Abs(t) > 1e-8 {
		return math.Exp(math.Log1p(t) / t * a)
	}
	return math.Exp(a)
}
