package commands

import (
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// Limits are what the caller knows of how many keys it must be. They are judged
// against the plan, and hold while the work goes on.
type limits struct {
	maxKeys    int64
	maxPercent string
	expect     string

	percent  float64 // 0: no limit
	low      int64   // of --expect; high below 0: none
	high     int64
	budget   int64 // keys that may go at most; below 0: any number
	budgetOf string
	taken    atomic.Int64
}

func (l *limits) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Int64Var(&l.maxKeys, "max-keys", -1, "stop rather than take more than `N` keys")
	f.StringVar(&l.maxPercent, "max-percent", "", "stop rather than take more than this `share` of all keys: 5%")
	f.StringVar(&l.expect, "expect", "", "count first, and go on only if it is `N`: 12000, '12000±10%', '12000±50'")
}

func (l *limits) parse(cmd *cobra.Command) (err error) {
	l.high, l.budget = -1, -1
	if cmd.Flags().Changed("max-keys") {
		if l.maxKeys < 0 {
			return usagef("bad --max-keys %d: it is at least 0", l.maxKeys)
		}
		l.narrow(l.maxKeys, fmt.Sprintf("--max-keys %d", l.maxKeys))
	}
	if l.maxPercent != "" {
		l.percent, err = strconv.ParseFloat(strings.TrimSuffix(l.maxPercent, "%"), 64)
		if err != nil || !(l.percent > 0 && l.percent <= 100) || !strings.HasSuffix(l.maxPercent, "%") {
			return usagef("bad --max-percent %q: write it as 5%%", l.maxPercent)
		}
	}
	if l.expect != "" {
		if l.low, l.high, err = parseExpectation(l.expect); err != nil {
			return &usageError{err}
		}
		l.narrow(l.high, "--expect "+l.expect)
	}
	return nil
}

// parseExpectation reads "12000", "12000±10%" or "12000±50"; +- may stand for ±.
func parseExpectation(text string) (low, high int64, err error) {
	bad := fmt.Errorf("bad --expect %q: write it as 12000, '12000±10%%' or '12000±50'", text)
	number, margin, loose := strings.Cut(strings.ReplaceAll(text, "+-", "±"), "±")
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 {
		return 0, 0, bad
	}
	if !loose {
		return n, n, nil
	}
	share, isShare := strings.CutSuffix(strings.TrimSpace(margin), "%")
	m, err := strconv.ParseFloat(share, 64)
	if err != nil || !(m >= 0 && m < math.MaxInt64/4) {
		return 0, 0, bad
	}
	if isShare {
		m *= float64(n) / 100
	}
	return max(n-int64(m), 0), n + int64(m), nil
}

func (l *limits) narrow(n int64, why string) {
	if l.budget < 0 || n < l.budget {
		l.budget, l.budgetOf = n, why
	}
}

// counts tells whether the plan must count the keys, not estimate them.
func (l *limits) counts() bool { return l.high >= 0 }

// before judges the plan.
func (l *limits) before(p *plan) error {
	if l.percent > 0 {
		if p.total == 0 && p.keys.Value > 0 {
			return &checkError{"--max-percent: how many keys there are is unknown; nothing was done"}
		}
		l.narrow(int64(l.percent/100*float64(p.total)), "--max-percent "+l.maxPercent)
	}
	if l.counts() && (p.keys.Value < float64(l.low) || p.keys.Value > float64(l.high)) {
		return &checkError{fmt.Sprintf("--expect %s: %s match; nothing was done", l.expect, plural(int64(p.keys.Value), "key"))}
	}
	if l.budget >= 0 && p.keys.Low > float64(l.budget) {
		return &checkError{fmt.Sprintf("%s: %s match; nothing was done", l.budgetOf, about(p.keys))}
	}
	return nil
}

// A limitError ends the work in time.
type limitError struct{ checkError }

// hold ends the pages when they would take more than the budget, which all shards
// share. What is within it is passed on.
func (l *limits) hold(pages iter.Seq2[backends.Page, error]) iter.Seq2[backends.Page, error] {
	if l.budget < 0 {
		return pages
	}
	return func(yield func(backends.Page, error) bool) {
		for page, err := range pages {
			n := int64(len(page.Entries))
			over := l.taken.Add(n) - l.budget
			if over > 0 {
				page.Entries = page.Entries[:n-min(over, n)]
			}
			if !yield(page, err) {
				return
			}
			if over > 0 {
				yield(backends.Page{}, &limitError{checkError{fmt.Sprintf("%s: more match; stopped in time", l.budgetOf)}})
				return
			}
		}
	}
}

// after judges how many keys were met.
func (l *limits) after(met int64) error {
	if l.counts() && met < l.low {
		return &checkError{fmt.Sprintf("--expect %s: only %s met in the end", l.expect, render.Int(met).Text)}
	}
	return nil
}
