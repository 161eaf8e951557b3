package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/cache"

	"github.com/cachectl/cachectl/purge"
)

const tokenHint = "the token needs the permission Zone > Cache Purge > Purge for this zone, and Zone > Zone > Read to find it by name"

// aboutCount fits messages that refuse the number of items, in whatever words.
var aboutCount = regexp.MustCompile(`(?i)too many|max(imum)?\b|exceed|limit|more than|up to`)

// fault says what an error of the API calls for. res is nil where there was no answer.
func (z *zone) fault(err error, res *http.Response, items int, budgets []purge.Budget) error {
	var api *cache.Error
	status := 0
	if res != nil {
		status = res.StatusCode
	}
	text, unknown := err.Error(), false
	if errors.As(err, &api) {
		var said []string
		for _, e := range api.Errors {
			said = append(said, fmt.Sprintf("%d %s", e.Code, e.Message))
			unknown = unknown || e.Code == 7003 || e.Code == 7000 // could not route: a bad zone ID
		}
		text = fmt.Sprintf("HTTP %d: %s", status, strings.Join(said, "; "))
	} else if status >= 400 {
		text = fmt.Sprintf("HTTP %d", status)
	}
	c := &purge.CallError{Budgets: budgets, Err: fmt.Errorf("cloudflare %s: %s", z.label(), text)}
	forbid := func(kind error, hint string) {
		c.Fault, c.Hint, c.Err = purge.Forbidden, hint, fmt.Errorf("cloudflare %s: %w: %s", z.label(), kind, text)
	}
	switch {
	case status == http.StatusTooManyRequests:
		c.Fault, c.RetryAfter = purge.Throttled, retryAfter(res.Header)
	case status >= 500, status == http.StatusRequestTimeout:
		c.Fault, c.RetryAfter = purge.Unavailable, retryAfter(res.Header)
	case status < 400:
		c.Err = fmt.Errorf("cloudflare %s: %w", z.label(), err)
		if !errors.Is(err, context.Canceled) {
			c.Fault = purge.Unavailable // no answer, or half of one
		}
	case unknown, status == http.StatusNotFound:
		forbid(purge.ErrUnknown, "is it the ID of a zone that the token may see? A zone's name finds it")
	case status == http.StatusUnauthorized:
		forbid(purge.ErrAuth, tokenHint)
	case status == http.StatusForbidden:
		forbid(purge.ErrDenied, tokenHint)
	case status == http.StatusRequestEntityTooLarge:
		c.Fault = purge.TooLarge
	case status == http.StatusBadRequest && items > oldCall && aboutCount.MatchString(text):
		c.Fault, c.Size = purge.TooLarge, oldCall
	case status == http.StatusBadRequest:
		c.Fault = purge.Rejected
	}
	return c
}

func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(v, 64); err == nil && seconds > 0 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// budgets reads `Ratelimit: "default";r=50;t=30` and `Ratelimit-Policy:
// "burst";q=100;w=60`. Of several the tightest counts.
func (z *zone) budgets(res *http.Response) []purge.Budget {
	if res == nil {
		return nil
	}
	b := purge.Budget{Rate: z.rate("api")}
	told := false
	for _, p := range parameters(res.Header.Values("Ratelimit")) {
		left, ok := p["r"]
		if ok && (!told || left < b.Left) {
			told = true
			b.Left, b.Reset = left, time.Duration(p["t"]*float64(time.Second))
		}
	}
	if !told {
		return nil
	}
	for _, p := range parameters(res.Header.Values("Ratelimit-Policy")) {
		window := time.Duration(p["w"] * float64(time.Second))
		if p["q"] > 0 && window > 0 && (b.Window == 0 || p["q"]/window.Seconds() < b.Quota/b.Window.Seconds()) {
			b.Quota, b.Window = p["q"], window
		}
	}
	return []purge.Budget{b}
}

// parameters are the numbers of each member of a list.
func parameters(lines []string) []map[string]float64 {
	var all []map[string]float64
	for member := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		numbers := make(map[string]float64)
		for part := range strings.SplitSeq(member, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			if n, err := strconv.ParseFloat(value, 64); err == nil && n >= 0 {
				numbers[name] = n
			}
		}
		all = append(all, numbers)
	}
	return all
}
