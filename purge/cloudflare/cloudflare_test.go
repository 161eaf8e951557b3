package cloudflare

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cachectl/cachectl/purge"
	"github.com/cachectl/cachectl/purge/purgetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens targets of a server without a network.
func open(t *testing.T, c *purgetest.Cloudflare, s purge.Settings) []purge.Purger {
	t.Helper()
	s.Endpoint, s.Client = "http://cloudflare.test/", c.Client()
	if s.Token == "" {
		s.Token = c.Token
	}
	if s.Targets == nil {
		s.Targets = []string{purgetest.ZoneID}
	}
	opened, err := Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func numbered(n int) []purge.Item {
	var items []purge.Item
	for i := range n {
		items = append(items, purge.Item{Kind: purge.URL, Value: fmt.Sprintf("https://www.example.com/dir%d/%d.html", i%7, i)})
	}
	return items
}

type told struct {
	purged   []string
	failed   map[string]error
	receipts []purge.Receipt
	notices  []string
}

// run plans and runs items over all purgers.
func run(t *testing.T, purgers []purge.Purger, items []purge.Item, o purge.Options) told {
	t.Helper()
	var calls []purge.Call
	for _, p := range purgers {
		plan, err := p.Plan(items)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Refused) > 0 {
			t.Fatalf("refused: %v", &plan.Refused[0])
		}
		calls = append(calls, plan.Calls...)
	}
	got := told{failed: make(map[string]error)}
	for outcome, err := range purge.Run(t.Context(), purgers, calls, o) {
		if purge.Ends(err) {
			t.Fatal(err)
		}
		if err != nil {
			got.notices = append(got.notices, err.Error())
			continue
		}
		for _, i := range outcome.Items {
			if outcome.Err != nil {
				got.failed[i.Value] = outcome.Err
			} else {
				got.purged = append(got.purged, i.Value)
			}
		}
		got.receipts = append(got.receipts, outcome.Receipts...)
	}
	return got
}

func TestPurge(t *testing.T) {
	c := purgetest.NewCloudflare()
	p := open(t, c, purge.Settings{Targets: []string{"example.com"}})
	items := []purge.Item{
		{Kind: purge.URL, Value: "HTTPS://WWW.example.com:443/Grün?x=1#top"},
		{Kind: purge.URL, Value: "https://www.example.com/pic.jpg", Header: http.Header{"cf-device-type": {"mobile"}}},
		{Kind: purge.Tag, Value: "Product:1"},
		{Kind: purge.Host, Value: "img.example.com"},
		{Kind: purge.Prefix, Value: "www.example.com/foo"},
	}
	got := run(t, p, items, purge.Options{})
	if len(got.purged) != 5 || len(got.failed) != 0 || got.receipts[0].State != purge.Accepted || got.receipts[0].ID == "" {
		t.Fatalf("%+v", got)
	}
	want := map[string]int{"https://www.example.com/Gr%C3%BCn?x=1": 1, "https://www.example.com/pic.jpg": 1, "product:1": 1, "img.example.com": 1, "www.example.com/foo": 1}
	for i, n := range want {
		if c.Purged()[i] != n {
			t.Errorf("%s purged %d times of %v", i, c.Purged()[i], c.Purged())
		}
	}
	for _, r := range c.Purges() {
		if len(r.Headers) > 0 && r.Headers[0].Get("CF-Device-Type") != "mobile" {
			t.Errorf("headers %v", r.Headers)
		}
	}
	got = run(t, p, append(items, purge.Item{Kind: purge.Everything}), purge.Options{})
	if len(got.purged) != 1 || c.Purged()["everything"] != 1 {
		t.Errorf("everything: %v", c.Purged())
	}
	if _, err := purge.As[purge.Waiter](p[0]); err == nil {
		t.Error("it cannot wait, and does not say so")
	}
}

func TestEnvironment(t *testing.T) {
	c := purgetest.NewCloudflare()
	c.Environments = []string{"staging"}
	got := run(t, open(t, c, purge.Settings{Environment: "staging"}), numbered(3), purge.Options{})
	if len(got.purged) != 3 || c.Purges()[0].Path != "/zones/"+purgetest.ZoneID+"/environments/staging/purge_cache" {
		t.Errorf("%+v %v", got, c.Purges())
	}
}

func TestPlan(t *testing.T) {
	z := &zone{id: purgetest.ZoneID, account: "a", tier: tiers[1]}
	items := append(numbered(700), numbered(3)...)
	for _, v := range []string{"www.example.com/dir3", "www.example.com/dir4/", "www.example.com/dir3/x", "www.example.com/dir", "img.example.com/a"} {
		items = append(items, purge.Item{Kind: purge.Prefix, Value: v})
	}
	items = append(items, purge.Item{Kind: purge.Host, Value: "img.example.com"})
	plan, err := z.Plan(items)
	if err != nil || len(plan.Duplicates) != 3 || len(plan.Covered) != 202 || plan.Items() != 504 || len(plan.Calls) != 5+1+1 {
		t.Errorf("%d duplicates, %d covered, %d items in %d calls: %v", len(plan.Duplicates), len(plan.Covered), plan.Items(), len(plan.Calls), err)
	}
	if plan.Given != plan.Items()+len(plan.Duplicates)+len(plan.Covered)+len(plan.Refused) || len(plan.Notes) != 1 {
		t.Errorf("%d given; notes %q", plan.Given, plan.Notes)
	}
	for _, c := range plan.Covered {
		if c.By.Value == "www.example.com/dir" || c.By.Value == c.Item.Value {
			t.Errorf("%v is covered by %v", c.Item, c.By)
		}
	}
	// A call of 100 URLs at 1,500 a second, 15 calls in the first second.
	plan, _ = z.Plan(numbered(100_000))
	if took := purge.Takes(plan); took < 65*time.Second || took > 68*time.Second {
		t.Errorf("takes %v", took)
	}
	for n, want := range map[string]int{"free": 100, "pro": 100, "business": 100, "enterprise": 500} {
		t100, _ := tierOf(n)
		z := &zone{tier: t100}
		plan, _ := z.Plan(numbered(1000))
		if len(plan.Calls[0].Items) != want {
			t.Errorf("plan %s: %d URLs a call", n, len(plan.Calls[0].Items))
		}
	}
	if plan, err := z.Plan(nil); err != nil || len(plan.Calls) != 0 || plan.Everything() {
		t.Errorf("no items: %+v", plan)
	}
}

// TestPlanAgain: what a plan made is planned as it is. Run relies on it.
func TestPlanAgain(t *testing.T) {
	z := &zone{id: purgetest.ZoneID, name: "example.com", tier: tiers[0]}
	plan, _ := z.Plan([]purge.Item{{Kind: purge.URL, Value: "https://example.com?a=ü%20b"}, {Kind: purge.URL, Value: "http://example.com:8080/x y"},
		{Kind: purge.URL, Value: "https://example.com", Header: http.Header{"origin": {"https://x"}}}, {Kind: purge.Tag, Value: "A"},
		{Kind: purge.Prefix, Value: "EXAMPLE.com/ü/"}, {Kind: purge.Host, Value: "A.example.com"}})
	if len(plan.Refused) > 0 || len(plan.Calls) != 5 {
		t.Fatalf("%d calls, refused %v", len(plan.Calls), plan.Refused)
	}
	for _, c := range plan.Calls {
		again, _ := z.Plan(c.Items)
		if len(again.Calls) != 1 || again.Calls[0].ID != c.ID {
			t.Errorf("%v and %v", c.Items, again.Calls)
		}
	}
}

func TestOpenByName(t *testing.T) {
	c := purgetest.NewCloudflare()
	other := strings.Repeat("a", 32)
	c.Zones = append(c.Zones, purgetest.Zone{ID: other, Name: "shop.co.uk", Account: "B", Plan: "enterprise"})
	opened := open(t, c, purge.Settings{Targets: []string{"www.img.example.com", "Shop.co.uk", purgetest.ZoneID, "www.example.com"}})
	var names []string
	for _, p := range opened {
		names = append(names, p.Name())
	}
	if want := []string{"cloudflare:" + purgetest.ZoneID, "cloudflare:" + other, "cloudflare:" + purgetest.ZoneID, "cloudflare:" + purgetest.ZoneID}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if got := len(c.Log()); got != 5 { // www.img.example.com, img.example.com, example.com, shop.co.uk, www.example.com
		t.Errorf("%d look-ups", got)
	}
	if tier := opened[1].(*zone).tier.name; tier != "enterprise" {
		t.Errorf("plan of the zone: %s", tier)
	}
	c.Zones = append(c.Zones, purgetest.Zone{ID: strings.Repeat("b", 32), Name: "shop.co.uk", Account: "C"})
	for target, kind := range map[string]error{"shop.co.uk": purge.ErrSettings, "nobody.org": purge.ErrUnknown, "https://example.com/": purge.ErrSettings, "": purge.ErrSettings} {
		_, err := Open(t.Context(), purge.Settings{Targets: []string{target}, Token: c.Token, Endpoint: "http://x.test", Client: c.Client()})
		if !errors.Is(err, kind) || purge.Hint(err) == "" {
			t.Errorf("%q: %v", target, err)
		}
	}
	for _, s := range []purge.Settings{{Token: ""}, {Token: "a b"}, {Token: "wrong"}, {Token: c.Token, Plan: "gold"}} {
		s.Targets, s.Endpoint, s.Client = []string{"example.com"}, "http://x.test", c.Client()
		if _, err := Open(t.Context(), s); err == nil || purge.Hint(err) == "" || s.Token != "" && strings.Contains(err.Error(), s.Token) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func BenchmarkPlan100k(b *testing.B) {
	z := &zone{name: "example.com", tier: tiers[1]}
	items := numbered(100_000)
	for b.Loop() {
		if plan, _ := z.Plan(items); plan.Items() != 100_000 {
			b.Fatal(plan.Items())
		}
	}
}
