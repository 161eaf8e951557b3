package fleet

import (
	"math"
	"math/rand/v2"
	"time"
)

// A freshness judges a value that the cache had: false means that it is time to fetch it again.
type freshness func(now time.Duration, v *Value, random *rand.Rand) bool

// always takes what the cache has.
func always(time.Duration, *Value, *rand.Rand) bool { return true }

// soft goes by the soft TTL.
func soft(now time.Duration, v *Value, _ *rand.Rand) bool { return v.Soft == 0 || now < v.Soft }

// farthest is beyond what -ln of a random number with 53 bits can reach.
const farthest = 37

// early is XFetch's (Vattani, Chierichetti, Lowenstein, PVLDB 8(8), 2015): fetch again if
// now - took*beta*ln(random) >= end. The random number is from (0, 1], so that its logarithm is finite.
func early(beta float64) freshness {
	return func(now time.Duration, v *Value, random *rand.Rand) bool {
		end := v.Expires
		if v.Soft != 0 {
			end = v.Soft
		}
		if end == 0 {
			return true
		}
		reach := float64(v.Took) * beta
		left := float64(end - now)
		if left > reach*farthest {
			return true
		}
		return -reach*math.Log(1-random.Float64()) < left
	}
}
