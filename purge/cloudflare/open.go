package cloudflare

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudflare/cloudflare-go/v7/cache"
	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/cloudflare/cloudflare-go/v7/zones"

	"github.com/cachectl/cachectl/purge"
)

const production = "https://api.cloudflare.com/client/v4/"

var zoneID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Open finds the zones that s.Targets name, by ID or by name; the name of a
// host finds the zone that it is in. An ID is not looked up.
func Open(ctx context.Context, s purge.Settings) ([]purge.Purger, error) {
	token := strings.TrimSpace(s.Token)
	if token == "" || strings.ContainsAny(token, " \r\n\t") {
		return nil, &purge.HintError{Err: fmt.Errorf("cloudflare: %w: no API token", purge.ErrAuth), Hint: tokenHint}
	}
	warm()
	base := s.Endpoint
	if base == "" {
		base = production
	}
	options := []option.RequestOption{option.WithBaseURL(base), option.WithAPIToken(token)}
	if s.Client != nil {
		options = append(options, option.WithHTTPClient(s.Client))
	}
	f := finder{api: zones.NewZoneService(options...), found: make(map[string]*zones.Zone)}
	var found []*zone
	account := ""
	for _, target := range s.Targets {
		z := &zone{id: target}
		if !zoneID.MatchString(target) {
			known, err := f.zoneOf(ctx, target)
			if err != nil {
				return nil, err
			}
			z.id, z.name, z.account = known.ID, strings.ToLower(known.Name), known.Account.ID
			//lint:ignore SA1019 it is deprecated to be set; to be read, there is nothing else within the token's permission
			z.tier, _ = tierOf(known.Plan.LegacyID)
			account = z.account
		}
		found = append(found, z)
	}
	if account == "" {
		account = "token"
	}
	var opened []purge.Purger
	for _, z := range found {
		if z.account == "" { // a token is mostly for one account; to share too much only makes it slower
			z.account = account
		}
		if err := z.choose(s.Plan); err != nil {
			return nil, err
		}
		z.api, z.environment, z.batch = cache.NewCacheService(options...), s.Environment, s.BatchSize
		opened = append(opened, z)
	}
	return opened, nil
}

// choose sets the limits: of the named plan, else of the zone's own, else the
// lowest.
func (z *zone) choose(plan string) error {
	if plan == "" {
		z.guessed = true
		if z.tier.name == "" {
			z.tier = tiers[0]
		}
		return nil
	}
	t, ok := tierOf(plan)
	if !ok {
		var names []string
		for _, t := range tiers {
			names = append(names, t.name)
		}
		return &purge.HintError{Err: fmt.Errorf("cloudflare: %w: no plan %q", purge.ErrSettings, plan), Hint: "one of " + strings.Join(names, ", ")}
	}
	z.tier = t
	return nil
}

func tierOf(plan string) (tier, bool) {
	at := slices.IndexFunc(tiers, func(t tier) bool { return strings.EqualFold(t.name, plan) })
	if at < 0 {
		return tier{}, false
	}
	return tiers[at], true
}

// A finder looks zones up, each name once.
type finder struct {
	api   *zones.ZoneService
	found map[string]*zones.Zone // nil: there is none
}

// zoneOf walks up the labels of a name: www.example.co.uk, example.co.uk, co.uk.
func (f *finder) zoneOf(ctx context.Context, name string) (*zones.Zone, error) {
	host := strings.ToLower(strings.TrimSuffix(name, "."))
	if strings.ContainsAny(host, "/: ") || !strings.Contains(host, ".") {
		return nil, &purge.HintError{Err: fmt.Errorf("cloudflare: %w: %q is no zone", purge.ErrSettings, name), Hint: "an ID of 32 hexadecimal digits, or a name: example.com"}
	}
	for at := host; strings.Contains(at, "."); _, at, _ = strings.Cut(at, ".") {
		z, err := f.named(ctx, at)
		if z != nil || err != nil {
			return z, err
		}
	}
	return nil, &purge.HintError{Err: fmt.Errorf("cloudflare: %w: no zone %s", purge.ErrUnknown, name), Hint: tokenHint + "; a zone's ID works without a look-up"}
}

func (f *finder) named(ctx context.Context, name string) (*zones.Zone, error) {
	if z, known := f.found[name]; known {
		return z, nil
	}
	var query zones.ZoneListParams
	query.Name.Value, query.Name.Present = name, true
	var res *http.Response
	page, err := f.api.List(ctx, query, option.WithResponseInto(&res))
	if err != nil {
		z := zone{id: "zones", account: "token"}
		return nil, fmt.Errorf("find zone %s: %w", name, z.fault(err, res, 1, nil))
	}
	switch len(page.Result) {
	case 0:
		f.found[name] = nil
	case 1:
		f.found[name] = &page.Result[0]
	default:
		var ids []string
		for _, z := range page.Result {
			ids = append(ids, z.ID+" of "+z.Account.Name)
		}
		return nil, &purge.HintError{Err: fmt.Errorf("cloudflare: %w: %d accounts have a zone %s", purge.ErrSettings, len(ids), name),
			Hint: "name it by its ID: " + strings.Join(ids, ", ")}
	}
	return f.found[name], nil
}
