// Package cloudfront purges distributions of Amazon CloudFront: by path, by
// wildcard, by tag, or everything. An invalidation is accepted at once and
// complete seconds to minutes later; Wait tells when. It reads no flags; what
// the AWS SDK itself finds (environment, shared configuration, roles of
// machines) it uses. Distribution tenants and the China regions are not known
// to it.
package cloudfront

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront/types"

	"github.com/cachectl/cachectl/purge"
)

// Whether a distribution reads cache tags.
type tagging int

const (
	tagsUnknown tagging = iota
	tagsOff
	tagsOn
)

// A distribution is a purge.Purger, Waiter, Statuser and Lister.
type distribution struct {
	api     *cloudfront.Client
	id      string
	account string // whose limits it shares: its number where it is known, else the profile's name
	tags    tagging
	batch   int
	poll    time.Duration
}

func (d *distribution) Name() string { return "cloudfront:" + d.id }

// once turns the SDK's own retries off: Run knows more about when to try again.
func once(o *cloudfront.Options) { o.Retryer = aws.NopRetryer{} }

// Do creates an invalidation. Its CallerReference is the call's Reference:
// sent again, the same call returns the earlier invalidation and costs nothing.
func (d *distribution) Do(ctx context.Context, c purge.Call) ([]purge.Receipt, error) {
	items := make([]string, len(c.Items))
	for n, i := range c.Items {
		items[n] = wire(i)
	}
	reference := c.Reference
	if reference == "" {
		reference = purge.Reference(purge.NewKey(), c)
	}
	out, err := d.api.CreateInvalidation(ctx, &cloudfront.CreateInvalidationInput{
		DistributionId: &d.id,
		InvalidationBatch: &types.InvalidationBatch{
			CallerReference: &reference,
			Paths:           &types.Paths{Quantity: aws.Int32(int32(len(items))), Items: items},
		},
	}, once)
	if err != nil {
		return nil, d.fault(err)
	}
	if out.Invalidation == nil || aws.ToString(out.Invalidation.Id) == "" {
		return nil, &purge.CallError{Fault: purge.Unavailable, Err: errors.New("cloudfront " + d.id + ": the answer names no invalidation")}
	}
	r := d.receipt(out.Invalidation)
	r.Items = c.Items
	return []purge.Receipt{r}, nil
}

func (d *distribution) receipt(i *types.Invalidation) purge.Receipt {
	r := purge.Receipt{Target: d.Name(), ID: aws.ToString(i.Id), State: state(i.Status), At: aws.ToTime(i.CreateTime)}
	if b := i.InvalidationBatch; b != nil && b.Paths != nil {
		for _, s := range b.Paths.Items {
			r.Items = append(r.Items, unwire(s))
		}
	}
	return r
}

func state(status *string) purge.State {
	if aws.ToString(status) == "Completed" {
		return purge.Completed
	}
	return purge.InProgress
}

// Status tells how far an invalidation is.
func (d *distribution) Status(ctx context.Context, id string) (purge.Receipt, error) {
	out, err := d.api.GetInvalidation(ctx, &cloudfront.GetInvalidationInput{DistributionId: &d.id, Id: &id})
	if err != nil {
		return purge.Receipt{}, fmt.Errorf("status of %s: %w", id, d.fault(err))
	}
	if out.Invalidation == nil {
		return purge.Receipt{}, fmt.Errorf("status of %s: the answer names no invalidation", id)
	}
	return d.receipt(out.Invalidation), nil
}

// defaultPoll: tags complete within 25 seconds mostly; the SDK's own waiter
// would look after 20 seconds for the first time, and then ever more rarely.
const defaultPoll = 3 * time.Second

// Wait asks for the status until it is Completed. Trouble that may pass does
// not end it.
func (d *distribution) Wait(ctx context.Context, r purge.Receipt) error {
	every := d.poll
	if every <= 0 {
		every = defaultPoll
	}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		now, err := d.Status(ctx, r.ID)
		if err == nil && now.State == purge.Completed {
			return nil
		}
		if err != nil && !passes(err) && ctx.Err() == nil {
			return err
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", r.ID, ctx.Err())
		}
	}
}

// List brings the invalidations of the distribution, without their items.
func (d *distribution) List(ctx context.Context) iter.Seq2[purge.Receipt, error] {
	return func(yield func(purge.Receipt, error) bool) {
		pages := cloudfront.NewListInvalidationsPaginator(d.api, &cloudfront.ListInvalidationsInput{DistributionId: &d.id})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(purge.Receipt{}, fmt.Errorf("list invalidations: %w", d.fault(err)))
				return
			}
			if page.InvalidationList == nil {
				return
			}
			for _, s := range page.InvalidationList.Items {
				r := purge.Receipt{Target: d.Name(), ID: aws.ToString(s.Id), State: state(s.Status), At: aws.ToTime(s.CreateTime)}
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}
