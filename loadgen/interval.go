package loadgen

import (
	"math"
)

// An interval is an estimate and the ends of what it may be in truth.
type interval struct{ at, low, high float64 }

// minus is the interval of a difference of independent estimates (MOVER: Zou and Donner,
// Statistics in Medicine 27, 2008).
func (i interval) minus(j interval) interval {
	d := i.at - j.at
	return interval{d, d - math.Hypot(i.at-i.low, j.high-j.at), d + math.Hypot(i.high-i.at, j.at-j.low)}
}

func (i interval) log() interval { return interval{math.Log(i.at), math.Log(i.low), math.Log(i.high)} }

// A counted is what one run counted in each of its seconds: x of n, such as hits of reads.
type counted struct{ x, n []float64 }

// A series is what is known of a share x/n, or a rate where n is 1, from seconds that may lean on each other.
type series struct {
	x, n     float64 // sums
	variance float64 // of x - ratio*n, in the whole
	blocks   float64 // how many blocks of seconds there are, which is about how many seconds stand alone
	seconds  int
}

// measure estimates the variance of the sums by overlapping blocks of seconds (moving blocks; what a block
// bootstrap would converge to). A block is the cube root of all seconds long, or as much longer as neighbours
// are alike (Andrews, Econometrica 59, 1991, for the Bartlett kernel and an AR(1)). It never falls below what independent
// seconds would have, nor, where neighbours are plainly alike, what an AR(1) would.
func measure(runs []counted) series {
	var s series
	for _, r := range runs {
		for t := range r.x {
			s.x += r.x[t]
			s.n += r.n[t]
		}
		s.seconds += len(r.x)
	}
	if s.n == 0 || s.seconds < 2 {
		return s
	}
	ratio := s.x / s.n
	left := make([][]float64, len(runs))
	var own, lagged float64
	for i, r := range runs {
		left[i] = make([]float64, len(r.x))
		for t := range r.x {
			left[i][t] = r.x[t] - ratio*r.n[t]
			own += left[i][t] * left[i][t]
			if t > 0 {
				lagged += left[i][t] * left[i][t-1]
			}
		}
	}
	total := float64(s.seconds)
	if own == 0 {
		s.blocks = total / 2 // nothing varies
		return s
	}
	rho := lagged / own
	rho = min(rho+(1+3*max(rho, 0))/total, .97) // its bias (Kendall)
	length := int(math.Ceil(math.Cbrt(total)))
	if rho > 0 {
		alpha := 4 * rho * rho / math.Pow(1-rho*rho, 2)
		length = max(length, int(math.Ceil(1.1447*math.Cbrt(alpha*total))))
	}
	s.blocks = total / float64(length)
	s.variance = max(blockVariance(left, length), own*total/(total-1))
	if rho > 2/math.Sqrt(total) {
		s.variance = max(s.variance, own*(1+rho)/(1-rho))
	}
	return s
}

// blockVariance is the variance of the sum of everything, from sums of neighbours.
func blockVariance(runs [][]float64, length int) float64 {
	var squares, blocks, seconds float64
	for _, r := range runs {
		l := min(length, len(r))
		var sum float64
		for t := range r {
			sum += r[t]
			if t >= l {
				sum -= r[t-l]
			}
			if t >= l-1 && l > 0 {
				squares += sum * sum / float64(l)
				blocks++
			}
		}
		seconds += float64(len(r))
	}
	if blocks == 0 {
		return 0
	}
	return squares / blocks * seconds / max(1-float64(length)/seconds, .5)
}

// spread is how many times the variance of a share is what chance alone would make of it; 1 at least.
func (s *series) spread() float64 {
	p := s.x / s.n
	chance := s.n * p * (1 - p)
	if !(chance > 0) {
		return 1
	}
	return max(s.variance/chance, 1)
}

// rate is the interval of x/n as a rate: symmetric in its logarithm.
func (s *series) rate(crit float64) interval {
	r := s.x / s.n
	wide := math.Exp(crit * math.Sqrt(s.variance) / s.x)
	return interval{r, r / wide, r * wide}
}

// wilson is the interval of a share p of n things, of which spread are worth one.
func wilson(p, n, spread, crit float64) interval {
	n /= spread
	z := crit * crit / n
	middle := (p + z/2) / (1 + z)
	half := math.Sqrt(z*(p*(1-p)+z/4)) / (1 + z)
	return interval{p, max(middle-half, 0), min(middle+half, 1)}
}

// critical is how many standard errors an interval reaches to each side, when of many such
// intervals together 95 % of the cases hold all (Bonferroni), by Student's t.
func critical(figures int, freedom float64) float64 {
	return studentT(1-.05/2/float64(figures), max(freedom, 1))
}

// studentT is the p-quantile (p > 1/2) of Student's t with n degrees of freedom, n >= 1 (Hill,
// algorithm 396, CACM 13, 1970).
func studentT(p, n float64) float64 {
	both := 2 * (1 - p)
	switch {
	case n > 1e6:
		return math.Sqrt2 * math.Erfinv(2*p-1)
	case n < 1.0001:
		return 1 / math.Tan(both*math.Pi/2)
	case math.Abs(n-2) < 1e-4:
		return math.Sqrt(2/(both*(2-both)) - 2)
	}
	a := 1 / (n - .5)
	b := 48 / (a * a)
	c := ((20700*a/b-98)*a-16)*a + 96.36
	d := ((94.5/(b+c)-3)/b + 1) * math.Sqrt(a*math.Pi/2) * n
	y := math.Pow(d*both, 2/n)
	if y <= .05+a {
		y = ((1/(((n+6)/(n*y)-.089*d-.822)*(n+2)*3)+.5/(n+4))*y-1)*(n+1)/(n+2) + 1/y
		return math.Sqrt(n * y)
	}
	x := -math.Sqrt2 * math.Erfinv(2*p-1)
	y = x * x
	if n < 5 {
		c += .3 * (n - 4.5) * (x + .6)
	}
	c = (((.05*d*x-5)*x-7)*x-2)*x + b + c
	y = (((((.4*y+6.3)*y+36)*y+94.5)/c-y-3)/b + 1) * x
	return math.Sqrt(n * math.Expm1(a*y*y))
}

// welch is the interval of the difference of two means (Welch, Biometrika 34, 1947).
func welch(a, b []float64, figures int) interval {
	meanA, squareA := moments(a)
	meanB, squareB := moments(b)
	d, v := meanB-meanA, squareA+squareB
	if v == 0 {
		return interval{d, d, d}
	}
	freedom := v * v / (squareA*squareA/float64(len(a)-1) + squareB*squareB/float64(len(b)-1))
	half := critical(figures, freedom) * math.Sqrt(v)
	return interval{d, d - half, d + half}
}

// moments are the mean, and the square of its standard error.
func moments(all []float64) (mean, square float64) {
	n := float64(len(all))
	for _, v := range all {
		mean += v / n
	}
	for _, v := range all {
		square += (v - mean) * (v - mean) / (n - 1) / n
	}
	return mean, square
}
