package cloudflare

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cachectl/cachectl/purge"
	"github.com/cachectl/cachectl/purge/purgetest"
)

// TestOldLimit: a zone that refuses more than 30 URLs is purged all the same.
func TestOldLimit(t *testing.T) {
	c := purgetest.NewCloudflare()
	c.MaxURLs = 30
	got := run(t, open(t, c, purge.Settings{Plan: "pro"}), numbered(1000), purge.Options{})
	if len(got.purged) != 1000 || len(got.failed) != 0 || len(c.Purged()) != 1000 {
		t.Fatalf("%d purged, failed %v", len(got.purged), got.failed)
	}
	if len(got.notices) != 1 || !strings.Contains(got.notices[0], "goes on with 30") {
		t.Errorf("notices %q", got.notices)
	}
	refused := 0
	for _, r := range c.Purges() {
		if !r.Taken {
			refused++
		}
	}
	if refused > 8 { // those under way when it was learned
		t.Errorf("%d calls of more than 30 URLs", refused)
	}
}

// TestBadURL: one URL that only the service refuses is named, the others are purged.
func TestBadURL(t *testing.T) {
	c := purgetest.NewCloudflare() // opened by ID, so the name of the zone is not known to the plan
	items := append(numbered(250), purge.Item{Kind: purge.URL, Value: "https://other.org/"})
	got := run(t, open(t, c, purge.Settings{}), items, purge.Options{})
	if len(got.purged) != 250 || len(got.failed) != 1 || got.failed["https://other.org/"] == nil || len(c.Purged()) != 250 {
		t.Errorf("%d purged, failed %v", len(got.purged), got.failed)
	}
}

// TestFaults: over a real network, with every way in which an answer can
// fail. Each item is purged, and told so.
func TestFaults(t *testing.T) {
	for name, fault := range map[string]purgetest.Fault{
		"429 with Retry-After":   {Status: 429, RetryAfter: "1"},
		"429 with a date":        {Status: 429, RetryAfter: time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)},
		"429":                    {Status: 429},
		"500":                    {Status: 500},
		"520":                    {Status: 520},
		"reset":                  {Reset: true},
		"reset after the fact":   {Reset: true, Taken: true},
		"500 after the fact":     {Status: 500, Taken: true},
		"half an answer":         {Half: true},
		"slow, beyond the limit": {Slow: 3 * time.Second},
		"slow, within the limit": {Slow: 100 * time.Millisecond},
		"400 for one call":       {Status: 400},
	} {
		t.Run(name, func(t *testing.T) {
			c := purgetest.NewCloudflare()
			c.Inject = func(n int) purgetest.Fault {
				if n == 2 {
					return fault
				}
				return purgetest.Fault{}
			}
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			p, err := Open(t.Context(), purge.Settings{Targets: []string{purgetest.ZoneID}, Token: c.Token, Endpoint: c.Start(t), Client: client, Plan: "pro", BatchSize: 10})
			if err != nil {
				t.Fatal(err)
			}
			clock := &purgetest.Clock{}
			got := run(t, p, numbered(30), purge.Options{Random: func() float64 { return 0 }, CallTimeout: 500 * time.Millisecond, Clock: clock})
			if len(got.purged) != 30 || len(got.failed) != 0 || len(c.Purged()) != 30 {
				t.Errorf("%d told as purged, %d failed, %d purged", len(got.purged), len(got.failed), len(c.Purged()))
			}
			if want := len(c.Purges()); fault.Slow != 100*time.Millisecond && want < 4 {
				t.Errorf("%d requests: the fault did not happen", want)
			}
		})
	}
}

// TestStorm: against a service that fails every third call in every way, for
// a long list, nothing is lost.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := purgetest.NewCloudflare()
		faults := []purgetest.Fault{{Status: 429, RetryAfter: "2"}, {Status: 429}, {Status: 500}, {Reset: true}, {Reset: true, Taken: true},
			{Half: true}, {Slow: 90 * time.Second}, {Status: 502, Taken: true}}
		c.Inject = func(n int) purgetest.Fault {
			if n%3 == 0 {
				return faults[n/3%len(faults)]
			}
			return purgetest.Fault{Slow: 50 * time.Millisecond}
		}
		got := run(t, open(t, c, purge.Settings{Plan: "pro"}), numbered(20_000), purge.Options{})
		if len(got.purged)+len(got.failed) != 20_000 || len(got.failed) > 0 || len(c.Purged()) != 20_000 {
			t.Errorf("%d told as purged, %d failed, %d purged", len(got.purged), len(got.failed), len(c.Purged()))
		}
	})
}

// TestSendsOnce: Do does not try again by itself; Run knows when to.
func TestSendsOnce(t *testing.T) {
	c := purgetest.NewCloudflare()
	c.Inject = func(int) purgetest.Fault { return purgetest.Fault{Status: 429, RetryAfter: "7"} }
	p := open(t, c, purge.Settings{})[0]
	_, err := p.Do(t.Context(), purge.NewCall(p.Name(), numbered(1)))
	var call *purge.CallError
	if !errors.As(err, &call) || call.Fault != purge.Throttled || call.RetryAfter != 7*time.Second || len(c.Purges()) != 1 {
		t.Errorf("%d requests: %v", len(c.Purges()), err)
	}
}

func TestFinalErrors(t *testing.T) {
	for status, want := range map[int]error{401: purge.ErrAuth, 403: purge.ErrDenied, 404: purge.ErrUnknown} {
		c := purgetest.NewCloudflare()
		c.Inject = func(int) purgetest.Fault { return purgetest.Fault{Status: status} }
		got := run(t, open(t, c, purge.Settings{BatchSize: 1}), numbered(50), purge.Options{})
		if len(got.failed) != 50 || len(c.Purges()) > 8 {
			t.Errorf("%d: %d failed, %d requests", status, len(got.failed), len(c.Purges()))
		}
		for _, err := range got.failed {
			if !errors.Is(err, want) || purge.Hint(err) == "" {
				t.Errorf("%d: %v", status, err)
			}
			break
		}
	}
	c := purgetest.NewCloudflare()
	got := run(t, open(t, c, purge.Settings{Targets: []string{strings.Repeat("f", 32)}}), numbered(1), purge.Options{})
	for _, err := range got.failed {
		if !errors.Is(err, purge.ErrUnknown) || !strings.Contains(err.Error(), "7003") {
			t.Errorf("no such zone: %v", err)
		}
	}
}

// TestRate: on a virtual clock, against a server that refuses what is beyond
// the limits.
func TestRate(t *testing.T) {
	for _, test := range []struct {
		plan  string
		urls  float64
		items int
	}{{"free", 800, 100_000}, {"pro", 1500, 100_000}, {"enterprise", 3000, 200_000}} {
		t.Run(test.plan, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := purgetest.NewCloudflare()
				c.Zones[0].Plan = test.plan
				tier, _ := tierOf(test.plan)
				c.Limit(tier.urls, tier.urls, tier.flex, tier.burst)
				c.Inject = func(n int) purgetest.Fault {
					return purgetest.Fault{Slow: time.Duration(100+n%7*30) * time.Millisecond}
				}
				p := open(t, c, purge.Settings{Plan: test.plan})
				start := time.Now()
				got := run(t, p, numbered(test.items), purge.Options{})
				if len(got.purged) != test.items || len(c.Purged()) != test.items {
					t.Fatalf("%d purged, %d failed", len(got.purged), len(got.failed))
				}
				share := rate(t, c, start, test.urls, float64(test.items))
				t.Logf("%.1f %% of the permitted rate", share*100)
			})
		})
	}
}

// rate is the share of the permitted rate that was used, after the burst of a
// second. It fails the test if it is low, or if anything was refused.
func rate(t *testing.T, c *purgetest.Cloudflare, start time.Time, perSecond, items float64) float64 {
	t.Helper()
	sent := c.Purges()
	for _, r := range sent {
		if !r.Taken {
			t.Errorf("refused after %v", r.At.Sub(start))
		}
	}
	share := (items - perSecond) / sent[len(sent)-1].At.Sub(start).Seconds() / perSecond
	if share < 0.95 {
		t.Errorf("%.1f %% of the permitted rate", share*100)
	}
	return share
}

// TestFlexRate: 5 calls a minute are kept, and used.
func TestFlexRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := purgetest.NewCloudflare()
		c.Limit(800, 800, 5.0/60, 25)
		var items []purge.Item
		for n := range 10_000 {
			items = append(items, purge.Item{Kind: purge.Tag, Value: fmt.Sprint("t", n)})
		}
		start := time.Now()
		got := run(t, open(t, c, purge.Settings{Plan: "free"}), items, purge.Options{})
		sent := c.Purges()
		took := sent[len(sent)-1].At.Sub(start)
		if len(got.purged) != 10_000 || len(sent) != 100 || took > 75*12*time.Second*100/95 {
			t.Errorf("%d purged by %d calls in %v", len(got.purged), len(sent), took)
		}
	})
}

// TestLearnsRate: the limit of calls is known from the answers only.
func TestLearnsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := purgetest.NewCloudflare()
		c.LimitCalls(50, time.Minute)
		got := run(t, open(t, c, purge.Settings{Plan: "pro"}), numbered(20_000), purge.Options{})
		refused := 0
		for _, r := range c.Purges() {
			if !r.Taken {
				refused++
			}
		}
		if len(got.purged) != 20_000 || refused > 0 {
			t.Errorf("%d purged, %d calls refused", len(got.purged), refused)
		}
	})
}

func TestBudgets(t *testing.T) {
	z := &zone{account: "a"}
	for _, test := range []struct {
		rate, policy string
		want         []purge.Budget
	}{
		{"", `"burst";q=100;w=60`, nil},
		{`"default";r=50;t=30`, "", []purge.Budget{{Rate: "cloudflare/a/api", Left: 50, Reset: 30 * time.Second}}},
		{`"default";r=50;t=30`, `"burst";q=100;w=60`, []purge.Budget{{Rate: "cloudflare/a/api", Left: 50, Reset: 30 * time.Second, Quota: 100, Window: time.Minute}}},
		{`"a";r=50;t=30, "b";r=2;t=5`, `"a";q=100;w=60,"b";q=1200;w=300, "c";q=9`, []purge.Budget{{Rate: "cloudflare/a/api", Left: 2, Reset: 5 * time.Second, Quota: 100, Window: time.Minute}}},
		{"nonsense", ";;=,", nil},
	} {
		h := http.Header{}
		h.Set("Ratelimit", test.rate)
		h.Set("Ratelimit-Policy", test.policy)
		if got := z.budgets(&http.Response{Header: h}); !slices.Equal(got, test.want) {
			t.Errorf("%s %s: %+v, want %+v", test.rate, test.policy, got, test.want)
		}
	}
}
