package loadgen

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The text forms of Traffic's parts: what a person types is what String prints, and parses to the same again.

// suffixed reads a number with one of several suffixes; the empty one counts as well. Longer suffixes come first.
func suffixed(text string, suffixes []string, worth []float64) (float64, bool) {
	for i, s := range suffixes {
		if len(text) < len(s) || !strings.EqualFold(text[len(text)-len(s):], s) {
			continue
		}
		number := strings.TrimSpace(text[:len(text)-len(s)])
		if number == "" || !strings.Contains("0123456789.", number[:1]) || strings.ContainsAny(number, "xX_pPiInN") {
			return 0, false
		}
		n, err := strconv.ParseFloat(number, 64)
		return n * worth[i], err == nil && !math.IsInf(n*worth[i], 0)
	}
	return 0, false
}

var (
	byteSuffixes = []string{"KiB", "MiB", "GiB", "KB", "MB", "GB", "k", "M", "G", "B", ""}
	byteWorth    = []float64{1 << 10, 1 << 20, 1 << 30, 1e3, 1e6, 1e9, 1 << 10, 1 << 20, 1 << 30, 1, 1}

	countSuffixes = []string{"k", "M", "G", ""}
	countWorth    = []float64{1e3, 1e6, 1e9, 1}
)

// parseBytes reads "64", "4KiB", "1.5MB". A bare k, M or G is binary.
func parseBytes(text string) (int, error) {
	n, ok := suffixed(strings.TrimSpace(text), byteSuffixes, byteWorth)
	if !ok || n > Biggest || n != math.Trunc(n) {
		return 0, fmt.Errorf("bad size %q: write it as 64, 4KiB or 1MB, up to %s", text, bytesText(Biggest))
	}
	return int(n), nil
}

func bytesText(n int) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return strconv.Itoa(n>>30) + "GiB"
	case n >= 1<<20 && n%(1<<20) == 0:
		return strconv.Itoa(n>>20) + "MiB"
	case n >= 1<<10 && n%(1<<10) == 0:
		return strconv.Itoa(n>>10) + "KiB"
	}
	return strconv.Itoa(n)
}

// parseLength reads Go's durations and, as the whole, days and weeks: "1.5s", "2d".
func parseLength(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if n, ok := suffixed(text, []string{"d", "w"}, []float64{24 * float64(time.Hour), 7 * 24 * float64(time.Hour)}); ok && n < math.MaxInt64 {
		return time.Duration(n), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || strings.HasPrefix(text, "-") {
		return 0, fmt.Errorf("bad duration %q: write it as 500ms, 90s, 15m, 2h or 7d", text)
	}
	return d, nil
}

// lengthText is Go's form without units of which there are none: 2m, not 2m0s.
func lengthText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// parseShare reads "20%" or "0.2".
func parseShare(text string) (float64, bool) {
	text = strings.TrimSpace(text)
	n, ok := suffixed(text, []string{"%", ""}, []float64{1, 1})
	if strings.HasSuffix(text, "%") {
		n /= 100 // not times 0.01, which would make 0.07 of 7% no more
	}
	return n, ok && n <= 1
}

// numberText is the shortest text that reads as n.
func numberText(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
