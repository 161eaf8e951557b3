package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// An HTTPOrigin is asked by GET for every Fetch. What it answers is the value, whatever it is (a redirect is not
// followed); a status of 500 or above, and
// no answer in time, is Failed. It takes no writes, so every value has version 1.
type HTTPOrigin struct {
	URL     string        // with {key}, which becomes the key's number
	Client  *http.Client  // nil: one of its own
	Timeout time.Duration // of a fetch, its body included; 0: ten seconds
	Most    int           // fetches at a time, the rest waits; 0: all
}

func (o *HTTPOrigin) valid() error {
	u, err := url.Parse(strings.ReplaceAll(o.URL, "{key}", "1"))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("the origin's URL is none of http or https")
	case !strings.Contains(o.URL, "{key}"):
		return errors.New("the origin's URL says nowhere {key}")
	case o.Timeout < 0 || o.Most < 0:
		return errors.New("the origin's numbers are not negative")
	}
	return nil
}

// origins is the origin of a real run: a Desk on the clock, or a server. The books' lock is its lock.
type origins struct {
	*real
	desk   *Desk
	outs   slab[out]
	outage time.Duration // it fails until then
	wake   chan struct{}

	client *http.Client
	places chan struct{} // nil: as many as there are
}

func (o *origins) open() {
	if o.HTTP == nil {
		return
	}
	o.client = o.HTTP.Client
	if o.client == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = max(o.HTTP.Most, 64)
		o.client = &http.Client{Transport: transport, CheckRedirect: stay}
	}
	if o.HTTP.Most > 0 {
		o.places = make(chan struct{}, o.HTTP.Most)
	}
}

// stay takes a redirect for the answer: it may lead to a server that nobody said is meant.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// order asks the origin, which may refuse. The lock is held.
func (o *origins) order(now time.Duration, w *worker, a *Action) {
	out := out{process: w.number, epoch: w.epoch, action: *a}
	if o.HTTP != nil {
		if a.Kind == Commit {
			w.fault = errors.New("the origin is asked by GET, and takes no writes")
			return
		}
		o.ledger.Do(now, w.ticket(a.Req), a)
		o.running.Go(func() { o.fetch(now, &out) })
		return
	}
	slot, place := o.outs.add()
	*place = out
	if o.desk.Start(now, slot, a.Kind == Commit) {
		o.ledger.Do(now, w.ticket(a.Req), a)
		select {
		case o.wake <- struct{}{}:
		default:
		}
		return
	}
	o.outs.drop(slot)
	o.ledger.Refuse(now)
	e := Event{Kind: Fetched, Req: a.Req, Key: a.Key, Tag: a.Tag, Of: a.Kind, Answer: Failed}
	if a.Kind == Commit {
		e.Kind = Committed
	}
	w.ready.push(in{epoch: w.epoch, refused: true, event: e})
}

// work ends jobs when their time has come.
func (o *origins) work() {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		o.mu.Lock()
		now := o.since()
		at, some := o.desk.Next()
		for ; some && at <= now; at, some = o.desk.Next() {
			o.worked(now, o.desk.End(now))
		}
		o.mu.Unlock()
		if !some {
			at = now + time.Minute
		}
		alarm.Reset(at - now)
		select {
		case <-o.over:
			return
		case <-o.wake:
		case <-alarm.C:
		}
	}
}

// worked brings what the origin has done. The lock is held.
func (o *origins) worked(now time.Duration, j Job) {
	out := &o.outs.all[j.ID]
	a := &out.action
	e := Event{Kind: Fetched, Req: a.Req, Key: a.Key, Tag: a.Tag, Of: a.Kind, Answer: OK}
	if j.Write {
		e.Kind = Committed
	}
	switch {
	case j.Fails || now < o.outage:
		e.Answer = Failed
	case j.Write:
		e.Value = Value{Version: o.ledger.Commit(now, a.Key, a.Value.Version), Read: now, Took: now - j.Asked}
	default:
		e.Value = Value{Read: now, Took: now - j.Asked}
		if o.Origin.Early {
			e.Value.Read = j.Began
		}
		e.Value.Version = o.ledger.Version(a.Key, e.Value.Read)
	}
	o.workers[out.process].post(in{epoch: out.epoch, event: e})
	o.outs.drop(j.ID)
}

// fetch asks a real origin.
func (o *origins) fetch(asked time.Duration, out *out) {
	if o.places != nil {
		select {
		case <-o.life.Done():
			return
		case o.places <- struct{}{}:
			defer func() { <-o.places }()
		}
	}
	a := &out.action
	err := o.get(a.Key)
	if o.life.Err() != nil {
		return
	}
	e := Event{Kind: Fetched, Req: a.Req, Key: a.Key, Tag: a.Tag, Of: a.Kind, Answer: OK}
	o.mu.Lock()
	now := o.since()
	switch {
	case err != nil:
		if e.Answer = Failed; o.counts.Unfetched == 0 {
			o.counts.Failure = err.Error()
		}
		o.counts.Unfetched++
	case now < o.outage:
		e.Answer = Failed
	default:
		e.Value = Value{Version: o.ledger.Version(a.Key, now), Read: now, Took: now - asked}
	}
	o.mu.Unlock()
	o.workers[out.process].post(in{epoch: out.epoch, event: e})
}

func (o *origins) get(key Key) error {
	timeout := o.HTTP.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(o.life, timeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.ReplaceAll(o.HTTP.URL, "{key}", strconv.FormatUint(uint64(key), 10)), nil)
	if err != nil {
		return err
	}
	answer, err := o.client.Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err = io.Copy(io.Discard, answer.Body); err == nil && answer.StatusCode >= http.StatusInternalServerError {
		err = fmt.Errorf("status %d", answer.StatusCode)
	}
	return err
}

// close ends idle connections of a client of our own.
func (o *origins) close() {
	if o.client != nil && o.HTTP.Client == nil {
		o.client.CloseIdleConnections()
	}
}
