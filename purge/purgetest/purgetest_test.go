package purgetest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// post sends a body and returns the status and the text of the answer.
func post(t *testing.T, client *http.Client, url, authorization, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func repeated(n int, item string) string {
	return strings.TrimSuffix(strings.Repeat(item+",", n), ",")
}

// TestCloudflareRefuses: what the real service refuses leaves no trace but in the log.
func TestCloudflareRefuses(t *testing.T) {
	c := NewCloudflare()
	for _, test := range []struct {
		body   string
		status int
	}{
		{`{"files":["https://example.com/a"]}`, 200},
		{`{"files":[{"url":"https://example.com/a","headers":{"Origin":"https://x"}}]}`, 200},
		{`{"files":[` + repeated(100, `"https://example.com/a"`) + `]}`, 200},
		{`{"files":[` + repeated(101, `"https://example.com/a"`) + `]}`, 400},
		{`{"tags":[` + repeated(101, `"a"`) + `]}`, 400},
		{`{}`, 400},
		{``, 400},
		{`{"paths":["/a"]}`, 400},
		{`{"files":[]}`, 400},
		{`{"files":["/a"]}`, 400},
		{`{"files":["https://other.org/a"]}`, 400},
		{`{"files":["https://example.com/*"]}`, 400},
		{`{"files":["https://EXAMPLE.com/"]}`, 400},
		{`{"prefixes":["https://example.com/a"]}`, 400},
		{`{"prefixes":["example.com/a?b"]}`, 400},
		{`{"prefixes":["example.com` + strings.Repeat("/a", 32) + `"]}`, 400},
		{`{"hosts":["*.example.com"]}`, 400},
		{`{"tags":["a b"]}`, 400},
		{`{"purge_everything":false}`, 400},
		{`{"purge_everything":true}`, 200},
	} {
		before := len(c.Purges())
		status, text := post(t, c.Client(), "http://x/zones/"+ZoneID+"/purge_cache", "Bearer secret-token", test.body)
		if status != test.status {
			t.Errorf("%.60s: %d %s, want %d", test.body, status, text, test.status)
		}
		if all := c.Purges(); len(all) != before+1 || all[before].Taken != (test.status == 200) {
			t.Errorf("%.60s: the log tells %+v", test.body, all[before:])
		}
	}
	if status, _ := post(t, c.Client(), "http://x/zones/"+ZoneID+"/purge_cache", "Bearer x", `{"purge_everything":true}`); status != 401 {
		t.Errorf("a wrong token: %d", status)
	}
	if status, _ := post(t, c.Client(), "http://x/zones/other/purge_cache", "Bearer secret-token", `{"purge_everything":true}`); status != 404 {
		t.Errorf("another zone: %d", status)
	}
}

func TestCloudFrontRefuses(t *testing.T) {
	c := NewCloudFront()
	const signed = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/cloudfront/aws4_request"
	send := func(reference string, quantity int, paths ...string) (int, string) {
		return post(t, c.Client(), "http://x/2020-05-31/distribution/E2EXAMPLE1ABCD/invalidation", signed,
			fmt.Sprintf(`<InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><CallerReference>%s</CallerReference><Paths><Items><Path>%s</Path></Items><Quantity>%d</Quantity></Paths></InvalidationBatch>`,
				reference, strings.Join(paths, "</Path><Path>"), quantity))
	}
	many := strings.Split(repeated(3001, "/a"), ",")
	for n, test := range []struct {
		quantity int
		paths    []string
		want     string
	}{
		{1, []string{"/a"}, ""},
		{2, []string{"/a*", "#tag"}, ""},
		{3000, many[1:], ""},
		{3001, many, "BatchTooLarge"},
		{2, []string{"/a"}, "InconsistentQuantities"},
		{1, []string{"a"}, "InvalidArgument"},
		{1, []string{"/~a"}, "InvalidArgument"},
		{1, []string{"/a b"}, "InvalidArgument"},
		{1, []string{"/ü"}, "InvalidArgument"},
		{1, []string{"#a,b"}, "InvalidArgument"},
		{1, []string{"#"}, "InvalidArgument"},
		{1, []string{"/" + strings.Repeat("a", 4000)}, "InvalidArgument"},
	} {
		status, text := send(fmt.Sprint("r", n), test.quantity, test.paths...)
		if (status == 201) != (test.want == "") || !strings.Contains(text, test.want) {
			t.Errorf("%.40q: %d %.300s, want %s", test.paths, status, text, test.want)
		}
	}
	paid := c.Paid
	if status, text := send("r0", 1, "/a"); status != 201 || c.Paid != paid || !strings.Contains(text, "I0000000000001") {
		t.Errorf("a repeat: %d, paid %d after %d", status, c.Paid, paid)
	}
	if _, text := send("r0", 1, "/b"); !strings.Contains(text, "InvalidationBatchAlreadyExists") {
		t.Errorf("a reference for another batch: %s", text)
	}
	if status, _ := send(strings.Repeat("r", 129), 1, "/a"); status != 400 {
		t.Errorf("a long reference: %d", status)
	}
	c.Limit(0.001, 1, 0, 0, 0, 0)
	send("one", 1, "/a")
	if _, text := send("two", 1, "/a"); !strings.Contains(text, "Throttling") {
		t.Errorf("two calls at once: %s", text)
	}
	c.Limit(0, 0, 0, 0, 0, 0)
	c.InProgress, c.CompletesIn = true, 1<<40
	if _, text := send("more", 3000, many[1:]...); !strings.Contains(text, "TooManyInvalidationsInProgress") {
		t.Errorf("3,000 in progress and 3,000 more: %.300s", text)
	}
	if status, _ := post(t, c.Client(), "http://x/2020-05-31/distribution/E2EXAMPLE1ABCD/invalidation", "", ""); status != 403 {
		t.Errorf("unsigned: %d", status)
	}
}
