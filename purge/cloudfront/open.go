package cloudfront

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/cachectl/cachectl/purge"
)

var distributionID = regexp.MustCompile(`^E[0-9A-Z]{6,20}$`)

// Open finds the distributions that s.Targets name, by ID, alias or domain
// name. IDs alone need no permission but to invalidate; names are looked up by
// ListDistributions, and for tags each distribution's configuration is read.
func Open(ctx context.Context, s purge.Settings) ([]purge.Purger, error) {
	api, err := client(ctx, s)
	if err != nil {
		return nil, err
	}
	account := s.Profile + s.Role
	if account == "" {
		account = "default"
	}
	found, err := resolve(ctx, api, s.Targets, account)
	if err != nil {
		return nil, err
	}
	var opened []purge.Purger
	for _, d := range found {
		d.api, d.batch, d.poll = api, s.BatchSize, s.Poll
		if slices.Contains(s.Kinds, purge.Tag) {
			if err := d.readTagging(ctx); err != nil {
				return nil, err
			}
		}
		opened = append(opened, d)
	}
	return opened, nil
}

// client is made as the aws command makes its own: environment, profile, role,
// AWS_ENDPOINT_URL_CLOUDFRONT.
func client(ctx context.Context, s purge.Settings) (*cloudfront.Client, error) {
	options := []func(*config.LoadOptions) error{config.WithDefaultRegion("us-east-1"), config.WithLogger(logging.Nop{})}
	if s.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(s.Profile))
	}
	if s.Region != "" {
		options = append(options, config.WithRegion(s.Region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, &purge.HintError{Err: fmt.Errorf("cloudfront: %w: %w", purge.ErrSettings, err), Hint: credentialsHint}
	}
	if s.Role != "" {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), s.Role))
	}
	return cloudfront.NewFromConfig(cfg, func(o *cloudfront.Options) {
		if s.Endpoint != "" {
			o.BaseEndpoint = &s.Endpoint
		}
		if s.Client != nil {
			o.HTTPClient = s.Client
		}
	}), nil
}

// resolve finds the distributions, in the order of targets. All names together
// take one walk through the account's list.
func resolve(ctx context.Context, api *cloudfront.Client, targets []string, account string) ([]*distribution, error) {
	found := make([]*distribution, len(targets))
	names := 0
	for n, target := range targets {
		switch {
		case distributionID.MatchString(target):
			found[n] = &distribution{id: target, account: account}
		case strings.ContainsAny(target, "/: ") || !strings.Contains(target, "."):
			return nil, &purge.HintError{Err: fmt.Errorf("cloudfront: %w: %q is no distribution", purge.ErrSettings, target),
				Hint: "an ID (E2EXAMPLE1ABCD), an alias (www.example.com) or a domain name (d111111abcdef8.cloudfront.net)"}
		default:
			names++
		}
	}
	if names == 0 {
		return found, nil
	}
	all, err := summaries(ctx, api)
	if err != nil {
		return nil, err
	}
	for n, target := range targets {
		if found[n] != nil {
			continue
		}
		s, err := match(all, target)
		if err != nil {
			return nil, err
		}
		found[n] = &distribution{id: aws.ToString(s.Id), account: account}
	}
	// One account for all, those by ID included: the credentials are one account's.
	for _, s := range all {
		if a, err := arn.Parse(aws.ToString(s.ARN)); err == nil && a.AccountID != "" {
			for _, d := range found {
				d.account = a.AccountID
			}
			break
		}
	}
	return found, nil
}

func summaries(ctx context.Context, api *cloudfront.Client) ([]types.DistributionSummary, error) {
	var all []types.DistributionSummary
	pages := cloudfront.NewListDistributionsPaginator(api, &cloudfront.ListDistributionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			d := distribution{id: "distributions"}
			return nil, fmt.Errorf("list distributions: %w", d.fault(err))
		}
		if page.DistributionList == nil {
			break
		}
		all = append(all, page.DistributionList.Items...)
	}
	return all, nil
}

// match finds a distribution by its domain name or an alias, and by a wildcard
// alias where none fits exactly.
func match(all []types.DistributionSummary, name string) (types.DistributionSummary, error) {
	var near []types.DistributionSummary
	_, parent, _ := strings.Cut(name, ".")
	for _, s := range all {
		if strings.EqualFold(aws.ToString(s.DomainName), name) || hasAlias(s, name) {
			return s, nil
		}
		if hasAlias(s, "*."+parent) {
			near = append(near, s)
		}
	}
	if len(near) > 0 {
		return near[0], nil // an alias is of one distribution only
	}
	return types.DistributionSummary{}, &purge.HintError{
		Err:  fmt.Errorf("cloudfront: %w: no distribution of this account has the alias or domain name %s", purge.ErrUnknown, name),
		Hint: "check the account and the profile; a distribution's ID works without a look-up"}
}

func hasAlias(s types.DistributionSummary, name string) bool {
	return s.Aliases != nil && slices.ContainsFunc(s.Aliases.Items, func(a string) bool { return strings.EqualFold(a, name) })
}

// readTagging learns whether the distribution reads cache tags. The list of
// distributions does not tell.
func (d *distribution) readTagging(ctx context.Context) error {
	out, err := d.api.GetDistributionConfig(ctx, &cloudfront.GetDistributionConfigInput{Id: &d.id})
	if err != nil {
		return fmt.Errorf("read whether %s reads cache tags: %w", d.id, d.fault(err))
	}
	d.tags = tagsOff
	if c := out.DistributionConfig; c != nil && c.CacheTagConfig != nil && aws.ToString(c.CacheTagConfig.HeaderName) != "" {
		d.tags = tagsOn
	}
	return nil
}
