package purge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunPurgesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 10, parallel: 4}
		r := collect(t, t.Context(), []Purger{d}, planned(t, d, list(95)), Options{Key: "k"})
		if len(r.purged) != 95 || len(d.sent) != 10 || r.err != nil {
			t.Fatalf("%d purged by %d calls: %v", len(r.purged), len(d.sent), r.err)
		}
		for _, c := range d.sent {
			if c.Reference != Reference("k", c) || len(c.Reference) > 128 {
				t.Fatalf("reference %q", c.Reference)
			}
		}
	})
}

// TestRunRate: calls are spread as the limit says, and the rate is used.
func TestRunRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 10, parallel: 2, rates: []Rate{{Name: "items", PerSecond: 50, Burst: 100}}}
		d.answer = func(_ int, c Call) ([]Receipt, error) {
			time.Sleep(150 * time.Millisecond)
			return taken(c, c.Items), nil
		}
		start := time.Now()
		plan, _ := d.Plan(list(5000))
		collect(t, t.Context(), []Purger{d}, plan.Calls, Options{})
		for n, at := range d.at {
			if sent, may := float64(n+1)*10, 100+50*at.Sub(start).Seconds(); sent > may+1e-6 {
				t.Fatalf("call %d: %v items after %v, %v are permitted", n, sent, at.Sub(start), may)
			}
		}
		took := d.at[len(d.at)-1].Sub(start)
		rate := (5000 - 100) / took.Seconds()
		t.Logf("%.1f %% of the permitted rate", rate/50*100)
		if rate < 0.95*50 {
			t.Errorf("%.2f items a second of 50", rate)
		}
		if planned := Takes(plan); took < planned-time.Millisecond || took > planned+time.Second {
			t.Errorf("took %v, planned were %v", took, planned)
		}
	})
}

// TestRunShares: two targets of one account share its limit, and run at once
// where they do not.
func TestRunShares(t *testing.T) {
	for shared, want := range map[bool]time.Duration{true: 40 * time.Second, false: 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			a, b := &desk{name: "a", size: 1}, &desk{name: "b", size: 1}
			a.rates = []Rate{{Name: "a", PerSecond: 1 / headroom, Burst: 1}}
			b.rates = []Rate{{Name: "b", PerSecond: 1 / headroom, Burst: 1}}
			if shared {
				b.rates = a.rates
			}
			start := time.Now()
			calls := append(planned(t, a, list(20)), planned(t, b, list(20))...)
			collect(t, t.Context(), []Purger{a, b}, calls, Options{})
			if took := time.Since(start).Round(time.Second) + time.Second; took != want {
				t.Errorf("shared %v: took %v, want %v", shared, took, want)
			}
		})
	}
}

func TestRunRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 5}
		d.answer = func(n int, c Call) ([]Receipt, error) {
			if n < 4 {
				return nil, &CallError{Fault: Unavailable, Err: io.ErrUnexpectedEOF}
			}
			return taken(c, c.Items), nil
		}
		r := collect(t, t.Context(), []Purger{d}, planned(t, d, list(5)), Options{Random: func() float64 { return 1 }})
		if len(r.purged) != 5 || len(r.notices) != 3 || r.outcomes[0].Tries != 4 {
			t.Fatalf("%+v", r)
		}
		var gaps []time.Duration
		for n := range d.at[1:] {
			gaps = append(gaps, d.at[n+1].Sub(d.at[n]))
		}
		if want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}; !slices.Equal(gaps, want) {
			t.Errorf("waits: %v, want %v", gaps, want)
		}
		for _, c := range d.sent {
			if c.Reference != d.sent[0].Reference {
				t.Error("a repeat has another reference: it would be paid twice")
			}
		}
	})
}

func TestRunGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 5}
		d.answer = func(int, Call) ([]Receipt, error) {
			return nil, &CallError{Fault: Throttled, Err: errors.New("slow down")}
		}
		r := collect(t, t.Context(), []Purger{d}, planned(t, d, list(5)), Options{Tries: 3})
		if len(d.sent) != 3 || len(r.failed) != 5 || r.err != nil || !strings.Contains(r.reasons["/0000"].Error(), "after 3 tries: slow down") {
			t.Fatalf("%d sent, %v", len(d.sent), r.reasons)
		}
	})
}

// TestRunRetryAfter: the provider's word holds for every call that draws on
// the limit, of other targets too.
func TestRunRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rates := []Rate{{Name: "account", PerSecond: 1, Burst: 10}}
		a, b := &desk{name: "a", size: 1, rates: rates}, &desk{name: "b", size: 1, rates: rates}
		start := time.Now()
		a.answer = func(n int, c Call) ([]Receipt, error) {
			if n == 1 {
				return nil, &CallError{Fault: Throttled, RetryAfter: 30 * time.Second, Err: errors.New("429")}
			}
			return taken(c, c.Items), nil
		}
		b.answer = func(n int, c Call) ([]Receipt, error) {
			time.Sleep(time.Second)
			return taken(c, c.Items), nil
		}
		calls := append(planned(t, a, list(2)), planned(t, b, list(3))...)
		collect(t, t.Context(), []Purger{a, b}, calls, Options{})
		for _, at := range slices.Concat(a.at[1:], b.at[1:]) {
			if at.Sub(start) < 30*time.Second {
				t.Errorf("sent after %v", at.Sub(start))
			}
		}
	})
}

// TestRunRetryNextYear: nobody waits that long.
func TestRunRetryNextYear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 1}
		d.answer = func(int, Call) ([]Receipt, error) {
			return nil, &CallError{Fault: Throttled, RetryAfter: 8760 * time.Hour, Err: errors.New("429")}
		}
		r := collect(t, t.Context(), []Purger{d}, planned(t, d, list(1)), Options{})
		if len(d.sent) != 1 || !strings.Contains(r.reasons["/0000"].Error(), "not before 8760h") {
			t.Errorf("%d sent: %v", len(d.sent), r.reasons)
		}
	})
}

// TestRunLearns: a limit that answers tell of holds, though no plan knew it.
func TestRunLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 1, rates: []Rate{{Name: "api"}}}
		start := time.Now()
		d.answer = func(n int, c Call) ([]Receipt, error) {
			r := taken(c, c.Items)
			r[0].Budgets = []Budget{{Rate: "api", Left: float64(max(0, 10-n)), Reset: 20 * time.Second, Quota: 10, Window: 20 * time.Second}}
			return r, nil
		}
		collect(t, t.Context(), []Purger{d}, planned(t, d, list(13)), Options{})
		if at := d.at[9].Sub(start); at > 0 {
			t.Errorf("the tenth call waited %v for nothing", at)
		}
		if at := d.at[10].Sub(start); at < 20*time.Second {
			t.Errorf("the eleventh was sent after %v, with nothing left for 20 s", at)
		}
	})
}

// TestRunBusy: waits as long as it is told to, with smaller calls.
func TestRunBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 100}
		start := time.Now()
		d.answer = func(_ int, c Call) ([]Receipt, error) {
			if time.Since(start) < 10*time.Minute || len(c.Items) > 30 {
				return nil, &CallError{Fault: Busy, Err: errors.New("too many in progress")}
			}
			return taken(c, c.Items), nil
		}
		r := collect(t, t.Context(), []Purger{d}, planned(t, d, list(300)), Options{})
		if len(r.purged) != 300 {
			t.Fatalf("%d purged, %d failed", len(r.purged), len(r.failed))
		}
		start = time.Now().Add(24 * time.Hour)
		r = collect(t, t.Context(), []Purger{d}, planned(t, d, list(10)), Options{Patience: time.Minute})
		if len(r.failed) != 10 || !strings.Contains(r.reasons["/0000"].Error(), "given up after") {
			t.Fatalf("%v", r.reasons)
		}
	})
}

func TestRunForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, other := &desk{name: "d", size: 1}, &desk{name: "other", size: 1}
		d.answer = func(int, Call) ([]Receipt, error) {
			return nil, &CallError{Fault: Forbidden, Hint: "another token", Err: ErrDenied}
		}
		calls := append(planned(t, d, list(50)), planned(t, other, list(50))...)
		r := collect(t, t.Context(), []Purger{d, other}, calls, Options{})
		if len(d.sent) != 1 || len(r.failed) != 50 || len(r.purged) != 50 {
			t.Fatalf("%d sent, %d failed, %d purged", len(d.sent), len(r.failed), len(r.purged))
		}
		if err := r.reasons["/0049"]; !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrDenied) || Hint(err) != "another token" {
			t.Errorf("reason: %v", err)
		}
	})
}

// TestRunPartOfACall: a receipt for some items is believed, the others are sent again.
func TestRunPartOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, failing := range []error{nil, &CallError{Fault: Unavailable, Err: io.EOF}} {
			d := &desk{name: "d", size: 10}
			d.answer = func(n int, c Call) ([]Receipt, error) {
				if n == 1 {
					return taken(c, c.Items[:4]), failing
				}
				return taken(c, c.Items), nil
			}
			r := collect(t, t.Context(), []Purger{d}, planned(t, d, list(10)), Options{})
			if len(r.purged) != 10 || len(d.sent) != 2 || len(d.sent[1].Items) != 6 {
				t.Fatalf("%d purged, calls %v", len(r.purged), d.sent)
			}
		}
	})
}

func TestRunTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &hanging{desk{name: "d", size: 1}}
		r := collect(t, t.Context(), []Purger{slow}, planned(t, slow, list(1)), Options{Tries: 2, CallTimeout: time.Second})
		if err := r.reasons["/0000"]; err == nil || !strings.Contains(err.Error(), "no answer within 1s") {
			t.Fatal(err)
		}
	})
}

type hanging struct{ desk }

func (h *hanging) Do(ctx context.Context, c Call) ([]Receipt, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestRunInterrupted: everything is told, what was under way apart.
func TestRunInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 1, rates: []Rate{{Name: "r", PerSecond: 1, Burst: 1}}}
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		r := collect(t, ctx, []Purger{d}, planned(t, d, list(20)), Options{})
		if len(r.purged) != 6 || !errors.Is(r.err, context.DeadlineExceeded) {
			t.Fatalf("%d purged, %v", len(r.purged), r.err)
		}
		if err := r.reasons["/0019"]; !errors.Is(err, ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("reason: %v", err)
		}
	})
}

func TestRunReaderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{name: "d", size: 1, parallel: 3, rates: []Rate{{Name: "r", PerSecond: 1, Burst: 1}}}
		for range Run(t.Context(), []Purger{d}, planned(t, d, list(20)), Options{}) {
			break
		}
		sent := len(d.sent)
		time.Sleep(time.Hour)
		if len(d.sent) != sent {
			t.Error("it goes on without a reader")
		}
	})
}

func TestRunUnknownTarget(t *testing.T) {
	calls := []Call{NewCall("elsewhere", list(3))}
	r := collect(t, t.Context(), nil, calls, Options{})
	if len(r.failed) != 3 || !errors.Is(r.reasons["/0000"], ErrNotSent) {
		t.Fatalf("%v", r.reasons)
	}
}

// TestRunLosesNothing: whatever a provider answers, every item ends as purged
// or as failed, and what is told as purged was taken by the provider.
func TestRunLosesNothing(t *testing.T) {
	faults := []Fault{Throttled, Busy, Unavailable, TooLarge, Rejected, "final"}
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				var mu sync.Mutex
				got := make(map[string]bool)
				answer := func(_ int, c Call) ([]Receipt, error) {
					mu.Lock()
					defer mu.Unlock()
					if random.IntN(3) > 0 {
						for _, v := range values(c.Items) {
							got[v] = true
						}
						return taken(c, c.Items), nil
					}
					part := c.Items[:random.IntN(len(c.Items)+1)]
					for _, v := range values(part) {
						got[v] = true
					}
					fault := faults[random.IntN(len(faults))]
					err := error(&CallError{Fault: fault, Err: errors.New(string(fault)), RetryAfter: time.Duration(random.IntN(2)) * time.Second})
					return taken(c, part), err
				}
				a := &desk{name: "a", size: 40, parallel: 3, answer: answer}
				r := collect(t, t.Context(), []Purger{a}, planned(t, a, list(500)), Options{Tries: 3, Patience: time.Minute})
				for _, v := range r.purged {
					if !got[v] {
						t.Fatalf("%s is told as purged, and was never taken", v)
					}
				}
			})
		})
	}
}
