package commands

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cachectl/cachectl/analyze/httpcache"
	"github.com/cachectl/cachectl/commands/render"
)

// verifyScope is what every verification has to say of itself, behind "verified"
// or "not verified".
const verifyScope = "at this point of presence only (what others serve cannot be seen from here)"

// A verification shows that a purge took effect: it asks for URLs before the
// purge (snapshot) and after it (check), as any visitor would. It sends no
// cookies, follows no redirects, and asks with GET, because to a cache HEAD is
// another question. Its own questions fill the cache that they are put to.
type verification struct {
	header  http.Header
	timeout time.Duration // of check
	now     func() time.Time
	client  *http.Client
}

// The bounds of one question.
const (
	verifyAnswer   = 15 * time.Second // until its body, as far as it is read, is there
	verifyBody     = 1 << 20          // bytes of the body that count
	verifyHead     = 256 << 10
	verifyParallel = 8
)

// newVerification asks with these headers beside the usual ones. The caller closes it.
func newVerification(env *Env, header http.Header, timeout time.Duration) *verification {
	v := &verification{header: make(http.Header), timeout: timeout, now: env.Now}
	v.header.Set("User-Agent", "cachectl/"+env.Version)
	v.header.Set("Accept", "*/*")
	v.header.Set("Accept-Encoding", "gzip") // as browsers do: caches keep other encodings apart
	for name, values := range header {
		v.header[name] = values
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // contents are compared as they come
	transport.MaxResponseHeaderBytes = verifyHead
	transport.MaxIdleConnsPerHost = verifyParallel
	v.client = &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return v
}

func (v *verification) close() { v.client.CloseIdleConnections() }

// parseVerifyHeaders reads "Name: value". Headers that ask a cache not to answer
// from what it has, or with less than all of it, would prove nothing.
func parseVerifyHeaders(texts []string) (http.Header, error) {
	header := make(http.Header)
	for _, text := range texts {
		name, value, ok := strings.Cut(text, ":")
		value = strings.TrimSpace(value)
		isName := name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
		if !ok || !isName || strings.ContainsAny(value, "\r\n\x00") {
			// Its value may be a secret, so it is not repeated.
			return nil, usagef("bad header %q: write it as 'Name: value'", cutText(name))
		}
		switch name = http.CanonicalHeaderKey(name); name {
		case "Cache-Control", "Pragma", "Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range":
			return nil, usagef("header %s changes what a cache answers: verification with it would prove nothing", name)
		}
		header.Add(name, value)
	}
	return header, nil
}

// A purgeSnapshot is what a URL was answered with before a purge. Where there
// was no answer, only what a later one says of itself can be evidence.
type purgeSnapshot struct {
	url    string
	before httpcache.Response
	err    error // why there was no answer; the purge can go on without
}

// A verified URL is what is known of it after a purge.
type verified struct {
	url           string
	finding       httpcache.Finding
	before, after string // what was answered, in a line
	tries         int
}

// verifiedColumns are the table of verified URLs.
var verifiedColumns = []render.Column{{Name: "url"}, {Name: "verdict"}, {Name: "evidence"}, {Name: "before", Wide: true}, {Name: "after", Wide: true}, {Name: "tries", Right: true, Wide: true}}

func (u *verified) row() render.Row {
	verdict := render.Text(string(u.finding.Verdict))
	verdict.Style = map[httpcache.Verdict]render.Style{httpcache.Fresh: render.Good, httpcache.Stale: render.Bad, httpcache.Unknown: render.Warn}[u.finding.Verdict]
	return render.Row{render.Text(u.url), verdict, render.Text(strings.Join(u.finding.Evidence, "; ")),
		render.Text(u.before), render.Text(u.after), render.Int(int64(u.tries))}
}

// snapshot asks for each URL once, and leaves out those that are named twice. An
// error is of the URLs themselves, or the end of ctx: nothing is purged then.
func (v *verification) snapshot(ctx context.Context, urls []string) ([]purgeSnapshot, error) {
	var shots []purgeSnapshot
	seen := make(map[string]bool)
	for _, text := range urls {
		u, err := url.Parse(text)
		switch {
		case err != nil:
			return nil, usagef("bad URL to verify: %w", err)
		case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			return nil, usagef("bad URL to verify %q: it has no scheme and host: https://www.example.com/path", text)
		case u.User != nil:
			return nil, usagef("bad URL to verify: user and password of %s belong into an Authorization header", u.Host)
		}
		u.Fragment, u.RawFragment = "", ""
		if text = u.String(); !seen[text] {
			seen[text] = true
			shots = append(shots, purgeSnapshot{url: text})
		}
	}
	parallel(len(shots), func(n int) { shots[n].before, shots[n].err = v.get(ctx, shots[n].url) })
	return shots, ctx.Err()
}

// check asks for each URL again until there is evidence that it is not served
// from before the purge, or the timeout. purged is when the provider had taken
// the purge. The rows are in the order of the snapshots, whatever the error: a
// checkError where the evidence is missing for one of them, or the end of ctx.
func (v *verification) check(ctx context.Context, shots []purgeSnapshot, purged time.Time) ([]verified, error) {
	rows := make([]verified, len(shots))
	open := make([]int, len(shots)) // of which there is no evidence yet
	for n, shot := range shots {
		rows[n] = verified{url: shot.url, before: shot.before.Summary(), after: "not asked"}
		rows[n].finding = httpcache.Finding{Verdict: httpcache.Unknown, Evidence: []string{"there was no time to ask"}}
		if shot.err != nil {
			rows[n].before = "no answer: " + shot.err.Error()
		}
		open[n] = n
	}
	limited, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	// In rounds, so that URLs which stay old do not keep others from being asked.
	for pause := 250 * time.Millisecond; len(open) > 0 && limited.Err() == nil; pause = min(pause*8/5, 5*time.Second) {
		parallel(len(open), func(n int) { v.ask(limited, &rows[open[n]], shots[open[n]].before, purged) })
		open = slices.DeleteFunc(open, func(n int) bool { return rows[n].finding.Verdict == httpcache.Fresh })
		if len(open) == 0 {
			break
		}
		select {
		case <-limited.Done():
		case <-time.After(pause + rand.N(pause/4)):
		}
	}
	if ctx.Err() != nil {
		return rows, ctx.Err()
	}
	return rows, verifyError(rows)
}

func verifyError(rows []verified) error {
	count := make(map[httpcache.Verdict]int)
	for _, u := range rows {
		count[u.finding.Verdict]++
	}
	if count[httpcache.Fresh] == len(rows) {
		return nil
	}
	return &checkError{fmt.Sprintf("not verified %s: of %s, %d served from before the purge and %d without evidence",
		verifyScope, plural(int64(len(rows)), "URL"), count[httpcache.Stale], count[httpcache.Unknown])}
}

// ask asks for one URL once more. What is cut off by the end of ctx changes
// nothing: what was seen last stands.
func (v *verification) ask(ctx context.Context, u *verified, before httpcache.Response, purged time.Time) {
	if ctx.Err() != nil {
		return
	}
	after, err := v.get(ctx, u.url)
	switch {
	case err == nil:
		u.after, u.finding = after.Summary(), httpcache.Judge(before, after, purged)
	case ctx.Err() != nil && u.tries > 0:
		return
	default:
		u.after = "no answer: " + err.Error()
		u.finding = httpcache.Finding{Verdict: httpcache.Unknown, Evidence: []string{u.after}}
	}
	u.tries++
}

// get asks for a URL once.
func (v *verification) get(ctx context.Context, url string) (httpcache.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyAnswer)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return httpcache.Response{}, err
	}
	req.Header = v.header.Clone()
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	sent := v.now()
	res, err := v.client.Do(req)
	if err != nil {
		return httpcache.Response{}, withoutURL(ctx, err)
	}
	defer res.Body.Close()
	answer := httpcache.Response{Sent: sent, At: v.now(), Status: res.StatusCode, Header: res.Header}
	// A body that breaks off says nothing; the head has come all the same.
	digest := sha256.New()
	if _, err := io.Copy(digest, io.LimitReader(res.Body, verifyBody)); err == nil {
		answer.Body = string(digest.Sum(nil))
	}
	return answer, nil
}

// withoutURL is what went wrong, without the URL that stands beside it anyway.
func withoutURL(ctx context.Context, err error) error {
	var outer *url.Error
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errors.New("none in time")
	case errors.As(err, &outer):
		return outer.Err
	}
	return err
}

// parallel does n things, a few at a time, and returns when all are done.
func parallel(n int, do func(int)) {
	var wg sync.WaitGroup
	turn := make(chan struct{}, verifyParallel)
	for i := range n {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			do(i)
		})
	}
	wg.Wait()
}
