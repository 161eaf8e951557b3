package render

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// thousands puts a comma before every third digit of the whole part of
// digits, which has no sign.
func thousands(digits string) string {
	whole := strings.IndexByte(digits, '.')
	if whole < 0 {
		whole = len(digits)
	}
	if whole <= 3 {
		return digits
	}
	b := make([]byte, 0, len(digits)+whole/3)
	for i := range whole {
		if i > 0 && (whole-i)%3 == 0 {
			b = append(b, ',')
		}
		b = append(b, digits[i])
	}
	return string(append(b, digits[whole:]...))
}

// decimal writes a finite f. What rounds to nothing has no sign.
func decimal(f float64, digits int) string {
	s := strconv.FormatFloat(math.Abs(f), 'f', max(digits, 0), 64)
	if f < 0 && strings.Trim(s, "0.") != "" {
		return "-" + thousands(s)
	}
	return thousands(s)
}

var byteUnits = []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

func bytesText(n int64) string {
	sign, u := "", uint64(n)
	if n < 0 {
		sign, u = "-", -u
	}
	if u < 1024 {
		return sign + strconv.FormatUint(u, 10) + " B"
	}
	f, unit := float64(u)/1024, 0
	for f >= 1023.95 && unit < len(byteUnits)-1 { // would round to 1024.0
		f /= 1024
		unit++
	}
	return sign + strconv.FormatFloat(f, 'f', 1, 64) + " " + byteUnits[unit]
}

func ratioText(f float64) string {
	s := decimal(f*100, 1)
	switch {
	case f < 1 && s == "100.0":
		return ">99.9%"
	case f > 0 && s == "0.0":
		return "<0.1%"
	}
	return s + "%"
}

func durationText(d time.Duration) string {
	sign, u := "", uint64(d)
	if d < 0 {
		sign, u = "-", -u
	}
	switch {
	case u == 0:
		return "0s"
	case u < 1e3:
		return sign + strconv.FormatUint(u, 10) + "ns"
	case u < 59_950_000_000: // rounds to less than a minute
		return sign + fraction(u)
	}
	s := max(u/1e9, 60)
	switch {
	case s < 3600:
		return sign + twoUnits(s/60, "m", s%60, "s")
	case s < 86400:
		return sign + twoUnits(s/3600, "h", s/60%60, "m")
	}
	return sign + twoUnits(s/86400, "d", s/3600%24, "h")
}

// fraction writes nanoseconds from 1µs to below a minute in one unit, rounded:
// one digit behind the point below 100 of the unit, none above.
func fraction(u uint64) string {
	unit, f := "µs", float64(u)/1e3
	if f >= 999.5 {
		unit, f = "ms", f/1e3
	}
	if f >= 999.5 {
		unit, f = "s", f/1e3
	}
	digits := 1
	if f >= 99.95 {
		digits = 0
	}
	s := strconv.FormatFloat(f, 'f', digits, 64)
	return strings.TrimSuffix(s, ".0") + unit
}

func twoUnits(a uint64, unitA string, b uint64, unitB string) string {
	s := strconv.FormatUint(a, 10) + unitA
	if b > 0 {
		s += strconv.FormatUint(b, 10) + unitB
	}
	return s
}
