package render

import (
	"math"
	"strconv"
	"time"
)

// longSteps divide axes of minutes and hours, in seconds.
var longSteps = []float64{10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 2 * 3600, 4 * 3600, 6 * 3600, 12 * 3600, 86400}

// step is a round distance between so many ticks at most.
func (u Unit) step(room float64, ticks int) float64 {
	raw := room / float64(max(ticks-1, 1))
	if u == Second && room > 60 {
		for _, s := range longSteps {
			if s >= raw {
				return s
			}
		}
		return math.Ceil(raw/86400) * 86400
	}
	base := 1.0
	if u == Byte {
		for base*1024 <= room {
			base *= 1024
		}
	}
	return base * roundUp(raw/base)
}

// roundUp is the next of 1, 2, 2.5 and 5 in any power of ten.
func roundUp(v float64) float64 {
	ten := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if v <= m*ten*(1+1e-9) {
			return m * ten
		}
	}
	return 10 * ten
}

// text says a number of an axis whose ticks are step apart.
func (u Unit) text(v, step float64) string {
	if math.Abs(v) < step/1e6 {
		v = 0
	}
	switch u {
	case Second:
		if v == 0 {
			return "0"
		}
		return secondsText(v)
	case Share:
		return decimal(v*100, decimals(step*100)) + "%"
	case Byte:
		return bytesText(int64(v))
	}
	for _, big := range []struct {
		of   float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v != 0 && (step >= big.of || step >= big.of/10 && big.of > 1e3) {
			return decimal(v/big.of, decimals(step/big.of)) + big.name
		}
	}
	return decimal(v, decimals(step))
}

// decimals is how many digits behind the point tell ticks apart that are step apart.
func decimals(step float64) int {
	digits := 0
	for ; digits < 9 && math.Abs(step-math.Round(step)) > 1e-6*step; digits++ {
		step *= 10
	}
	return digits
}

// figure says a value by itself: three digits, or the whole of a small count.
func (u Unit) figure(v float64) string {
	switch {
	case !drawable(v):
		return "-"
	case u == Second:
		return secondsText(v)
	case u == Share:
		return ratioText(v)
	case u == Byte:
		return bytesText(int64(v))
	case v == math.Trunc(v) && math.Abs(v) < 1e15:
		return decimal(v, 0)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	text, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	return decimal(text, min(max(digits, 0), 9))
}

func secondsText(v float64) string {
	return durationText(time.Duration(math.Round(min(max(v, -9e9), 9e9) * 1e9))) // 285 years
}
