package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/cachectl/cachectl/analyze/httpcache"
)

// A warmAsker asks for URLs as any visitor would: without cookies, one request at a time on
// a connection that is used again, and with the body read to its end, because caches keep
// what was delivered whole. How many are under way together is its care's to say.
type warmAsker struct {
	method  string
	header  http.Header
	timeout time.Duration // from the first byte that is sent to the last that comes
	most    int64         // bytes of a body
	client  *http.Client  // follows no redirect
	limiter *rate.Limiter // nil: no --rate
	now     func() time.Time

	requests, bytes atomic.Int64

	mu     sync.Mutex
	care   *warmCare
	busy   int
	change chan struct{} // closed when a place may be free
}

// browsers is what browsers ask for. A cache that goes by Vary: Accept-Encoding and does not
// tidy it up first, as nginx, keeps another copy for any other text.
const browsers = "gzip, deflate, br, zstd"

func newWarmAsker(env *Env, o *warmURLOptions) *warmAsker {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // nothing is read but counted
	transport.MaxResponseHeaderBytes = verifyHead
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, o.concurrency
	if len(o.resolved) > 0 {
		transport.Proxy = nil
		dial := (&net.Dialer{Timeout: 10 * time.Second}).DialContext
		transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if to, ok := o.resolved[strings.ToLower(addr)]; ok {
				addr = to
			}
			return dial(ctx, network, addr)
		}
	}
	a := &warmAsker{method: o.method, header: o.header.Clone(), timeout: o.timeout, most: o.maxBody, limiter: o.limiter, now: env.Now,
		care: newWarmCare(o.concurrency, o.pace.mode == paceMax), change: make(chan struct{})}
	for name, value := range map[string]string{"User-Agent": "cachectl/" + env.Version, "Accept": "*/*", "Accept-Encoding": browsers} {
		if a.header.Get(name) == "" {
			a.header.Set(name, value)
		}
	}
	a.client = &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return a
}

func (a *warmAsker) close() { a.client.CloseIdleConnections() }

// A warmAnswer is one answer, and how it came.
type warmAnswer struct {
	httpcache.Response
	tries int
	bytes int64
	news  []string // of the care
}

func (w *warmAnswer) took() time.Duration { return w.At.Sub(w.Sent) }

// tries are how often a URL is asked for whose answer is that we should wait.
const warmTries = 4

// ask asks for a URL. first tells whether its latency may be the origin's. The error is
// that there was no answer, or none that is whole; what came of it is returned all the same.
func (a *warmAsker) ask(ctx context.Context, url string, variant http.Header, first bool) (warmAnswer, error) {
	var all warmAnswer
	for {
		if a.limiter != nil {
			if err := a.limiter.Wait(ctx); err != nil {
				return all, err
			}
		}
		if err := a.enter(ctx); err != nil {
			return all, err
		}
		answer, wait, err := a.once(ctx, url, variant)
		serving, _ := httpcache.Served(httpcache.Response{}, answer.Response)
		pulse := carePulse{sent: answer.Sent, at: answer.At, status: answer.Status, origin: first && serving != httpcache.Hit, wait: wait}
		answer.tries, answer.bytes, answer.news = all.tries+1, all.bytes+answer.bytes, all.news
		all = answer
		if ctx.Err() != nil { // nobody knows how it would have been
			a.leave(nil)
			return all, context.Cause(ctx)
		}
		if news := a.leave(&pulse); news != "" {
			all.news = append(all.news, news)
		}
		if err != nil || !pulse.throttled() || all.tries == warmTries {
			return all, err
		}
	}
}

// enter waits for a place.
func (a *warmAsker) enter(ctx context.Context) error {
	for {
		a.mu.Lock()
		wait := a.care.until.Sub(a.now())
		if a.busy < int(a.care.limit) && wait <= 0 {
			a.busy++
			a.mu.Unlock()
			return ctx.Err()
		}
		change := a.change
		a.mu.Unlock()
		if wait > 0 {
			pause(ctx, wait)
		} else {
			select {
			case <-ctx.Done():
			case <-change:
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// leave gives the place back, and tells the care of the answer.
func (a *warmAsker) leave(p *carePulse) (news string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy--
	if p != nil {
		news = a.care.observe(*p)
	}
	close(a.change)
	a.change = make(chan struct{})
	return news
}

// once asks once. Its error names no URL, since that stands beside it anyway.
func (a *warmAsker) once(ctx context.Context, url string, variant http.Header) (answer warmAnswer, wait time.Duration, err error) {
	timed, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	answer.Sent = a.now()
	answer.At = answer.Sent
	req, err := http.NewRequestWithContext(timed, a.method, url, nil)
	if err != nil {
		return answer, 0, errors.New("not a URL that can be asked for")
	}
	req.Header = a.header.Clone()
	for name, values := range variant {
		req.Header[name] = values
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	a.requests.Add(1)
	res, err := a.client.Do(req)
	answer.At = a.now()
	if err != nil {
		return answer, 0, shortError(timed, err)
	}
	defer res.Body.Close()
	answer.Status, answer.Header = res.StatusCode, res.Header
	wait = retryAfter(res.Header, answer.At)
	answer.bytes, err = io.Copy(io.Discard, io.LimitReader(res.Body, a.most+1))
	a.bytes.Add(answer.bytes)
	switch {
	case err != nil && errors.Is(timed.Err(), context.DeadlineExceeded):
		return answer, wait, errors.New("its body did not end in time")
	case err != nil:
		return answer, wait, errors.New("its body broke off")
	case answer.bytes > a.most:
		return answer, wait, errors.New("its body is larger than --max-body")
	}
	return answer, wait, nil
}

// shortError is a reason that many URLs can share: without ports and addresses, of which
// every connection has its own.
func shortError(ctx context.Context, err error) error {
	err = withoutURL(ctx, err)
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	switch text := err.Error(); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(text, "reset by peer"), strings.Contains(text, "server closed"):
		return errors.New("the connection was closed without an answer")
	case strings.Contains(text, "headers exceeded"):
		return fmt.Errorf("its head is larger than %d KiB", verifyHead>>10)
	case strings.Contains(text, "parse Location"):
		return errors.New(warmNowhere)
	case strings.Contains(text, "malformed"):
		return errors.New("the answer is no HTTP")
	}
	return err
}

// retryAfter reads Retry-After: seconds, or a date; 0 where there is none that makes sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// fetchSitemap opens a sitemap at a URL. Redirects are followed where permitted says yes.
func (a *warmAsker) fetchSitemap(ctx context.Context, name string, permitted func(*url.URL) bool) (io.ReadCloser, error) {
	client := *a.client
	client.Timeout = 10 * time.Minute
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		switch {
		case len(via) >= warmHops:
			return errors.New("redirects without end")
		case !permitted(req.URL):
			return fmt.Errorf("it redirects to %s, which no --host permits", req.URL.Host)
		}
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
	if err != nil {
		return nil, err
	}
	req.Header = a.header.Clone()
	req.Header.Set("Accept-Encoding", "gzip") // the reader unpacks what is packed
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, withoutURL(ctx, err)
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("HTTP %d", res.StatusCode)
	}
	return res.Body, nil
}
