package purge

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// A Call is what one request to the provider carries. It is serialisable: a
// journal keeps it, and another process can send it.
type Call struct {
	// ID is made of the target and the items, so the same purge has the same
	// ID in every run.
	ID     string `json:"id"`
	Target string `json:"target"` // the Purger's Name
	// Queued is the ID under which the journal knows the call, where this is
	// but a part of it.
	Queued string `json:"queued,omitempty"`
	// Reference tells repeats of one purge from another purge of the same
	// items. Run fills it in; see Reference.
	Reference string `json:"reference,omitempty"`
	Items     []Item `json:"items"`
	Draws     []Draw `json:"draws,omitempty"`
}

// A Draw is what a call takes of a rate limit.
type Draw struct {
	Rate   string  `json:"rate"` // Rate.Name
	Tokens float64 `json:"tokens"`
}

// NewCall makes a call of items and gives it its ID.
func NewCall(target string, items []Item, draws ...Draw) Call {
	return Call{ID: digest(target, items)[:24], Target: target, Items: items, Draws: draws}
}

// digest does not depend on the order of items.
func digest(target string, items []Item) string {
	keys := make([]string, len(items))
	for n, i := range items {
		keys[n] = i.key()
	}
	slices.Sort(keys)
	h := sha256.New()
	h.Write([]byte(target))
	for _, k := range keys {
		h.Write([]byte{0, 0})
		h.Write([]byte(k))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Reference is the idempotency token of a call under a key, at most 128
// characters: a CallerReference. The same key, target and items give the same
// reference, so that a repeated step does not pay twice; other items or another
// key give another, so that no later purge is swallowed.
func Reference(key string, c Call) string {
	sum := sha256.Sum256([]byte(key + "\x00" + digest(c.Target, c.Items)))
	return "cachectl-" + hex.EncodeToString(sum[:])
}
