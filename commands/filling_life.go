package commands

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
)

// A lifetime says how long records are to live.
type lifetime struct {
	ttlFlag    string
	jitterFlag string
	leastFlag  string

	ttl    time.Duration // of records that would never expire; 0: none
	field  string        // of the source, that says how long a record lives: --ttl @FIELD
	least  time.Duration
	spread jitter
}

func (l *lifetime) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.ttlFlag, "ttl", "", "how `long` keys live that would never expire: 1h, 7d")
	f.StringVar(&l.jitterFlag, "jitter", "", "spread TTLs by this `share` or time, so that keys do not expire together: 10%, 5m; the same for a key in every run")
	f.StringVar(&l.leastFlag, "min-ttl", "1s", "skip keys with less `time` than this to live")
}

func (l *lifetime) parse() (err error) {
	if field, ok := strings.CutPrefix(l.ttlFlag, "@"); ok {
		if l.field = field; field == "" {
			return usagef("bad --ttl @: it names a field: @expires_in")
		}
	} else if l.ttlFlag != "" {
		if l.ttl, err = parseDuration(l.ttlFlag); err != nil || l.ttl < time.Millisecond {
			return usagef("bad --ttl %q: write it as 90s, 1h or 7d", l.ttlFlag)
		}
	}
	if l.jitterFlag != "" {
		if l.spread, err = parseJitter(l.jitterFlag); err != nil {
			return usagef("bad --jitter: %w", err)
		}
	}
	if l.least, err = parseDuration(l.leastFlag); err != nil {
		return usagef("bad --min-ttl: %w", err)
	}
	return nil
}

// plain tells whether records keep what they have.
func (l *lifetime) plain() bool { return l.ttl == 0 && l.spread.none() }

// give sets when a record expires, and tells whether it is worth loading. One whose time
// has passed is for the Loader to tell, and a command says for itself.
func (l *lifetime) give(r *backends.Record, now time.Time) bool {
	if r.Form == backends.FormCommand {
		return true
	}
	if r.Expires.IsZero() {
		if l.ttl == 0 {
			return true
		}
		r.Expires = now.Add(l.ttl)
		r.Have |= backends.FactTTL
	}
	left := r.Expires.Sub(now)
	if left <= 0 {
		return true
	}
	if !l.spread.none() {
		left = max(left+l.spread.offset(r.Key, left), time.Millisecond)
		r.Expires = now.Add(left)
	}
	return left >= l.least
}

// name says the rule in words; empty: there is none.
func (l *lifetime) name() string {
	text := ""
	if l.ttl > 0 {
		text = l.ttlFlag + " for what would never expire"
	}
	if !l.spread.none() {
		text = joinWords(text, "spread by ±"+l.jitterFlag)
	}
	if l.least > time.Second {
		text = joinWords(text, "less than "+l.leastFlag+" left: skipped")
	}
	return text
}

func joinWords(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}
