package commands

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cachectl/cachectl/analyze/httpcache"
)

// A warmItem is one thing to ask for.
type warmItem struct {
	n       int // its number in the run, of which the journal speaks
	url     string
	variant int
	hops    int // redirects that led to it
}

// A warmState is what became of an item.
type warmState string

const (
	warmHit        warmState = "hit"        // the cache had it
	warmFilled     warmState = "filled"     // the cache did not have it, and has it now
	warmNotCached  warmState = "not_cached" // the cache did not have it, and does not have it still
	warmUnknown    warmState = "unknown"    // nothing tells
	warmAsked      warmState = "asked"      // it was asked for once, and nobody looked (--no-verify)
	warmRedirected warmState = "redirected" // it is another URL's name
	warmFailed     warmState = "failed"
)

var warmStates = []warmState{warmHit, warmFilled, warmNotCached, warmUnknown, warmAsked, warmRedirected, warmFailed}

// A warmed item is what became of it.
type warmed struct {
	warmItem
	state   warmState
	reason  string // fit for many
	status  int
	asks    int
	bytes   int64         // of all answers
	took    time.Duration // until the head of the first answer
	hitTook time.Duration // until that of the hit; 0: there was none
	target  string        // of a redirect that is followed
	blame   bool          // it failed for the server's sake, which counts for --max-errors
	vary    []string
	news    []string

	again  *httpcache.Response // it is worth another look: what was answered last, as far as it is needed
	lately time.Time           // when it was asked for last
}

const (
	warmHops    = 10                      // redirects one behind the other
	lookAgain   = 1200 * time.Millisecond // caches store a moment later, and count ages in whole seconds
	lookInVain  = 64                      // looks again, without one that helped, until the rest is spared
	warmByCache = "a miss each time, and nothing in the answers says why: the cache's configuration"
	warmNowhere = "a redirect to what is no URL"
	warmMixed   = "caches on the way contradict each other"
	warmSilent  = "nothing in the answers tells whether they come from a cache"
)

// A warmRun warms what it is given.
type warmRun struct {
	*warmAsker
	variants  []http.Header
	workers   int
	verify    bool
	follow    bool
	permitted func(*url.URL) bool
	listed    func(url string) bool
	known     map[warmItem]bool                 // that redirects led to; n and hops are 0
	found     func(from warmed, url string) int // a URL that a redirect led to is noted, and has a number
	edges     map[warmItem]string               // redirects
	waiting   []warmed                          // for another look
}

// run brings what became of the items, in the order in which that is known. The items of a
// group, which are one URL's, are asked for one behind the other: nginx, asked for two
// variants of what it does not have yet, keeps the later one only. It ends early, and without
// an error, when ctx ends: what was under way then is not told.
func (r *warmRun) run(ctx context.Context, groups iter.Seq[[]warmItem]) iter.Seq[warmed] {
	r.edges = make(map[warmItem]string)
	return func(yield func(warmed) bool) {
		for groups != nil {
			var next []warmItem
			for all := range severally(ctx, r.workers, groups, r.warmGroup) {
				for _, w := range all {
					if w.state == warmRedirected && w.target != "" {
						next = append(next, r.redirected(&w)...)
					}
					if w.again != nil {
						r.waiting = append(r.waiting, w)
					} else if !yield(w) {
						return
					}
				}
			}
			if groups = nil; len(next) > 0 {
				groups = slices.Values(grouped(next))
			}
		}
		r.look(ctx, yield)
	}
}

// grouped are the items by URL, in the order in which those come first.
func grouped(items []warmItem) (groups [][]warmItem) {
	at := make(map[string]int)
	for _, it := range items {
		n, ok := at[it.url]
		if !ok {
			n = len(groups)
			at[it.url], groups = n, append(groups, nil)
		}
		groups[n] = append(groups[n], it)
	}
	return groups
}

// warmGroup brings what is done of a group when ctx ends.
func (r *warmRun) warmGroup(ctx context.Context, group []warmItem) (all []warmed, ok bool) {
	for _, it := range group {
		w, ok := r.warm(ctx, it)
		if !ok {
			break
		}
		all = append(all, w)
	}
	return all, len(all) > 0
}

// look asks a third time for what may be cached by now. Where that helps none of the first,
// the others are spared.
func (r *warmRun) look(ctx context.Context, yield func(warmed) bool) {
	at, helped := 0, false
	for at < len(r.waiting) && (helped || at == 0) && ctx.Err() == nil {
		part := r.waiting[at:min(at+lookInVain, len(r.waiting))]
		looked := make([]bool, len(part))
		look := func(ctx context.Context, n int) (int, bool) { return n, r.lookAt(ctx, &part[n]) }
		for n := range severally(ctx, r.workers, indices(len(part)), look) {
			looked[n], helped = true, helped || part[n].state == warmFilled
			if !yield(part[n]) {
				return
			}
		}
		for n := range part {
			if !looked[n] && !yield(part[n]) {
				return
			}
		}
		at += len(part)
	}
	for _, w := range r.waiting[at:] {
		if !yield(w) {
			return
		}
	}
}

func indices(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// severally does the items, so many at a time, and brings the results as they come, but for
// those of which do says no. It takes no more items when ctx ends.
func severally[T, R any](ctx context.Context, workers int, items iter.Seq[T], do func(context.Context, T) (R, bool)) iter.Seq[R] {
	return func(yield func(R) bool) {
		ctx, cancel := context.WithCancel(ctx)
		in, out := make(chan T), make(chan R)
		var working sync.WaitGroup
		working.Go(func() {
			defer close(in)
			for it := range items {
				select {
				case in <- it:
				case <-ctx.Done():
					return
				}
			}
		})
		for range workers {
			working.Go(func() {
				for it := range in {
					if result, ok := do(ctx, it); ok {
						out <- result
					}
				}
			})
		}
		var closing sync.WaitGroup
		closing.Go(func() { working.Wait(); close(out) })
		defer func() {
			cancel()
			for range out {
			}
			closing.Wait()
		}()
		for result := range out {
			if !yield(result) {
				return
			}
		}
	}
}

// warm asks for an item, and asks again whether that has filled the cache. ok is false when
// ctx ended before that was known.
func (r *warmRun) warm(ctx context.Context, it warmItem) (w warmed, ok bool) {
	w = warmed{warmItem: it}
	first, err := r.ask(ctx, it.url, r.variants[it.variant], true)
	w.note(&first)
	w.took = first.took()
	if ctx.Err() != nil {
		return w, false
	}
	serving, _ := httpcache.Served(httpcache.Response{}, first.Response)
	switch {
	case w.failed(&first, err):
		return w, true
	case r.follow && isRedirect(&first):
		r.redirect(&w, first.Header.Get("Location"))
		return w, true
	case !r.verify:
		w.state = warmAsked
		return w, true
	case serving == httpcache.Hit:
		w.state, w.hitTook = warmHit, first.took()
		return w, true
	}
	second, err := r.ask(ctx, it.url, r.variants[it.variant], false)
	w.note(&second)
	if ctx.Err() != nil {
		return w, false
	}
	if w.failed(&second, err) {
		return w, true
	}
	w.judge(first.Response, &second)
	return w, true
}

// note adds an answer.
func (w *warmed) note(a *warmAnswer) {
	w.asks += a.tries
	w.bytes += a.bytes
	w.news = append(w.news, a.news...)
	if a.Status != 0 {
		w.status = a.Status
		w.vary = httpcache.VaryOn(a.Header)
	}
	w.lately = a.At
}

// failed tells whether the answer is one that nobody wants in a cache.
func (w *warmed) failed(a *warmAnswer, err error) bool {
	switch {
	case err != nil:
		w.reason, w.blame = err.Error(), true
	case a.Status >= 400:
		w.reason = statusText(a.Status)
		w.blame = a.Status >= 500 || a.Status == http.StatusTooManyRequests
		if slices.Contains(httpcache.Obstacles(a.Response), httpcache.Mitigated) {
			w.reason, w.blame = w.reason+": "+httpcache.Mitigated.Text, true
		}
	default:
		return false
	}
	w.state = warmFailed
	return true
}

// judge tells from the answer behind another whether the cache has it.
func (w *warmed) judge(before httpcache.Response, after *warmAnswer) {
	serving, _ := httpcache.Served(before, after.Response)
	if serving == httpcache.Hit {
		w.state, w.hitTook, w.reason, w.again = warmFilled, after.took(), "", nil
		return
	}
	obstacles := httpcache.Obstacles(after.Response)
	var texts []string
	for _, o := range obstacles {
		texts = append(texts, o.Text)
	}
	_, aged, _ := httpcache.Age(after.Header)
	worth := false
	switch {
	case serving == httpcache.Miss:
		w.state, w.reason = warmNotCached, strings.Join(texts, "; ")
		if w.reason == "" {
			w.reason = warmByCache
		}
		worth = len(obstacles) == 0 || len(obstacles) == 1 && obstacles[0] == httpcache.NoLifetime
	case serving == httpcache.Mixed:
		w.state, w.reason = warmUnknown, warmMixed
	default:
		w.state, w.reason, worth = warmUnknown, warmSilent, aged
		if len(obstacles) > 0 && obstacles[0] != httpcache.NoLifetime {
			w.reason += ": " + strings.Join(texts, "; ")
		}
	}
	if w.again = nil; worth {
		w.again = &httpcache.Response{Status: after.Status, Header: http.Header{"X-Varnish": after.Header.Values("X-Varnish")}}
	}
}

// lookAt asks again for one that may be cached by now.
func (r *warmRun) lookAt(ctx context.Context, w *warmed) bool {
	if !pause(ctx, lookAgain-r.now().Sub(w.lately)) {
		return false
	}
	answer, err := r.ask(ctx, w.url, r.variants[w.variant], false)
	if ctx.Err() != nil {
		return false
	}
	w.news = nil
	w.note(&answer)
	if !w.failed(&answer, err) {
		w.judge(*w.again, &answer)
	}
	return true
}

func isRedirect(a *warmAnswer) bool {
	switch a.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return a.Header.Get("Location") != ""
	}
	return false
}

// redirect says where a redirect leads.
func (r *warmRun) redirect(w *warmed, location string) {
	w.state = warmRedirected
	base, _ := url.Parse(w.url)
	to, err := base.Parse(location)
	switch {
	case err != nil || len(location) > 16<<10:
		w.state, w.reason = warmFailed, warmNowhere
	case to.Scheme != "http" && to.Scheme != "https" || to.Host == "" || to.User != nil || !r.permitted(to):
		w.reason = "to another site, not followed"
	case w.hops >= warmHops:
		w.state, w.reason = warmFailed, "redirects without end"
	default:
		to.Fragment, to.RawFragment = "", ""
		w.target, w.reason = to.String(), "to a URL of the same site, which is asked for too"
	}
}

// redirected brings what a redirect leads to, if that is not in the run yet. Redirects that
// lead in a circle are a failure of the one that closes it.
func (r *warmRun) redirected(w *warmed) []warmItem {
	key := func(u string) warmItem { return warmItem{url: u, variant: w.variant} }
	r.edges[key(w.url)] = w.target
	at := w.target
	for range 2 * warmHops {
		if at == w.url {
			w.state, w.reason = warmFailed, "redirects in a circle"
			return nil
		}
		next, ok := r.edges[key(at)]
		if !ok {
			break
		}
		at = next
	}
	if r.listed(w.target) || r.known[key(w.target)] {
		return nil
	}
	r.known[key(w.target)] = true
	n := r.found(*w, w.target)
	return []warmItem{{n: n, url: w.target, variant: w.variant, hops: w.hops + 1}}
}

func statusText(status int) string {
	text := "HTTP " + strconv.Itoa(status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	return text
}
