package cloudfront

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cachectl/cachectl/purge"
	"github.com/cachectl/cachectl/purge/purgetest"
)

// TestFaults: over a real network, with every way in which an answer can fail.
// The log proves that each item was purged, and the account that none was
// paid twice, though answers were lost after the fact.
func TestFaults(t *testing.T) {
	credentials(t)
	faults := map[string]purgetest.Fault{
		"429 with Retry-After":    {Status: 429, RetryAfter: "1"},
		"429":                     {Status: 429},
		"Throttling":              {Status: 400, Code: "Throttling"},
		"500":                     {Status: 500},
		"503":                     {Status: 503},
		"too many in progress":    {Status: 400, Code: "TooManyInvalidationsInProgress"},
		"too large":               {Status: 413, Code: "BatchTooLarge"},
		"reset":                   {Reset: true},
		"reset after the fact":    {Reset: true, Taken: true},
		"500 after the fact":      {Status: 500, Taken: true},
		"half an answer":          {Half: true},
		"slow, beyond the limit":  {Slow: 3 * time.Second},
		"slow, within the limit":  {Slow: 100 * time.Millisecond},
		"half, slow":              {Half: true, Slow: 50 * time.Millisecond},
		"InvalidArgument for all": {Status: 400, Code: "InvalidArgument"},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			c := purgetest.NewCloudFront()
			c.Inject = func(n int) purgetest.Fault {
				if n == 1 {
					return fault
				}
				return purgetest.Fault{}
			}
			p, err := Open(t.Context(), purge.Settings{Targets: []string{anID}, Endpoint: c.Start(t)})
			if err != nil {
				t.Fatal(err)
			}
			o := purge.Options{Random: func() float64 { return 0 }, CallTimeout: 500 * time.Millisecond, Clock: &purgetest.Clock{}}
			purged, failed, _ := run(t, p, numbered(100), o)
			if len(purged) != 100 || len(failed) != 0 || len(c.Purged()) != 100 || c.Paid != 100 {
				t.Errorf("%d told as purged, %d failed, %d purged, %d paid", len(purged), len(failed), len(c.Purged()), c.Paid)
			}
			for i, n := range c.Purged() {
				if n != 1 {
					t.Errorf("%s purged %d times", i, n)
				}
			}
			if name == "slow, within the limit" && len(c.Purges()) != 1 {
				t.Error("a slow answer was not waited for")
			}
		})
	}
}

// TestSendsOnce: Do does not try again by itself; Run knows when to.
func TestSendsOnce(t *testing.T) {
	credentials(t)
	c := purgetest.NewCloudFront()
	c.Inject = func(int) purgetest.Fault { return purgetest.Fault{Status: 503, RetryAfter: "7"} }
	p := open(t, c, purge.Settings{})[0]
	_, err := p.Do(t.Context(), purge.NewCall(p.Name(), numbered(1)))
	var call *purge.CallError
	if !errors.As(err, &call) || call.Fault != purge.Unavailable || call.RetryAfter != 7*time.Second || len(c.Purges()) != 1 {
		t.Errorf("%d requests: %v", len(c.Purges()), err)
	}
}

func TestFinalErrors(t *testing.T) {
	credentials(t)
	for code, want := range map[string]error{
		"AccessDenied": purge.ErrDenied, "ExpiredToken": purge.ErrAuth, "SignatureDoesNotMatch": purge.ErrAuth, "NoSuchDistribution": purge.ErrUnknown,
	} {
		c := purgetest.NewCloudFront()
		c.Inject = func(int) purgetest.Fault { return purgetest.Fault{Status: 403, Code: code} }
		purged, failed, _ := run(t, open(t, c, purge.Settings{BatchSize: 10}), numbered(50), purge.Options{})
		if len(purged) != 0 || len(failed) != 50 || len(c.Purges()) != 1 {
			t.Errorf("%s: %d purged, %d failed, %d requests", code, len(purged), len(failed), len(c.Purges()))
		}
		for _, err := range failed {
			if !errors.Is(err, want) || purge.Hint(err) == "" || !strings.Contains(err.Error(), code) {
				t.Errorf("%s: %v", code, err)
			}
			break
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, failed, _ := run(t, open(t, purgetest.NewCloudFront(), purge.Settings{}), numbered(1), purge.Options{})
	for _, err := range failed {
		if !errors.Is(err, purge.ErrAuth) || !strings.Contains(purge.Hint(err), "profile") {
			t.Errorf("no credentials: %v", err)
		}
	}
}

// TestBadItem: one path that only the service knows to be bad is named, and
// the others are purged.
func TestBadItem(t *testing.T) {
	credentials(t)
	synctest.Test(t, func(t *testing.T) {
		c := purgetest.NewCloudFront()
		p := open(t, c, purge.Settings{})
		plan, _ := p[0].Plan(numbered(500))
		plan.Calls[0].Items[123].Value = "/~bad" // past the plan's own rules
		var failed []string
		for o, err := range purge.Run(t.Context(), p, plan.Calls, purge.Options{}) {
			if err == nil && o.Err != nil {
				for _, i := range o.Items {
					failed = append(failed, i.Value)
				}
			}
		}
		if !slices.Equal(failed, []string{"/~bad"}) || len(c.Purged()) != 499 {
			t.Errorf("failed %v, %d purged", failed, len(c.Purged()))
		}
	})
}

// TestRate: 60,000 paths to two distributions of one account, on a virtual
// clock, against a server that refuses what is beyond the limits.
func TestRate(t *testing.T) {
	credentials(t)
	synctest.Test(t, func(t *testing.T) {
		c := purgetest.NewCloudFront()
		c.Distributions = append(c.Distributions, purgetest.Distribution{ID: "E3EXAMPLE1ABCD"})
		c.Limit(0.5, 1, 150, 3000, 1, 15)
		c.Inject = func(int) purgetest.Fault { return purgetest.Fault{Slow: 400 * time.Millisecond} }
		p := open(t, c, purge.Settings{Targets: []string{anID, "E3EXAMPLE1ABCD"}})
		start := time.Now()
		purged, failed, _ := run(t, p, numbered(30_000), purge.Options{})
		if len(purged) != 60_000 || len(failed) != 0 {
			t.Fatalf("%d purged, %d failed", len(purged), len(failed))
		}
		sent := c.Purges()
		for _, r := range sent {
			if !r.Taken {
				t.Errorf("refused after %v", r.At.Sub(start))
			}
		}
		took := sent[len(sent)-1].At.Sub(start)
		share := (60_000 - 3000) / took.Seconds() / 150
		t.Logf("%v, %.1f %% of the permitted rate", took, share*100)
		if share < 0.95 {
			t.Errorf("%.1f %% of the permitted rate", share*100)
		}
	})
}

// TestInProgress: against the older quotas, in which batches wait for one another.
func TestInProgress(t *testing.T) {
	credentials(t)
	synctest.Test(t, func(t *testing.T) {
		c := purgetest.NewCloudFront()
		c.InProgress, c.CompletesIn = true, 4*time.Minute
		items := numbered(9000)
		for n := range 40 {
			items = append(items, purge.Item{Kind: purge.Prefix, Value: fmt.Sprintf("/p%d/", n)})
		}
		purged, failed, _ := run(t, open(t, c, purge.Settings{}), items, purge.Options{Random: rand.New(rand.NewPCG(1, 1)).Float64})
		if len(purged) != 9040 || len(failed) != 0 || c.Paid != 9040 {
			t.Fatalf("%d purged, %d failed, %d paid", len(purged), len(failed), c.Paid)
		}
	})
}
