package purge

import (
	"slices"
	"strings"
)

// Prefixes finds which of many prefixes a string begins with. The zero value
// holds none.
type Prefixes struct {
	sorted []string // no element is a prefix of another
}

// NewPrefixes takes all prefixes that no shorter one among them makes needless.
func NewPrefixes(all []string) Prefixes {
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	var kept []string
	for _, p := range sorted { // whatever begins with a prefix follows it at once
		if len(kept) == 0 || !strings.HasPrefix(p, kept[len(kept)-1]) {
			kept = append(kept, p)
		}
	}
	return Prefixes{kept}
}

// Of is the shortest prefix that s begins with.
func (p Prefixes) Of(s string) (prefix string, ok bool) {
	at, found := slices.BinarySearch(p.sorted, s)
	if found {
		return s, true
	}
	if at == 0 || !strings.HasPrefix(s, p.sorted[at-1]) {
		return "", false
	}
	return p.sorted[at-1], true
}
