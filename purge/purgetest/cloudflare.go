package purgetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Zone is one that the service knows.
type Zone struct {
	ID, Name             string
	Account, AccountName string
	Plan                 string
}

// Cloudflare plays the API of Cloudflare. Beyond what is set here it refuses:
// more than 100 items a call (500 URLs on enterprise), URLs without scheme and
// host, with a wildcard or of another zone, prefixes with scheme, query,
// fragment or too many separators, hosts that are none, tags with spaces,
// bodies with unknown fields or none, and other tokens than Token.
type Cloudflare struct {
	server
	Token        string
	Zones        []Zone
	Environments []string // refs, of every zone
	MaxURLs      int      // a call; 0: as documented
	TellRates    bool     // Ratelimit headers, for calls of any kind
	Window       time.Duration
	Quota        int // calls a Window, with TellRates

	urls, flex, calls meter
	ids               int
}

// ZoneID is the ID of the zone that NewCloudflare has.
const ZoneID = "023e105f4ecef8ad9ca31a8372d0c353"

// NewCloudflare plays the service with the zone "example.com" of plan pro.
func NewCloudflare() *Cloudflare {
	c := &Cloudflare{Token: "secret-token", Zones: []Zone{{ZoneID, "example.com", "01a7362d577a6c3019a474fd6f485823", "Shop", "pro"}}}
	c.handle, c.refuse = c.answer, func(w http.ResponseWriter, f Fault) { c.fail(w, f.Status, 10013, "injected") }
	c.purge = func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/purge_cache") }
	c.read = func(r *http.Request, body []byte, entry *Request) {
		var b purgeBody
		json.Unmarshal(body, &b) // what is no body is refused later
		entry.Target = strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/zones/"), "/purge_cache")
		entry.Items, entry.Headers = b.items()
	}
	return c
}

// Limit makes the server enforce the rates of a plan: URLs and other calls a second.
func (c *Cloudflare) Limit(urls, urlBurst, flex, flexBurst float64) {
	c.urls, c.flex = newMeter(urls, urlBurst), newMeter(flex, flexBurst)
}

// LimitCalls makes the server allow n calls of any kind a window, and tell so.
func (c *Cloudflare) LimitCalls(n int, window time.Duration) {
	c.Quota, c.Window, c.TellRates = n, window, true
	c.calls = newMeter(float64(n)/window.Seconds(), float64(n))
}

func (c *Cloudflare) fail(w http.ResponseWriter, status, code int, message string) {
	reply(w, status, map[string]any{"success": false, "errors": []any{map[string]any{"code": code, "message": message}}, "messages": []any{}, "result": nil})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (c *Cloudflare) answer(w http.ResponseWriter, r *http.Request, entry *Request) {
	if r.Header.Get("Authorization") != "Bearer "+c.Token {
		c.fail(w, 401, 10000, "Authentication error")
		return
	}
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case part[0] != "zones":
		c.fail(w, 404, 7000, "No route for that URI")
	case len(part) == 1 && r.Method == http.MethodGet:
		c.list(w, r.URL.Query().Get("name"))
	case len(part) == 3 && part[2] == "purge_cache" && r.Method == http.MethodPost,
		len(part) == 5 && part[2] == "environments" && slices.Contains(c.Environments, part[3]) && r.Method == http.MethodPost:
		at := slices.IndexFunc(c.Zones, func(z Zone) bool { return z.ID == part[1] })
		if at < 0 {
			c.fail(w, 404, 7003, "Could not route to /zones/"+part[1]+", perhaps your object identifier is invalid?")
			return
		}
		c.purgeZone(w, r, c.Zones[at], entry)
	default:
		c.fail(w, 404, 7000, "No route for that URI")
	}
}

func (c *Cloudflare) list(w http.ResponseWriter, name string) {
	result := []any{}
	for _, z := range c.Zones {
		if z.Name == name {
			result = append(result, map[string]any{"id": z.ID, "name": z.Name, "account": map[string]any{"id": z.Account, "name": z.AccountName}, "plan": map[string]any{"legacy_id": z.Plan}})
		}
	}
	reply(w, 200, map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": result,
		"result_info": map[string]any{"page": 1, "per_page": 20, "total_pages": 1, "count": len(result), "total_count": len(result)}})
}

type purgeBody struct {
	Everything *bool             `json:"purge_everything"`
	Files      []json.RawMessage `json:"files"`
	Tags       []string          `json:"tags"`
	Hosts      []string          `json:"hosts"`
	Prefixes   []string          `json:"prefixes"`
}

type keyedFile struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

// items are those of the body, and the headers of those that have some.
func (b *purgeBody) items() (items []string, headers []http.Header) {
	items = []string{}
	for _, raw := range b.Files {
		var file keyedFile
		if json.Unmarshal(raw, &file.URL) != nil && json.Unmarshal(raw, &file) != nil {
			file.URL = "?"
		}
		items = append(items, file.URL)
		if len(file.Headers) > 0 {
			h := make(http.Header)
			for name, value := range file.Headers {
				h.Set(name, value)
			}
			headers = append(headers, h)
		}
	}
	items = append(append(append(items, b.Tags...), b.Hosts...), b.Prefixes...)
	if b.Everything != nil && *b.Everything {
		items = append(items, "everything")
	}
	return items, headers
}

func (c *Cloudflare) purgeZone(w http.ResponseWriter, r *http.Request, z Zone, entry *Request) {
	text, _ := io.ReadAll(r.Body)
	var b purgeBody
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		c.fail(w, 400, 1001, "Invalid JSON: "+err.Error())
		return
	}
	if code, message := c.check(b, z); code != 0 {
		c.fail(w, 400, code, message)
		return
	}
	may := c.calls.take(1)
	if c.TellRates {
		wait := 0
		if c.calls.tokens < 1 {
			wait = int((1-c.calls.tokens)/c.calls.rate) + 1
		}
		w.Header().Set("Ratelimit", fmt.Sprintf(`"default";r=%d;t=%d`, int(c.calls.tokens), wait))
		w.Header().Set("Ratelimit-Policy", fmt.Sprintf(`"default";q=%d;w=%d`, c.Quota, int(c.Window.Seconds())))
		if !may {
			w.Header().Set("Retry-After", fmt.Sprint(wait))
		}
	}
	flex := len(b.Tags)+len(b.Hosts)+len(b.Prefixes) > 0 || b.Everything != nil
	if !may || !c.urls.take(float64(len(b.Files))) || flex && !c.flex.take(1) {
		c.fail(w, 429, 971, "Please wait and consider throttling your request speed")
		return
	}
	c.ids++
	entry.Taken = true
	reply(w, 200, map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": map[string]any{"id": fmt.Sprintf("%032x", c.ids)}})
}

func (c *Cloudflare) check(b purgeBody, z Zone) (code int, message string) {
	most := c.MaxURLs
	if most == 0 {
		most = 100
		if z.Plan == "enterprise" {
			most = 500
		}
	}
	items, _ := b.items()
	switch {
	case len(items) == 0:
		return 1012, "Request must contain one of \"purge_everything\", \"files\", \"tags\", \"hosts\" or \"prefixes\""
	case len(b.Files) > most:
		return 1094, fmt.Sprintf("Unable to purge, maximum of %d files exceeded", most)
	case len(b.Tags) > 100 || len(b.Hosts) > 100 || len(b.Prefixes) > 100:
		return 1094, "Unable to purge, maximum of 100 exceeded"
	}
	for _, f := range items[:len(b.Files)] {
		if !validURL(f, z.Name) {
			return 1016, "Unable to purge " + f + ", which is an invalid URL."
		}
	}
	for _, t := range b.Tags {
		if t == "" || len(t) > 1024 || strings.ContainsFunc(t, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return 1101, "invalid tag"
		}
	}
	for _, h := range b.Hosts {
		if !inZone(h, z.Name) {
			return 1102, "invalid host " + h
		}
	}
	for _, p := range b.Prefixes {
		host, _, _ := strings.Cut(p, "/")
		if !inZone(host, z.Name) || strings.ContainsAny(p, "?#* ") || strings.Count(p, "/") > 31 {
			return 1103, "invalid prefix " + p
		}
	}
	return 0, ""
}

func validURL(raw, zone string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && inZone(u.Hostname(), zone) &&
		!strings.Contains(u.Path, "*") && u.Fragment == "" && !strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c > '~' })
}

func inZone(host, zone string) bool {
	return host == strings.ToLower(host) && !strings.ContainsAny(host, "*/: ") && (host == zone || strings.HasSuffix(host, "."+zone))
}
