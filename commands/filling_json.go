package commands

import (
	"encoding/json"
	"math"
	"unicode/utf8"

	"github.com/cachectl/cachectl/backends"
)

// recordJSON writes a record as "warm" reads it from NDJSON; nothing of a value that has
// no such form.
func recordJSON(r *backends.Record) json.RawMessage {
	object := make(map[string]any)
	text := func(name string, b []byte) bool {
		if !utf8.Valid(b) {
			return false
		}
		object[name] = string(b)
		return true
	}
	if !text("key", []byte(r.Key)) {
		object["key_b64"] = []byte(r.Key)
	}
	if !r.Expires.IsZero() {
		object["expires_at"] = r.Expires.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	if r.Flags != 0 {
		object["flags"] = r.Flags
	}
	if r.Form != backends.FormString {
		object["type"] = r.Form
	}
	ok, err := true, error(nil)
	see := func(b []byte) string {
		ok = ok && utf8.Valid(b)
		return string(b)
	}
	switch r.Form {
	case backends.FormString:
		if !text("value", r.Value) {
			object["value_b64"] = r.Value
		}
	case backends.FormList, backends.FormSet:
		all := []string{}
		err = backends.EachElement(r.Value, func(e []byte) { all = append(all, see(e)) })
		object["value"] = all
	case backends.FormHash:
		all := make(map[string]string)
		err = backends.EachPair(r.Value, func(f, v []byte) { all[see(f)] = see(v) })
		object["value"] = all
	case backends.FormZSet:
		all := make(map[string]float64)
		err = backends.EachScored(r.Value, func(m []byte, score float64) {
			ok = ok && !math.IsInf(score, 0)
			all[see(m)] = score
		})
		object["value"] = all
	default:
		ok = false
	}
	if !ok || err != nil {
		return nil
	}
	line, err := json.Marshal(object)
	if err != nil {
		return nil
	}
	return line
}
