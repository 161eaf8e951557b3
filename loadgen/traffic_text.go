package loadgen

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseKeys reads a law of keys: "uniform", "zipf:0.99", "hotspot:20%:80%" (of the keys, of the requests), "latest:0.99",
// "sequential". What follows a name may be left out, and is then as here. How many keys there are is not part of it.
func ParseKeys(text string) (Keys, error) {
	parts := strings.Split(strings.TrimSpace(text), ":")
	k := Keys{Law: parts[0]}
	values := parts[1:]
	bad := fmt.Errorf("bad law of keys %q: write it as uniform, zipf:0.99, hotspot:20%%:80%%, latest:0.99 or sequential", text)
	switch {
	case (k.Law == Uniform || k.Law == Sequential) && len(values) == 0:
	case (k.Law == Zipf || k.Law == Latest) && len(values) <= 1:
		k.Theta = 0.99
		if len(values) == 1 {
			var ok bool
			if k.Theta, ok = suffixed(values[0], []string{""}, []float64{1}); !ok {
				return Keys{}, bad
			}
		}
	case k.Law == Hotspot && (len(values) == 0 || len(values) == 2):
		k.Hot, k.Heat = 0.2, 0.8
		if len(values) == 2 {
			var ok, too bool
			k.Hot, ok = parseShare(values[0])
			k.Heat, too = parseShare(values[1])
			if !ok || !too {
				return Keys{}, bad
			}
		}
	default:
		return Keys{}, bad
	}
	with := k
	with.N = 1
	if with.valid() != nil {
		return Keys{}, bad
	}
	return k, nil
}

func (k Keys) String() string {
	switch k.Law {
	case Zipf, Latest:
		return k.Law + ":" + numberText(k.Theta)
	case Hotspot:
		return k.Law + ":" + numberText(k.Hot) + ":" + numberText(k.Heat)
	}
	return k.Law
}

// ParseSizes reads a law of sizes: "64", "64-4KiB" (every size between is as likely), "lognormal:1KiB:1.5" (mean, and
// standard deviation of the logarithm; with ":64-1MiB" kept between these), "64:0.9,4KiB:0.1" (sizes and their weights).
func ParseSizes(text string) (Sizes, error) {
	s, ok := parseSizes(strings.TrimSpace(text))
	if !ok || s.valid() != nil {
		return Sizes{}, fmt.Errorf("bad sizes %q: write them as 64, 64-4KiB, lognormal:1KiB:1.5 or 64:0.9,4KiB:0.1", text)
	}
	return s, nil
}

func parseSizes(text string) (s Sizes, ok bool) {
	if rest, found := strings.CutPrefix(text, Lognormal+":"); found {
		return parseLognormal(rest)
	}
	if strings.Contains(text, ":") {
		s.Law = Weighted
		for part := range strings.SplitSeq(text, ",") {
			size, weight, _ := strings.Cut(part, ":")
			n, err := parseBytes(size)
			w, ok := suffixed(weight, []string{"%", ""}, []float64{1, 1})
			if err != nil || !ok {
				return s, false
			}
			s.Values, s.Weight = append(s.Values, n), append(s.Weight, w)
		}
		return s, true
	}
	var isRange bool
	if s.Min, s.Max, isRange, ok = parseByteRange(text); isRange {
		s.Law = Range
	} else {
		s.Law = Fixed
	}
	return s, ok
}

func parseLognormal(text string) (s Sizes, ok bool) {
	s.Law = Lognormal
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return s, false
	}
	mean, err := parseBytes(parts[0])
	s.Mean = float64(mean)
	if s.Sigma, ok = suffixed(parts[1], []string{""}, []float64{1}); !ok || err != nil {
		return s, false
	}
	if len(parts) == 3 {
		var isRange bool
		s.Min, s.Max, isRange, ok = parseByteRange(parts[2])
		ok = ok && isRange && s.Max > 0
	}
	return s, ok
}

func parseByteRange(text string) (low, high int, isRange, ok bool) {
	first, second, isRange := strings.Cut(text, "-")
	low, err := parseBytes(first)
	if isRange && err == nil {
		high, err = parseBytes(second)
	}
	return low, high, isRange, err == nil
}

func (s Sizes) String() string {
	between := bytesText(s.Min) + "-" + bytesText(s.Max)
	switch s.Law {
	case Range:
		return between
	case Lognormal:
		text := Lognormal + ":" + bytesText(int(s.Mean)) + ":" + numberText(s.Sigma)
		if s.Max > 0 {
			text += ":" + between
		}
		return text
	case Weighted:
		parts := make([]string, len(s.Values))
		for i, v := range s.Values {
			parts[i] = bytesText(v) + ":" + numberText(s.Weight[i])
		}
		return strings.Join(parts, ",")
	}
	return bytesText(s.Min)
}

// ParseTTLs reads a law of TTLs: "none", "60s", "30s-90s", "60s±10%", "60s+-5s".
func ParseTTLs(text string) (TTLs, error) {
	t, ok := parseTTLs(strings.TrimSpace(text))
	if !ok || t.valid() != nil {
		return TTLs{}, fmt.Errorf("bad TTLs %q: write them as none, 60s, 30s-90s, 60s+-10%% or 60s+-5s", text)
	}
	return t, nil
}

func parseTTLs(text string) (t TTLs, ok bool) {
	if text == "none" {
		return t, true
	}
	text = strings.ReplaceAll(text, "±", "+-")
	if middle, by, jitters := strings.Cut(text, "+-"); jitters {
		m, err := parseLength(middle)
		if err != nil {
			return t, false
		}
		var width time.Duration
		if share, ok := parseShare(by); ok && strings.HasSuffix(by, "%") {
			width = time.Duration(math.Round(share * float64(m)))
		} else if width, err = parseLength(by); err != nil {
			return t, false
		}
		t.Min, t.Max = m-width, m+width
		return t, t.Min > 0 && t.Max > 0
	}
	first, second, isRange := strings.Cut(text, "-")
	var err error
	if t.Min, err = parseLength(first); err == nil && isRange {
		t.Max, err = parseLength(second)
	}
	return t, err == nil && t.Min > 0 && (t.Max > 0 || !isRange)
}

func (t TTLs) String() string {
	switch {
	case t.Min == 0:
		return "none"
	case t.Max == 0:
		return lengthText(t.Min)
	}
	return lengthText(t.Min) + "-" + lengthText(t.Max)
}

// ParseMix reads in which proportion requests read, write and delete: "90:10", "80:15:5".
func ParseMix(text string) (Mix, error) {
	var of [3]float64
	parts := strings.Split(strings.TrimSpace(text), ":")
	ok := len(parts) == 2 || len(parts) == 3
	for i := 0; ok && i < len(parts); i++ {
		of[i], ok = suffixed(parts[i], []string{"%", ""}, []float64{1, 1})
	}
	m := Mix{of[0], of[1], of[2]}
	if !ok || m.valid() != nil {
		return Mix{}, fmt.Errorf("bad mix %q: write it as reads:writes or reads:writes:deletes, as in 90:10 or 80:15:5", text)
	}
	return m, nil
}

func (m Mix) String() string {
	text := numberText(m.Read) + ":" + numberText(m.Write)
	if m.Remove > 0 {
		text += ":" + numberText(m.Remove)
	}
	return text
}

// ParseShard reads which of several generators this is: "1/3" is the first of three.
func ParseShard(text string) (Shard, error) {
	first, second, _ := strings.Cut(strings.TrimSpace(text), "/")
	i, err := strconv.Atoi(first)
	of, err2 := strconv.Atoi(second)
	if err != nil || err2 != nil || i < 1 || i > of {
		return Shard{}, fmt.Errorf("bad shard %q: write it as 1/3 (the first of three), 2/3 or 3/3", text)
	}
	return Shard{Index: i - 1, Of: of}, nil
}

func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Index+1, max(s.Of, 1)) }
