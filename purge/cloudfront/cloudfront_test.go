package cloudfront

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/cachectl/cachectl/purge"
	"github.com/cachectl/cachectl/purge/purgetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const anID = "E2EXAMPLE1ABCD"

// credentials are those of the environment, and nothing of this machine.
func credentials(t *testing.T) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_PROFILE", "")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// open opens targets of a server without a network.
func open(t *testing.T, c *purgetest.CloudFront, s purge.Settings) []purge.Purger {
	t.Helper()
	s.Endpoint, s.Client = "http://cloudfront.test", c.Client()
	if s.Targets == nil {
		s.Targets = []string{anID}
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
		items = append(items, purge.Item{Kind: purge.Path, Value: fmt.Sprintf("/dir%d/%d.html", i%7, i)})
	}
	return items
}

// run plans and runs items over all purgers, and returns what was purged and
// what failed, as "target item".
func run(t *testing.T, purgers []purge.Purger, items []purge.Item, o purge.Options) (purged []string, failed map[string]error, receipts []purge.Receipt) {
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
	failed = make(map[string]error)
	for outcome, err := range purge.Run(t.Context(), purgers, calls, o) {
		if purge.Ends(err) {
			t.Fatal(err)
		}
		for _, i := range outcome.Items {
			if outcome.Err != nil {
				failed[outcome.Target+" "+i.Value] = outcome.Err
			} else {
				purged = append(purged, outcome.Target+" "+i.Value)
			}
		}
		receipts = append(receipts, outcome.Receipts...)
	}
	return purged, failed, receipts
}

func TestPurge(t *testing.T) {
	credentials(t)
	c := purgetest.NewCloudFront()
	p := open(t, c, purge.Settings{Kinds: []purge.Kind{purge.Path, purge.Tag}})
	items := []purge.Item{{Kind: purge.Path, Value: "/a b.html"}, {Kind: purge.Prefix, Value: "/img/"}, {Kind: purge.Tag, Value: "#Product:1"}}
	purged, failed, receipts := run(t, p, items, purge.Options{Key: "run 7"})
	if len(purged) != 3 || len(failed) != 0 || len(receipts) != 1 || receipts[0].ID != "I0000000000001" || receipts[0].At.IsZero() {
		t.Fatalf("%v %v %+v", purged, failed, receipts)
	}
	sent := c.Purges()[0]
	if want := []string{"/a%20b.html", "/img/*", "#product:1"}; !slices.Equal(sent.Items, want) {
		t.Errorf("sent %q, want %q", sent.Items, want)
	}
	// A repeated step is the same invalidation, and pays nothing.
	_, _, again := run(t, p, items, purge.Options{Key: "run 7"})
	if again[0].ID != receipts[0].ID || c.Paid != 3 {
		t.Errorf("repeated: %s after %s, paid for %d", again[0].ID, receipts[0].ID, c.Paid)
	}
	// A later one is another.
	if _, _, later := run(t, p, items, purge.Options{}); later[0].ID == receipts[0].ID {
		t.Error("a later purge was swallowed")
	}
}

func TestPlan(t *testing.T) {
	credentials(t)
	p := open(t, purgetest.NewCloudFront(), purge.Settings{})[0]
	plan, err := p.Plan(append(numbered(7000), purge.Item{Kind: purge.Prefix, Value: "/dir3/"}, purge.Item{Kind: purge.Path, Value: "/dir1/1.html"}))
	if err != nil {
		t.Fatal(err)
	}
	if plan.Items() != 6001 || len(plan.Calls) != 3 || len(plan.Covered) != 1000 || len(plan.Duplicates) != 1 {
		t.Errorf("%d items in %d calls, %d covered, %d duplicates", plan.Items(), len(plan.Calls), len(plan.Covered), len(plan.Duplicates))
	}
	if plan.Cost.Low != 5001*0.005 || plan.Cost.High != 6001*0.005 || len(plan.Cost.Assumes) == 0 {
		t.Errorf("cost %+v", plan.Cost)
	}
	if took := purge.Takes(plan); took < 20*time.Second || took > 22*time.Second { // 3,001 beyond the burst, 150 a second
		t.Errorf("takes %v", took)
	}
	for _, kind := range []purge.Item{{Kind: purge.Everything}, {Kind: purge.Path, Value: "/*"}, {Kind: purge.Prefix, Value: "/"}} {
		plan, _ := p.Plan(append(numbered(100), purge.Item{Kind: purge.Tag, Value: "t"}, kind))
		if !plan.Everything() || plan.Items() != 1 || len(plan.Covered) != 101 {
			t.Errorf("%v: %d items, everything %v", kind, plan.Items(), plan.Everything())
		}
	}
	if plan, err := p.Plan(nil); err != nil || len(plan.Calls) != 0 || plan.Everything() {
		t.Errorf("no items: %+v %v", plan, err)
	}
	small := &distribution{id: anID, batch: 70}
	if plan, _ := small.Plan(numbered(700)); len(plan.Calls) != 10 {
		t.Errorf("%d calls of at most 70 items", len(plan.Calls))
	}
	// Wildcards that are too many for the quota go apart, 15 a call.
	var stars []purge.Item
	for n := range 40 {
		stars = append(stars, purge.Item{Kind: purge.Prefix, Value: fmt.Sprintf("/p%d/", n)})
	}
	plan, _ = p.Plan(append(stars, numbered(10)...))
	if len(plan.Calls) != 4 {
		t.Errorf("%d calls", len(plan.Calls))
	}
}

// TestPlanAgain: what a plan made is planned as it is. Run relies on it.
func TestPlanAgain(t *testing.T) {
	d := &distribution{id: anID}
	plan, _ := d.Plan(append(numbered(100), purge.Item{Kind: purge.Path, Value: "/ü?q=%C3%BC&x=[1]"}, purge.Item{Kind: purge.Tag, Value: "A:1"}, purge.Item{Kind: purge.Prefix, Value: "/p q/"}))
	again, _ := d.Plan(plan.Calls[0].Items)
	if len(plan.Refused)+len(again.Refused) > 0 || again.Calls[0].ID != plan.Calls[0].ID {
		t.Errorf("%v and %v", plan.Calls[0].Items, again.Calls[0].Items)
	}
}

func TestTagsNeedOptIn(t *testing.T) {
	credentials(t)
	c := purgetest.NewCloudFront()
	c.Distributions[0].TagHeader = ""
	tag := []purge.Item{{Kind: purge.Tag, Value: "x"}}
	plan, _ := open(t, c, purge.Settings{Kinds: []purge.Kind{purge.Tag}})[0].Plan(tag)
	if len(plan.Refused) != 1 || !strings.Contains(plan.Refused[0].Instead, "CacheTagConfig") || len(plan.Calls) != 0 {
		t.Errorf("%+v", plan)
	}
	plan, _ = open(t, c, purge.Settings{})[0].Plan(tag)
	if len(plan.Calls) != 1 || len(plan.Notes) != 1 {
		t.Errorf("unchecked: %+v", plan)
	}
}

func TestOpenByName(t *testing.T) {
	credentials(t)
	c := purgetest.NewCloudFront()
	for n := range 5 {
		c.Distributions = append(c.Distributions, purgetest.Distribution{ID: fmt.Sprintf("E000000000000%d", n), Domain: fmt.Sprintf("d%d.cloudfront.net", n), Aliases: []string{fmt.Sprintf("a%d.img.example.com", n)}})
	}
	opened := open(t, c, purge.Settings{Targets: []string{"D4.cloudfront.net", anID, "www.example.com", "x.img.example.com", "a2.img.example.com"}})
	var names []string
	for _, p := range opened {
		names = append(names, p.Name())
	}
	want := []string{"cloudfront:E0000000000004", "cloudfront:" + anID, "cloudfront:" + anID, "cloudfront:" + anID, "cloudfront:E0000000000002"}
	if !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if got := len(c.Log()); got != 3 {
		t.Errorf("%d requests for 6 distributions in pages of 2", got)
	}
	plan, _ := opened[1].Plan(nil)
	if plan.Rates[0].Name != "cloudfront/123456789012/calls" {
		t.Errorf("rate %q", plan.Rates[0].Name)
	}
	for _, target := range []string{"nobody.example.org", "https://www.example.com/", "E12", ""} {
		_, err := Open(t.Context(), purge.Settings{Targets: []string{target}, Endpoint: "http://x.test", Client: c.Client()})
		if err == nil || purge.Hint(err) == "" {
			t.Errorf("%q: %v", target, err)
		}
	}
	// By ID, nothing but the purge itself is asked for.
	before := len(c.Log())
	open(t, c, purge.Settings{})
	if len(c.Log()) != before {
		t.Error("an ID was looked up")
	}
}

func TestStatusListWait(t *testing.T) {
	credentials(t)
	synctest.Test(t, func(t *testing.T) {
		c := purgetest.NewCloudFront()
		c.CompletesIn = 25 * time.Second
		p := open(t, c, purge.Settings{})
		var first purge.Receipt
		for n := range 5 {
			_, _, receipts := run(t, p, []purge.Item{{Kind: purge.Path, Value: fmt.Sprintf("/%d", n)}, {Kind: purge.Tag, Value: "x"}}, purge.Options{})
			if n == 0 {
				first = receipts[0]
			}
		}
		statuser, err := purge.As[purge.Statuser](p[0])
		if err != nil {
			t.Fatal(err)
		}
		got, err := statuser.Status(t.Context(), first.ID)
		if err != nil || got.State != purge.InProgress || len(got.Items) != 2 || got.Items[1].Kind != purge.Tag {
			t.Errorf("%+v %v", got, err)
		}
		if _, err := statuser.Status(t.Context(), "I404"); !errors.Is(err, purge.ErrUnknown) {
			t.Errorf("unknown: %v", err)
		}
		start := first.At
		for r, err := range purge.Await(t.Context(), p, []purge.Receipt{first}) {
			if err != nil || r.State != purge.Completed {
				t.Errorf("%+v %v", r, err)
			}
		}
		if took := time.Since(start); took < 25*time.Second || took > 28*time.Second {
			t.Errorf("waited %v for a purge of 25 s", took)
		}
		lister, err := purge.As[purge.Lister](p[0])
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for r, err := range lister.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, r.ID)
		}
		if len(ids) != 5 || ids[4] != first.ID {
			t.Errorf("list: %v", ids)
		}
		short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, _, receipts := run(t, p, numbered(1), purge.Options{})
		for _, err := range purge.Await(short, p, receipts) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("timeout: %v", err)
			}
		}
	})
}

// TestWireFixture: AWS' own sample of the request is what the test server
// reads, and what is sent has its form.
func TestWireFixture(t *testing.T) {
	text := fixture(t)
	for _, part := range []string{"POST /2020-05-31/distribution/__DistributionId__/invalidation", "<InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\">",
		"<CallerReference>", "<Paths><Items><Path>", "<Quantity>"} {
		if !strings.Contains(text, part) {
			t.Errorf("the sample lacks %s", part)
		}
	}
	if !purgetest.ReadsBatch([]byte(text[strings.Index(text, "<InvalidationBatch"):]), "__CallerReference__", 2) {
		t.Error("the test server does not read the sample")
	}
}

func BenchmarkPlan100k(b *testing.B) {
	d := &distribution{id: anID}
	items := numbered(100_000)
	for b.Loop() {
		if plan, _ := d.Plan(items); plan.Items() != 100_000 {
			b.Fatal(plan.Items())
		}
	}
}

// fixture is the sample that the SDK's module has in its folder.
func fixture(t *testing.T) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/cloudfront").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "request_snapshot", "CreateInvalidation.request.snap"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCredentialChain: profile, role and endpoint are found as the aws command
// finds them.
func TestCredentialChain(t *testing.T) {
	credentials(t)
	c := purgetest.NewCloudFront()
	t.Setenv("AWS_ENDPOINT_URL_CLOUDFRONT", c.Start(t))
	var role string
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		role = r.FormValue("RoleArn")
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>`+
			`<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	defer tokens.Close()
	t.Setenv("AWS_ENDPOINT_URL_STS", tokens.URL)
	t.Setenv("AWS_CA_BUNDLE", "")
	for _, s := range []purge.Settings{{}, {Role: "arn:aws:iam::1:role/purge"}, {Profile: "shop"}} {
		if s.Profile != "" {
			file := filepath.Join(t.TempDir(), "credentials")
			if err := os.WriteFile(file, []byte("[shop]\naws_access_key_id = AKIDSHOP\naws_secret_access_key = s\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
		}
		s.Targets = []string{anID}
		p, err := Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if purged, failed, _ := run(t, p, numbered(2), purge.Options{}); len(purged) != 2 {
			t.Errorf("%+v: %v", s, failed)
		}
	}
	if role != "arn:aws:iam::1:role/purge" {
		t.Errorf("role %q", role)
	}
	if _, err := Open(t.Context(), purge.Settings{Targets: []string{anID}, Profile: "nobody"}); !errors.Is(err, purge.ErrSettings) || purge.Hint(err) == "" {
		t.Errorf("unknown profile: %v", err)
	}
}
