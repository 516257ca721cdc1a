package awscloud

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// EC2's codes for what is not there.
const noSnapshot = "InvalidSnapshot.NotFound"

// underTest is what a set says while it is.
const underTest = "VALIDATING"

// Stored reads every page. Its time is the end of the second that the first
// answer is dated by: what is listed in it was not taken after that.
func (p *Provider) Stored(ctx context.Context, policy string) (cloud.Stock, error) {
	by := []types.Filter{filter("tag-key", cloud.TagRun)}
	if policy != "" {
		by = append(by, filter("tag:"+cloud.TagPolicy, literal(policy)))
	}
	pages := ec2.NewDescribeSnapshotsPaginator(p.ec2, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"}, Filters: by, MaxResults: aws.Int32(1000),
	})
	var stock cloud.Stock
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return cloud.Stock{}, translate(err, "list the snapshots of policy %q", policy)
		}
		if at, dated := awsmiddleware.GetServerTime(page.ResultMetadata); dated && stock.At.IsZero() {
			stock.At = at.Add(time.Second)
		}
		for _, s := range page.Snapshots {
			stock.Snapshots = append(stock.Snapshots, cloud.Stored{
				TaggedSnapshot: cloud.TaggedSnapshot{Snapshot: snapshot(s), Tags: tagMap(s.Tags), StartedAt: aws.ToTime(s.StartTime)},
				SizeGiB:        int64(aws.ToInt32(s.VolumeSize)),
				Archived:       s.StorageTier == types.StorageTierArchive,
				Key:            aws.ToString(s.KmsKeyId),
			})
		}
	}
	if stock.At.IsZero() {
		return cloud.Stock{}, fault.New(fault.Unavailable, "list the snapshots of policy %q: the answer has no date", policy)
	}
	return stock, nil
}

// Holds asks for locks and images of all of them by one call each, and for
// whom each is shared with by one a snapshot: EC2 knows no other way.
func (p *Provider) Holds(ctx context.Context, ids []string) (held []string, err error) {
	for some := range slices.Chunk(ids, maxFilterValues) {
		locks, err := p.locks(ctx, some)
		if err != nil {
			return nil, translate(err, "look for locks on %d snapshots", len(ids))
		}
		images, err := p.images(ctx, some)
		if err != nil {
			return nil, translate(err, "look for images of %d snapshots", len(ids))
		}
		held = slices.Concat(held, locks, images)
	}
	for _, id := range ids {
		out, err := p.ec2.DescribeSnapshotAttribute(ctx, &ec2.DescribeSnapshotAttributeInput{
			SnapshotId: aws.String(id), Attribute: types.SnapshotAttributeNameCreateVolumePermission,
		})
		switch {
		case hasCode(err, noSnapshot):
			continue
		case err != nil:
			return nil, translate(err, "look who %s is shared with", id)
		}
		for _, to := range out.CreateVolumePermissions {
			with := "everybody"
			if to.UserId != nil {
				with = *to.UserId
			}
			held = append(held, fmt.Sprintf("%s is shared with %s", id, with))
		}
	}
	return held, nil
}

// locks asks for each by itself if one of them is gone, for which the whole
// question fails.
func (p *Provider) locks(ctx context.Context, ids []string) (held []string, err error) {
	locks, err := p.locked(ctx, ids)
	switch {
	case hasCode(err, noSnapshot) && len(ids) == 1:
		return nil, nil
	case hasCode(err, noSnapshot):
		for _, id := range ids {
			one, err := p.locks(ctx, []string{id})
			if err != nil {
				return nil, err
			}
			held = append(held, one...)
		}
		return held, nil
	case err != nil:
		return nil, err
	}
	for _, s := range locks {
		if s.LockState == types.LockStateExpired {
			continue
		}
		until := ""
		if s.LockExpiresOn != nil {
			until = " until " + s.LockExpiresOn.UTC().Format(time.DateOnly)
		}
		held = append(held, fmt.Sprintf("%s is locked%s", aws.ToString(s.SnapshotId), until))
	}
	return held, nil
}

func (p *Provider) locked(ctx context.Context, ids []string) (all []types.LockedSnapshotsInfo, err error) {
	for in := (&ec2.DescribeLockedSnapshotsInput{SnapshotIds: ids}); ; {
		page, err := p.ec2.DescribeLockedSnapshots(ctx, in)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Snapshots...)
		if in.NextToken = page.NextToken; aws.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
}

// UnderTest asks for them by what a test says on each.
func (p *Provider) UnderTest(ctx context.Context, ids []string) (by string, err error) {
	for some := range slices.Chunk(ids, maxFilterValues) {
		found, err := p.describe(ctx, filter("snapshot-id", some...), filter("tag:"+cloud.TagTest, underTest))
		if err != nil {
			return "", translate(err, "look for tests of %d snapshots", len(ids))
		}
		for _, s := range found {
			by = cmp.Or(by, tagMap(s.Tags)[cloud.TagTestRun], underTest)
		}
	}
	return by, nil
}

// images finds those that are made of a snapshot, disabled ones too.
func (p *Provider) images(ctx context.Context, ids []string) (held []string, err error) {
	pages := ec2.NewDescribeImagesPaginator(p.ec2, &ec2.DescribeImagesInput{
		Owners: []string{"self"}, Filters: []types.Filter{filter("block-device-mapping.snapshot-id", ids...)},
		IncludeDisabled: aws.Bool(true), MaxResults: aws.Int32(1000),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, image := range page.Images {
			held = append(held, "used by the image "+aws.ToString(image.ImageId))
		}
	}
	return held, nil
}

// DeleteSnapshot takes an answer that there is none as done: it may be the
// second attempt of a call whose reply was lost.
func (p *Provider) DeleteSnapshot(ctx context.Context, id string) error {
	_, err := p.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
	if err == nil || hasCode(err, noSnapshot) {
		return nil
	}
	return translate(err, "delete %s", id)
}
