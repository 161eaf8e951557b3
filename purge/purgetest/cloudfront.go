package purgetest

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const cloudFrontAPI = "/2020-05-31/distribution"

// A Distribution is one that the service knows.
type Distribution struct {
	ID, Domain string
	Aliases    []string
	TagHeader  string // empty: it has no CacheTagConfig
}

// CloudFront plays Amazon CloudFront. Beyond what is set here it refuses: more
// than 3,000 items a batch, a Quantity that does not fit, paths with "~" or
// with characters that are to be encoded, unsigned requests, and one
// CallerReference for two batches.
type CloudFront struct {
	server
	Account       string
	Distributions []Distribution
	CompletesIn   time.Duration // from creation to Completed
	InProgress    bool          // the older quotas: 3,000 paths and 15 wildcards in progress, of a distribution
	Denied        []string      // operations that the credentials may not call: "ListDistributions"
	Paid          int           // items charged for

	calls, items, wildcards meter
	made                    []*invalidation
}

type invalidation struct {
	id, distribution, reference string
	created                     time.Time
	items                       []string
}

// NewCloudFront plays the service with the distribution "E2EXAMPLE1ABCD".
func NewCloudFront() *CloudFront {
	c := &CloudFront{Account: "123456789012", Distributions: []Distribution{
		{ID: "E2EXAMPLE1ABCD", Domain: "d111111abcdef8.cloudfront.net", Aliases: []string{"www.example.com", "*.img.example.com"}, TagHeader: "Cache-Tag"}}}
	c.handle, c.refuse = c.answer, c.error
	c.purge = func(r *http.Request) bool { return r.Method == http.MethodPost }
	c.read = func(r *http.Request, body []byte, entry *Request) {
		var b batch
		xml.Unmarshal(body, &b) // what is no batch is refused later
		rest := strings.TrimPrefix(r.URL.Path, cloudFrontAPI+"/")
		entry.Target, _, _ = strings.Cut(rest, "/")
		entry.Items, entry.Reference = append([]string{}, b.Paths.Items...), b.CallerReference
	}
	return c
}

// Limit makes the server enforce rates: calls, items and wildcards a second.
// More than a burst of them is refused as throttled. 0: no limit.
func (c *CloudFront) Limit(calls, callBurst, items, itemBurst, wildcards, wildcardBurst float64) {
	c.calls, c.items, c.wildcards = newMeter(calls, callBurst), newMeter(items, itemBurst), newMeter(wildcards, wildcardBurst)
}

func (c *CloudFront) error(w http.ResponseWriter, f Fault) {
	code := f.Code
	if code == "" {
		code = map[int]string{429: "Throttling", 500: "InternalFailure", 503: "ServiceUnavailable"}[f.Status]
	}
	c.fail(w, f.Status, code, "injected")
}

func (c *CloudFront) fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0"?><ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Error><Type>Sender</Type>`+
		`<Code>%s</Code><Message>%s</Message></Error><RequestId>af8b0f2e</RequestId></ErrorResponse>`, code, message)
}

func (c *CloudFront) answer(w http.ResponseWriter, r *http.Request, entry *Request) {
	auth := r.Header.Get("Authorization")
	if !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 ") || !strings.Contains(auth, "/us-east-1/cloudfront/aws4_request") {
		c.fail(w, 403, "MissingAuthenticationToken", "signed for us-east-1 and cloudfront, a request has to be")
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, cloudFrontAPI)
	part := strings.Split(strings.Trim(rest, "/"), "/")
	operation := ""
	switch {
	case !ok:
	case rest == "":
		operation = "ListDistributions"
	case len(part) == 2 && part[1] == "config":
		operation = "GetDistributionConfig"
	case len(part) == 2 && part[1] == "invalidation" && r.Method == http.MethodPost:
		operation = "CreateInvalidation"
	case len(part) == 2 && part[1] == "invalidation":
		operation = "ListInvalidations"
	case len(part) == 3 && part[1] == "invalidation":
		operation = "GetInvalidation"
	}
	at := slices.IndexFunc(c.Distributions, func(d Distribution) bool { return d.ID == part[0] })
	switch {
	case operation == "" || (r.Method != http.MethodGet) != (operation == "CreateInvalidation"):
		c.fail(w, 404, "NoSuchResource", "no such operation")
	case slices.Contains(c.Denied, operation):
		c.fail(w, 403, "AccessDenied", "not authorized to perform: cloudfront:"+operation)
	case operation == "ListDistributions":
		c.list(w, r)
	case at < 0:
		c.fail(w, 404, "NoSuchDistribution", "The specified distribution does not exist.")
	case operation == "GetDistributionConfig":
		c.config(w, c.Distributions[at])
	case operation == "CreateInvalidation":
		c.create(w, r, part[0], entry)
	case operation == "ListInvalidations":
		c.invalidations(w, r, part[0])
	default:
		c.get(w, part[0], part[2])
	}
}

// A batch is what CreateInvalidation sends.
type batch struct {
	XMLName         xml.Name `xml:"http://cloudfront.amazonaws.com/doc/2020-05-31/ InvalidationBatch"`
	CallerReference string
	Paths           struct {
		Quantity int
		Items    []string `xml:"Items>Path"`
	}
}

// ReadsBatch tells whether the server reads a body as a batch of n paths under
// a reference, whatever its Quantity says.
func ReadsBatch(body []byte, reference string, n int) bool {
	var b batch
	return xml.Unmarshal(body, &b) == nil && b.CallerReference == reference && len(b.Paths.Items) == n
}

func (c *CloudFront) create(w http.ResponseWriter, r *http.Request, id string, entry *Request) {
	text, _ := io.ReadAll(r.Body)
	var b batch
	if err := xml.Unmarshal(text, &b); err != nil {
		c.fail(w, 400, "MissingBody", "This operation requires a body.")
		return
	}
	if code, message := c.check(b); code != "" {
		status := 400
		if code == "BatchTooLarge" {
			status = 413
		}
		c.fail(w, status, code, message)
		return
	}
	for _, i := range c.made {
		if i.distribution == id && i.reference == b.CallerReference {
			if !slices.Equal(i.items, b.Paths.Items) {
				c.fail(w, 400, "InvalidationBatchAlreadyExists", "the caller reference was used before")
				return
			}
			c.show(w, 201, i)
			return
		}
	}
	if code := c.limit(id, b.Paths.Items); code != "" {
		c.fail(w, 400, code, "Processing your request will cause you to exceed a limit.")
		return
	}
	made := &invalidation{id: fmt.Sprintf("I%013d", len(c.made)+1), distribution: id, reference: b.CallerReference, created: time.Now(), items: b.Paths.Items}
	c.made = append(c.made, made)
	c.Paid += len(made.items)
	entry.Taken = true
	c.show(w, 201, made)
}

func (c *CloudFront) check(b batch) (code, message string) {
	items := b.Paths.Items
	switch {
	case b.Paths.Quantity != len(items):
		return "InconsistentQuantities", "The value of Quantity and the size of Items do not match."
	case len(items) == 0:
		return "InvalidArgument", "Your request contains no path."
	case b.CallerReference == "" || len(b.CallerReference) > 128:
		return "InvalidArgument", "CallerReference"
	case len(items) > 3000:
		return "BatchTooLarge", "Your request contains too many invalidation paths."
	}
	for _, i := range items {
		tag, isTag := strings.CutPrefix(i, "#")
		bad := strings.ContainsFunc(i, func(c rune) bool { return c <= ' ' || c > '~' })
		switch {
		case bad, !isTag && !strings.HasPrefix(i, "/"), !isTag && strings.ContainsAny(i, `~"<>^{|}[]\#`), len(i) > 4000,
			isTag && (tag == "" || len(tag) > 256 || strings.ContainsAny(tag, ",*")):
			return "InvalidArgument", "Your request contains one or more invalid invalidation paths."
		}
	}
	return "", ""
}

func (c *CloudFront) limit(id string, items []string) (code string) {
	stars := countStars(items)
	if c.InProgress {
		open, openStars := 0, 0
		for _, i := range c.made {
			if i.distribution == id && !c.complete(i) {
				n := countStars(i.items)
				open, openStars = open+len(i.items)-n, openStars+n
			}
		}
		if open+len(items)-stars > 3000 || openStars+stars > 15 {
			return "TooManyInvalidationsInProgress"
		}
	}
	if !c.calls.take(1) || !c.items.take(float64(len(items))) || !c.wildcards.take(float64(stars)) {
		return "Throttling"
	}
	return ""
}

func countStars(items []string) (n int) {
	for _, i := range items {
		if strings.HasSuffix(i, "*") {
			n++
		}
	}
	return n
}

func (c *CloudFront) complete(i *invalidation) bool { return time.Since(i.created) >= c.CompletesIn }

type xmlInvalidation struct {
	XMLName           xml.Name `xml:"http://cloudfront.amazonaws.com/doc/2020-05-31/ Invalidation"`
	ID                string   `xml:"Id"`
	Status            string
	CreateTime        string
	InvalidationBatch batch
}

func (c *CloudFront) status(i *invalidation) string {
	if c.complete(i) {
		return "Completed"
	}
	return "InProgress"
}

func (c *CloudFront) show(w http.ResponseWriter, status int, i *invalidation) {
	x := xmlInvalidation{ID: i.id, Status: c.status(i), CreateTime: i.created.UTC().Format("2006-01-02T15:04:05.000Z")}
	x.InvalidationBatch.CallerReference = i.reference
	x.InvalidationBatch.Paths.Quantity, x.InvalidationBatch.Paths.Items = len(i.items), i.items
	send(w, status, x)
}

func send(w http.ResponseWriter, status int, v any) {
	text, err := xml.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	w.Write(text)
}

func (c *CloudFront) get(w http.ResponseWriter, distribution, id string) {
	for _, i := range c.made {
		if i.id == id && i.distribution == distribution {
			c.show(w, 200, i)
			return
		}
	}
	c.fail(w, 404, "NoSuchInvalidation", "The specified invalidation does not exist.")
}

// page cuts n things by Marker and MaxItems; 2 a page where none is asked for.
func page(r *http.Request, n int) (from, to int, next string) {
	from, _ = strconv.Atoi(r.URL.Query().Get("Marker"))
	size, err := strconv.Atoi(r.URL.Query().Get("MaxItems"))
	if err != nil {
		size = 2
	}
	if to = min(n, from+size); to < n {
		next = "<NextMarker>" + strconv.Itoa(to) + "</NextMarker>"
	}
	return from, to, next
}

func (c *CloudFront) invalidations(w http.ResponseWriter, r *http.Request, distribution string) {
	var mine []*invalidation
	for _, i := range slices.Backward(c.made) {
		if i.distribution == distribution {
			mine = append(mine, i)
		}
	}
	from, to, next := page(r, len(mine))
	fmt.Fprintf(w, `<InvalidationList xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Marker></Marker>%s<MaxItems>2</MaxItems>`+
		`<IsTruncated>%v</IsTruncated><Quantity>%d</Quantity><Items>`, next, next != "", to-from)
	for _, i := range mine[from:to] {
		fmt.Fprintf(w, "<InvalidationSummary><Id>%s</Id><CreateTime>%s</CreateTime><Status>%s</Status></InvalidationSummary>",
			i.id, i.created.UTC().Format("2006-01-02T15:04:05.000Z"), c.status(i))
	}
	fmt.Fprint(w, "</Items></InvalidationList>")
}

func (c *CloudFront) list(w http.ResponseWriter, r *http.Request) {
	from, to, next := page(r, len(c.Distributions))
	fmt.Fprintf(w, `<DistributionList xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Marker></Marker>%s<MaxItems>2</MaxItems>`+
		`<IsTruncated>%v</IsTruncated><Quantity>%d</Quantity><Items>`, next, next != "", to-from)
	for _, d := range c.Distributions[from:to] {
		fmt.Fprintf(w, "<DistributionSummary><Id>%s</Id><ARN>arn:aws:cloudfront::%s:distribution/%s</ARN><DomainName>%s</DomainName><Aliases><Quantity>%d</Quantity><Items>",
			d.ID, c.Account, d.ID, d.Domain, len(d.Aliases))
		for _, a := range d.Aliases {
			fmt.Fprintf(w, "<CNAME>%s</CNAME>", a)
		}
		fmt.Fprint(w, "</Items></Aliases></DistributionSummary>")
	}
	fmt.Fprint(w, "</Items></DistributionList>")
}

func (c *CloudFront) config(w http.ResponseWriter, d Distribution) {
	tags := ""
	if d.TagHeader != "" {
		tags = "<CacheTagConfig><HeaderName>" + d.TagHeader + "</HeaderName></CacheTagConfig>"
	}
	fmt.Fprintf(w, `<DistributionConfig xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><CallerReference>x</CallerReference>%s</DistributionConfig>`, tags)
}
