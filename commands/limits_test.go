package commands

import (
	"errors"
	"slices"
	"testing"

	"github.com/cachectl/cachectl/analyze"
	"github.com/cachectl/cachectl/backends"
)

func TestParseExpectation(t *testing.T) {
	for text, want := range map[string][2]int64{
		"12000":       {12000, 12000},
		"12000±10%":   {10800, 13200},
		"12000+-10%":  {10800, 13200},
		"12000 ± 50":  {11950, 12050},
		"10±200%":     {0, 30},
		"0":           {0, 0},
		"100±0.5%":    {100, 100},
		"1000 ± 2.5%": {975, 1025},
	} {
		low, high, err := parseExpectation(text)
		if err != nil || low != want[0] || high != want[1] {
			t.Errorf("%q: %d to %d, %v; want %d to %d", text, low, high, err, want[0], want[1])
		}
	}
	for _, text := range []string{"", "many", "-1", "12±", "12±x%", "12±-1", "±10%", "1e3", "12±NaN%", "12±Inf%"} {
		if low, high, err := parseExpectation(text); err == nil {
			t.Errorf("%q is %d to %d, want an error", text, low, high)
		}
	}
}

// TestLimitsHold: exactly the budget goes, over pages of any size and over shards
// that share it; one key more ends it, no key more does not.
func TestLimitsHold(t *testing.T) {
	pages := func(sizes ...int) func(func(backends.Page, error) bool) {
		return func(yield func(backends.Page, error) bool) {
			for _, n := range sizes {
				if !yield(backends.Page{Entries: make([]backends.Entry, n)}, nil) {
					return
				}
			}
		}
	}
	for _, c := range []struct {
		budget int64
		sizes  []int
		want   int
		over   bool
	}{
		{10, []int{3, 3, 3}, 9, false},
		{9, []int{3, 3, 3}, 9, false},
		{8, []int{3, 3, 3}, 8, true},
		{8, []int{0, 8, 0, 0, 1}, 8, true},
		{0, []int{0, 0}, 0, false},
		{0, []int{5}, 0, true},
		{-1, []int{500}, 500, false},
	} {
		l := limits{budget: c.budget}
		got, over := 0, false
		for page, err := range l.hold(pages(c.sizes...)) {
			var limit *limitError
			if over = errors.As(err, &limit); err != nil && !over {
				t.Fatal(err)
			}
			got += len(page.Entries)
		}
		if got != c.want || over != c.over {
			t.Errorf("budget %d, pages %v: %d went, stopped %v; want %d, %v", c.budget, c.sizes, got, over, c.want, c.over)
		}
	}
	shared := limits{budget: 10}
	got := 0
	for _, shard := range [][]int{{4, 4}, {4, 4}} {
		for page := range shared.hold(pages(shard...)) {
			got += len(page.Entries)
		}
	}
	if got != 10 {
		t.Errorf("two shards with a budget of 10: %d went", got)
	}
}

func TestLimitsBefore(t *testing.T) {
	about := analyze.Estimate{Value: 500, Low: 400, High: 600}
	for _, c := range []struct {
		name   string
		limits *limits
		plan   plan
		refuse bool
	}{
		{"none", &limits{budget: -1, high: -1}, plan{keys: about}, false},
		{"surely more", &limits{budget: 399, high: -1}, plan{keys: about}, true},
		{"perhaps more", &limits{budget: 450, high: -1}, plan{keys: about}, false},
		{"percent", &limits{budget: -1, high: -1, percent: 10}, plan{keys: about, total: 3000}, true},
		{"percent of the unknown", &limits{budget: -1, high: -1, percent: 10}, plan{keys: about}, true},
		{"percent enough", &limits{budget: -1, high: -1, percent: 20}, plan{keys: about, total: 3000}, false},
		{"as expected", &limits{budget: 600, low: 400, high: 600}, plan{keys: analyze.Exactly(500)}, false},
		{"fewer than expected", &limits{budget: 600, low: 501, high: 600}, plan{keys: analyze.Exactly(500)}, true},
	} {
		err := c.limits.before(&c.plan)
		var check *checkError
		if (err != nil) != c.refuse || err != nil && !errors.As(err, &check) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSelectionOfNames(t *testing.T) {
	for _, c := range []struct {
		patterns, prefixes, excludes []string
		match                        string
		takes, leaves                []string
	}{
		{[]string{"a*"}, nil, nil, "a*", []string{"a", "ab"}, []string{"ba"}},
		{[]string{"page:*", "part:*"}, nil, nil, "pa*", []string{"page:1", "part:2"}, []string{"pa", "pay:1"}},
		{[]string{"x*", "y*"}, nil, nil, "", []string{"x", "y"}, []string{"z"}},
		{nil, []string{"user*:", "user[1]"}, nil, "user*", []string{"user*:1", "user[1]x"}, []string{"user:1", "user1"}},
		{[]string{"a*"}, nil, []string{"*b", "*c"}, "a*", []string{"a", "ad"}, []string{"ab", "axc"}},
		{nil, nil, []string{"lock:*"}, "", []string{"a", "\x00"}, []string{"lock:1"}},
		{nil, []string{"a-b^"}, nil, `a\-b\^*`, []string{"a-b^1"}, []string{"ab1"}},
	} {
		s := selection{prefixes: c.prefixes, excludes: c.excludes, count: 10}
		if err := s.parse(c.patterns); err != nil {
			t.Fatal(err)
		}
		if s.query.Match != c.match {
			t.Errorf("%v %v: the server is asked for %q, want %q", c.patterns, c.prefixes, s.query.Match, c.match)
		}
		seen := func(key string) bool {
			return (s.query.Match == "" || backends.Match(s.query.Match, key)) && (s.query.Keep == nil || s.query.Keep(key))
		}
		for _, key := range slices.Concat(c.takes, c.leaves) {
			if want := slices.Contains(c.takes, key); seen(key) != want || s.matches(key) != want {
				t.Errorf("%v %v without %v: %q is taken by the walk %v, by its name %v, want %v",
					c.patterns, c.prefixes, c.excludes, key, seen(key), s.matches(key), want)
			}
		}
	}
}
