// Package cloudflare purges zones of Cloudflare: by URL (with the headers of a
// custom cache key), tag, prefix, host, or everything. A purge takes effect
// within moments and has no status that could be asked for: a Receipt says
// Accepted, and no more. It reads no environment, flags or files; the token
// comes in Settings. Of cloudflare-go it uses the packages for caches and zones
// only: the root package takes minutes to compile.
package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cloudflare/cloudflare-go/v7/cache"
	"github.com/cloudflare/cloudflare-go/v7/option"

	"github.com/cachectl/cachectl/purge"
)

// A zone is a purge.Purger.
type zone struct {
	api         *cache.CacheService
	id          string
	name        string // empty where it was not looked up
	account     string // whose limits it shares; "token" where it was not looked up
	environment string
	tier        tier
	guessed     bool // nobody named the plan
	batch       int
}

func (z *zone) Name() string {
	if z.environment != "" {
		return "cloudflare:" + z.id + "/" + z.environment
	}
	return "cloudflare:" + z.id
}

// Do purges the items of a call, which are of one kind.
func (z *zone) Do(ctx context.Context, c purge.Call) ([]purge.Receipt, error) {
	fields, err := fieldsOf(c.Items)
	if err != nil {
		return nil, fmt.Errorf("cloudflare %s: %w", z.label(), err)
	}
	var res *http.Response
	options := []option.RequestOption{option.WithMaxRetries(0), option.WithResponseInto(&res)}
	id := ""
	if z.environment == "" {
		p := cache.CachePurgeParams{Body: fields.zone()}
		p.ZoneID.Value, p.ZoneID.Present = z.id, true
		var got *cache.CachePurgeResponse
		if got, err = z.api.Purge(ctx, p, options...); err == nil {
			id = got.ID
		}
	} else {
		p := cache.CachePurgeEnvironmentParams{Body: fields.environment()}
		p.ZoneID.Value, p.ZoneID.Present = z.id, true
		var got *cache.CachePurgeEnvironmentResponse
		if got, err = z.api.PurgeEnvironment(ctx, z.environment, p, options...); err == nil {
			id = got.ID
		}
	}
	budgets := z.budgets(res)
	switch {
	case err != nil:
		return nil, z.fault(err, res, len(c.Items), budgets)
	case id == "":
		return nil, &purge.CallError{Fault: purge.Unavailable, Budgets: budgets, Err: fmt.Errorf("cloudflare %s: the answer has no id", z.label())}
	}
	return []purge.Receipt{{Target: z.Name(), ID: id, State: purge.Accepted, Items: c.Items, Budgets: budgets}}, nil
}

// label is the zone for people.
func (z *zone) label() string {
	if z.name != "" {
		return z.name
	}
	return z.id
}

// fields is the body of a purge: one of them is set.
type fields struct {
	files, tags, hosts, prefixes []string
	keyed                        []keyed
	everything                   bool
}

// keyed is a URL with the headers of its cache key.
type keyed struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

func fieldsOf(items []purge.Item) (f fields, err error) {
	for _, i := range items {
		if i.Kind != items[0].Kind || (len(i.Header) > 0) != (len(items[0].Header) > 0) {
			return f, errors.New("a call holds items of one kind")
		}
		switch i.Kind {
		case purge.URL:
			if len(i.Header) == 0 {
				f.files = append(f.files, i.Value)
				continue
			}
			k := keyed{URL: i.Value, Headers: make(map[string]string)}
			for name, values := range i.Header {
				k.Headers[name] = strings.Join(values, ", ")
			}
			f.keyed = append(f.keyed, k)
		case purge.Tag:
			f.tags = append(f.tags, i.Value)
		case purge.Host:
			f.hosts = append(f.hosts, i.Value)
		case purge.Prefix:
			f.prefixes = append(f.prefixes, i.Value)
		case purge.Everything:
			f.everything = true
		default:
			return f, fmt.Errorf("no such kind of item: %q", i.Kind)
		}
	}
	if len(items) == 0 {
		err = errors.New("a call without items")
	}
	return f, err
}

func (f fields) zone() (b cache.CachePurgeParamsBody) {
	set(&b.Files.Value, &b.Files.Present, f.files)
	set(&b.Files.Value, &b.Files.Present, f.keyed)
	set(&b.Tags.Value, &b.Tags.Present, f.tags)
	set(&b.Hosts.Value, &b.Hosts.Present, f.hosts)
	set(&b.Prefixes.Value, &b.Prefixes.Present, f.prefixes)
	b.PurgeEverything.Value, b.PurgeEverything.Present = f.everything, f.everything
	return b
}

func (f fields) environment() (b cache.CachePurgeEnvironmentParamsBody) {
	set(&b.Files.Value, &b.Files.Present, f.files)
	set(&b.Files.Value, &b.Files.Present, f.keyed)
	set(&b.Tags.Value, &b.Tags.Present, f.tags)
	set(&b.Hosts.Value, &b.Hosts.Present, f.hosts)
	set(&b.Prefixes.Value, &b.Prefixes.Present, f.prefixes)
	b.PurgeEverything.Value, b.PurgeEverything.Present = f.everything, f.everything
	return b
}

// set fills a field of the SDK, whose own helper stands in its root package.
func set[T any](value *any, present *bool, list []T) {
	if len(list) > 0 {
		*value, *present = list, true
	}
}
