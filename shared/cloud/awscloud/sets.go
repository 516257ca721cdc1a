package awscloud

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// EC2's limits on one CreateSnapshots.
const (
	maxExcluded    = 40
	maxTags        = 50
	maxDescription = 255
)

// CreateSet makes one attempt: CreateSnapshots takes no client token, so that
// a retry after a lost reply would make a second set.
func (p *Provider) CreateSet(ctx context.Context, spec cloud.SetSpec) ([]run.Snapshot, error) {
	switch {
	case len(spec.Exclude) > maxExcluded:
		return nil, fault.New(fault.SnapshotRefused, "create the set of %s: EC2 leaves out at most %d data volumes, not %d", spec.InstanceID, maxExcluded, len(spec.Exclude))
	case len(spec.Tags) > maxTags:
		return nil, fault.New(fault.SnapshotRefused, "create the set of %s: a snapshot carries at most %d tags, not %d", spec.InstanceID, maxTags, len(spec.Tags))
	}
	var sent bool
	out, err := p.ec2.CreateSnapshots(ctx, &ec2.CreateSnapshotsInput{
		Description: aws.String(clip(spec.Description, maxDescription)),
		InstanceSpecification: &types.InstanceSpecification{
			InstanceId:           aws.String(spec.InstanceID),
			ExcludeBootVolume:    aws.Bool(spec.ExcludeBoot),
			ExcludeDataVolumeIds: spec.Exclude,
		},
		TagSpecifications: []types.TagSpecification{{
			ResourceType: types.ResourceTypeSnapshot,
			Tags:         tagList(spec.Tags),
		}},
	}, func(o *ec2.Options) {
		o.Retryer = aws.NopRetryer{}
		o.APIOptions = append(slices.Clip(o.APIOptions), noteSending(&sent))
	})
	if err != nil {
		return nil, refusedSet(err, sent, "create the set of %s", spec.InstanceID)
	}
	set := make([]run.Snapshot, len(out.Snapshots))
	for i, s := range out.Snapshots {
		set[i] = run.Snapshot{
			ID:       aws.ToString(s.SnapshotId),
			VolumeID: aws.ToString(s.VolumeId),
			State:    state(s.State),
			Progress: aws.ToString(s.Progress),
		}
	}
	return set, nil
}

// noteSending sets sent when the request is handed to the transport: before
// that, an error proves that nothing has left.
func noteSending(sent *bool) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("NoteSending",
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				*sent = true
				return next.HandleDeserialize(ctx, in)
			}), middleware.After)
	}
}

// FindSet asks by the run's tag among the account's own snapshots.
func (p *Provider) FindSet(ctx context.Context, runID string) ([]cloud.TaggedSnapshot, error) {
	found, err := p.describe(ctx, filter("tag:"+cloud.TagRun, runID))
	if err != nil {
		return nil, translate(err, "find the set of run %s", runID)
	}
	set := make([]cloud.TaggedSnapshot, len(found))
	for i, s := range found {
		set[i] = cloud.TaggedSnapshot{Snapshot: snapshot(s), Tags: tagMap(s.Tags), StartedAt: aws.ToTime(s.StartTime)}
	}
	return set, nil
}

// Snapshots answers in the order of ids.
func (p *Provider) Snapshots(ctx context.Context, ids []string) ([]run.Snapshot, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	out, err := p.ec2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: ids})
	if err != nil {
		return nil, translate(err, "look at %d snapshots", len(ids))
	}
	byID := make(map[string]types.Snapshot, len(out.Snapshots))
	for _, s := range out.Snapshots {
		byID[aws.ToString(s.SnapshotId)] = s
	}
	set := make([]run.Snapshot, len(ids))
	for i, id := range ids {
		s, ok := byID[id]
		if !ok {
			return nil, fault.New(fault.SnapshotFailed, "snapshot %s does not exist", id)
		}
		set[i] = snapshot(s)
	}
	return set, nil
}

// A filter takes at most this many values.
const maxFilterValues = 200

// Pending counts the account's own snapshots in progress.
func (p *Provider) Pending(ctx context.Context, volumeIDs []string) (map[string]int, error) {
	pending := map[string]int{}
	for ids := range slices.Chunk(volumeIDs, maxFilterValues) {
		found, err := p.describe(ctx, filter("volume-id", ids...), filter("status", string(types.SnapshotStatePending)))
		if err != nil {
			return nil, translate(err, "count the pending snapshots of %d volumes", len(volumeIDs))
		}
		for _, s := range found {
			pending[aws.ToString(s.VolumeId)]++
		}
	}
	return pending, nil
}

// TagSnapshots puts the tags on all of them by one call.
func (p *Provider) TagSnapshots(ctx context.Context, ids []string, tags map[string]string) error {
	if len(ids) == 0 || len(tags) == 0 {
		return nil
	}
	_, err := p.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: ids, Tags: tagList(tags)})
	return translate(err, "tag %d snapshots", len(ids))
}

// describe reads all pages: a page may be empty and not be the last, because
// EC2 filters after it has cut them.
func (p *Provider) describe(ctx context.Context, filters ...types.Filter) ([]types.Snapshot, error) {
	pages := ec2.NewDescribeSnapshotsPaginator(p.ec2, &ec2.DescribeSnapshotsInput{
		OwnerIds:   []string{"self"},
		Filters:    filters,
		MaxResults: aws.Int32(1000),
	})
	var all []types.Snapshot
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Snapshots...)
	}
	return all, nil
}

func snapshot(s types.Snapshot) run.Snapshot {
	return run.Snapshot{
		ID:       aws.ToString(s.SnapshotId),
		VolumeID: aws.ToString(s.VolumeId),
		State:    state(s.State),
		Progress: aws.ToString(s.Progress),
	}
}

// state counts a snapshot in the recycle bin as failed: it cannot be restored
// from where it is.
func state(s types.SnapshotState) string {
	switch s {
	case types.SnapshotStatePending:
		return run.Pending
	case types.SnapshotStateCompleted:
		return run.Completed
	}
	return run.Failed
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

func tagList(tags map[string]string) []types.Tag {
	list := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}

func tagMap(list []types.Tag) map[string]string {
	tags := make(map[string]string, len(list))
	for _, t := range list {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags
}

// clip shortens text to what the service takes, by whole characters.
func clip(text string, limit int) string {
	if r := []rune(text); len(r) > limit {
		return string(r[:limit])
	}
	return text
}
