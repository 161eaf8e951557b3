// Package varnish purges servers that run Varnish, over HTTP: a URL by PURGE,
// tags by the xkey module, all else by BAN. What a server understands is its
// VCL's to say; this package speaks to one that has what VCL shows. It knows
// nothing of varnishadm.
package varnish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/cachectl/cachectl/purge"
)

// VCL is what a server's own VCL has to have: PURGE of a URL and of the tags in
// xkey-purge or xkey-softpurge, and BAN of the objects whose host and URL fit
// the regular expressions in X-Ban-Host and X-Ban-Url. Bans are on the object,
// so that Varnish can work them off in the background. The acl is to be
// replaced by those who may purge.
const VCL = `
import std;
import xkey;

acl purgers {
	"127.0.0.1";
	"::1";
}

sub vcl_recv {
	if (req.method == "PURGE" || req.method == "BAN") {
		if (client.ip !~ purgers) {
			return (synth(403, "Forbidden"));
		}
	}
	if (req.method == "PURGE") {
		if (req.http.xkey-purge) {
			set req.http.x-count = xkey.purge(req.http.xkey-purge);
			return (synth(200, "Purged " + req.http.x-count));
		}
		if (req.http.xkey-softpurge) {
			set req.http.x-count = xkey.softpurge(req.http.xkey-softpurge);
			return (synth(200, "Softpurged " + req.http.x-count));
		}
		return (purge);
	}
	if (req.method == "BAN") {
		if (!std.ban("obj.http.x-host ~ " + req.http.x-ban-host + " && obj.http.x-url ~ " + req.http.x-ban-url)) {
			return (synth(400, std.ban_error()));
		}
		return (synth(200, "Banned"));
	}
}

sub vcl_backend_response {
	set beresp.http.x-host = bereq.http.host;
	set beresp.http.x-url = bereq.url;
}

sub vcl_deliver {
	unset resp.http.x-host;
	unset resp.http.x-url;
}
`

// tagsCall keeps the header of a call well below Varnish's limit for one
// (http_req_hdr_len, 8 kB) with tags of usual length.
const (
	tagsCall = 50
	maxTag   = 150
)

const vclHint = "the server's VCL has to know PURGE, BAN and xkey-purge, and its acl this machine"

// A server is a purge.Purger.
type server struct {
	base   *url.URL
	client *http.Client
	tags   purge.TagMethod
	batch  int
}

// Open takes URLs of servers: "http://10.0.0.5:6081". Nothing is sent.
func Open(_ context.Context, s purge.Settings) ([]purge.Purger, error) {
	switch s.Tags {
	case "":
		s.Tags = purge.XKeyPurge
	case purge.XKeyPurge, purge.XKeySoftPurge:
	default:
		return nil, fmt.Errorf("varnish: %w: no way %q to purge tags", purge.ErrSettings, s.Tags)
	}
	client := &http.Client{}
	if s.Client != nil {
		*client = *s.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var opened []purge.Purger
	for _, target := range s.Targets {
		base, err := url.Parse(target)
		if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || strings.Trim(base.Path, "/") != "" {
			return nil, &purge.HintError{Err: fmt.Errorf("varnish: %w: not the URL of a server", purge.ErrSettings), Hint: "http://10.0.0.5:6081"}
		}
		opened = append(opened, &server{base: base, client: client, tags: s.Tags, batch: s.BatchSize})
	}
	return opened, nil
}

func (s *server) Name() string { return "varnish:" + s.base.Host }

// Plan plans a request for each item, and one for 50 tags. Varnish has no
// limits and no prices.
func (s *server) Plan(items []purge.Item) (purge.Plan, error) {
	size := tagsCall
	if s.batch > 0 {
		size = min(size, s.batch)
	}
	planner := purge.Planner{
		Target:    s.Name(),
		Normalise: normalise,
		Class: func(i purge.Item) purge.Class {
			if i.Kind == purge.Tag {
				return purge.Class{Name: "tags", Size: size}
			}
			return purge.Class{Size: 1}
		},
		Draws: func([]purge.Item) []purge.Draw { return nil },
	}
	p := planner.Plan(items)
	p.Parallel = 8
	p.Cost.Assumes = []string{"a server of one's own takes nothing"}
	return p, nil
}

func normalise(i purge.Item) (purge.Item, *purge.Refusal) {
	refuse := func(why, instead string) (purge.Item, *purge.Refusal) {
		return i, &purge.Refusal{Why: why, Instead: instead}
	}
	bad := func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '"' }
	u, err := url.Parse(i.Value)
	switch {
	case len(i.Header) > 0 && i.Kind != purge.URL:
		return refuse("only a URL can have headers", "the same item without them")
	case i.Kind == purge.Everything:
		return purge.Item{Kind: purge.Everything}, nil
	case i.Value == "":
		return refuse("empty", "")
	case strings.ContainsFunc(i.Value, bad):
		return refuse("spaces, quotes and what is not ASCII have to be percent-encoded", "")
	case i.Kind == purge.URL && (err != nil || u.Host == "" || strings.Contains(i.Value, "*")):
		return refuse("a URL has a scheme and a host, and no wildcard", "a path or a prefix")
	case i.Kind == purge.URL:
		i.Value, _, _ = strings.Cut(i.Value, "#")
		i.Value = u.Scheme + "://" + strings.ToLower(u.Host) + i.Value[len(u.Scheme)+3+len(u.Host):]
	case i.Kind == purge.Path && !strings.HasPrefix(i.Value, "/"):
		return refuse("a path begins with /", "/"+i.Value)
	case i.Kind == purge.Path && strings.Contains(strings.TrimSuffix(i.Value, "*"), "*"):
		return refuse("* is a wildcard as the last character only", i.Value[:strings.IndexByte(i.Value, '*')+1])
	case i.Kind == purge.Path && i.Value == "/*":
		return purge.Item{Kind: purge.Everything}, nil
	case i.Kind == purge.Prefix && strings.Contains(i.Value, "://"):
		return refuse("a prefix has no scheme", i.Value[strings.Index(i.Value, "://")+3:])
	case i.Kind == purge.Host && strings.ContainsAny(i.Value, "/*"):
		return refuse("a host has no scheme, path or wildcard", "")
	case i.Kind == purge.Host:
		i.Value = strings.ToLower(i.Value)
	case i.Kind == purge.Tag && len(i.Value) > maxTag:
		return refuse(fmt.Sprintf("longer than %d characters", maxTag), "")
	}
	return i, nil
}

// Do sends one request. A purge has taken effect when it is answered.
func (s *server) Do(ctx context.Context, c purge.Call) ([]purge.Receipt, error) {
	if len(c.Items) == 0 || len(c.Items) > 1 && slices.ContainsFunc(c.Items, func(i purge.Item) bool { return i.Kind != purge.Tag }) {
		return nil, fmt.Errorf("varnish %s: a call holds one item, or tags", s.base.Host)
	}
	req, err := s.request(ctx, c.Items)
	if err != nil {
		return nil, fmt.Errorf("varnish %s: %w", s.base.Host, err)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, &purge.CallError{Fault: purge.Unavailable, Err: fmt.Errorf("varnish %s: %w", s.base.Host, errors.Unwrap(err))}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	said := fmt.Errorf("varnish %s: %s %s: HTTP %s", s.base.Host, req.Method, req.URL.Path, res.Status)
	switch {
	case err != nil:
		return nil, &purge.CallError{Fault: purge.Unavailable, Err: fmt.Errorf("varnish %s: %w", s.base.Host, err)}
	case res.StatusCode >= 500 && res.StatusCode != http.StatusNotImplemented:
		return nil, &purge.CallError{Fault: purge.Unavailable, Err: said}
	case res.StatusCode == http.StatusBadRequest:
		return nil, said
	case res.StatusCode != http.StatusOK:
		return nil, &purge.CallError{Fault: purge.Forbidden, Hint: vclHint, Err: fmt.Errorf("%w: %w", purge.ErrDenied, said)}
	case !did.MatchString(res.Status) && !did.Match(text):
		// Varnish hands methods that its VCL does not know to the origin, which may well answer 200.
		return nil, &purge.CallError{Fault: purge.Forbidden, Hint: vclHint, Err: fmt.Errorf("%w: %w: nothing says that it purged", purge.ErrDenied, said)}
	}
	return []purge.Receipt{{Target: s.Name(), ID: res.Header.Get("X-Varnish"), State: purge.Completed, Items: c.Items}}, nil
}

// did fits the words of an answer that did what was asked.
var did = regexp.MustCompile(`\b(Purged|Softpurged|Banned)\b`)

func (s *server) request(ctx context.Context, items []purge.Item) (*http.Request, error) {
	item, at := items[0], *s.base
	method, host, address := "BAN", ".", "."
	header := make(http.Header)
	switch item.Kind {
	case purge.Tag:
		method = "PURGE"
		keys := make([]string, len(items))
		for n, i := range items {
			keys[n] = i.Value
		}
		header.Set(string(s.tags), strings.Join(keys, " "))
	case purge.URL:
		u, err := url.Parse(item.Value)
		if err != nil {
			return nil, err
		}
		method, header = "PURGE", item.Header.Clone()
		at.Path, at.RawPath, at.RawQuery = u.Path, u.RawPath, u.RawQuery
		host = u.Host
	case purge.Host:
		host = onHost(item.Value)
	case purge.Path:
		prefix, wild := strings.CutSuffix(item.Value, "*")
		if address = "^" + regexp.QuoteMeta(prefix); !wild {
			address += "$"
		}
	case purge.Prefix:
		name, path, _ := strings.Cut(item.Value, "/")
		if name != "" {
			host = onHost(strings.ToLower(name))
		}
		address = "^" + regexp.QuoteMeta("/"+path)
	case purge.Everything:
	default:
		return nil, fmt.Errorf("no such kind of item: %q", item.Kind)
	}
	req, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
	if err != nil {
		return nil, err
	}
	if len(header) > 0 {
		req.Header = header
	}
	if item.Kind == purge.URL {
		req.Host = host
	}
	if method == "BAN" {
		req.Header.Set("X-Ban-Host", host)
		req.Header.Set("X-Ban-Url", address)
	}
	return req, nil
}

// onHost fits a host's name, with or without a port.
func onHost(name string) string { return "^" + regexp.QuoteMeta(name) + "(:[0-9]+)?$" }
