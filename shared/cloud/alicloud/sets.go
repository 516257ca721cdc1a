package alicloud

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// ECS's limits on one snapshot group, and on what is written on it.
const (
	maxMembers     = 16
	maxTags        = 20
	maxDescription = 256
	maxName        = 128
	maxTagValue    = 128
	perTagging     = 50 // resources of one TagResources
)

// Statuses of snapshots and of groups.
const (
	progressing  = "progressing"
	accomplished = "accomplished"
)

// CreateSet makes one attempt. It sends no client token: a second call with
// the first one's token would be answered with the group of another moment,
// and a hold of now would seem to cover it. What the call answers is the
// group's id alone; its members are read right after.
func (p *Provider) CreateSet(ctx context.Context, spec cloud.SetSpec) ([]run.Snapshot, error) {
	request, err := group(spec)
	if err != nil {
		return nil, err
	}
	response := ecs.CreateCreateSnapshotGroupResponse()
	sent, err := p.once(ctx, "ecs", request, response)
	if err != nil {
		return nil, refusedSet(err, sent, "create the snapshot group of %s", spec.InstanceID)
	}
	return p.members(ctx, response.SnapshotGroupId, len(spec.Include))
}

func group(spec cloud.SetSpec) (*ecs.CreateSnapshotGroupRequest, error) {
	switch {
	case len(spec.Include) > maxMembers:
		return nil, fault.New(fault.SnapshotRefused, "create the snapshot group of %s: ECS takes at most %d disks at once, not %d", spec.InstanceID, maxMembers, len(spec.Include))
	case len(spec.Tags) > maxTags:
		return nil, fault.New(fault.SnapshotRefused, "create the snapshot group of %s: it carries at most %d tags, not %d", spec.InstanceID, maxTags, len(spec.Tags))
	}
	request := ecs.CreateCreateSnapshotGroupRequest()
	request.InstanceId = spec.InstanceID
	request.Description = clip(spec.Description, maxDescription)
	if id := spec.Tags[cloud.TagRun]; id != "" {
		request.Name = clip("quiesce-"+id, maxName)
	}
	tags := make([]ecs.CreateSnapshotGroupTag, 0, len(spec.Tags))
	for _, key := range slices.Sorted(maps.Keys(spec.Tags)) {
		tags = append(tags, ecs.CreateSnapshotGroupTag{Key: key, Value: clip(spec.Tags[key], maxTagValue)})
	}
	request.Tag = &tags
	// By name, where they are known: a disk that was attached a moment ago is
	// in no plan and was not frozen.
	switch leave := leaveOut(spec); {
	case len(spec.Include) > 0:
		request.DiskId = &spec.Include
	case len(leave) > 0:
		request.ExcludeDiskId = &leave
	}
	return request, nil
}

func leaveOut(spec cloud.SetSpec) []string {
	leave := slices.Clone(spec.Exclude)
	if spec.ExcludeBoot && spec.Boot != "" {
		leave = append(leave, spec.Boot)
	}
	return leave
}

// told is how long the members of a group that exists may be asked for.
const told = 5 * time.Second

// members reads a new group until it shows all of its members, of which there
// are n, or any if n is not known. The group exists: whatever fails now, the
// set may be there all the same.
func (p *Provider) members(ctx context.Context, id string, n int) ([]run.Snapshot, error) {
	give := time.Now().Add(told)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		groups, err := p.groups(ctx, func(r *ecs.DescribeSnapshotGroupsRequest) { r.SnapshotGroupId = &[]string{id} })
		if err == nil && len(groups) == 1 {
			if set := membersOf(groups[0]); len(set) >= max(n, 1) {
				return set, nil
			}
		}
		if time.Now().Add(pause).After(give) {
			return nil, fault.Wrap(fault.SnapshotOutcomeUnknown, cmp.Or(err, error(errNoMembers)), "read the members of the group %s", id)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fault.Wrap(fault.SnapshotOutcomeUnknown, ctx.Err(), "read the members of the group %s", id)
		}
	}
}

var errNoMembers = fault.New(fault.SnapshotOutcomeUnknown, "it does not show all of them")

func membersOf(g ecs.SnapshotGroup) []run.Snapshot {
	set := make([]run.Snapshot, len(g.Snapshots.Snapshot))
	for i, s := range g.Snapshots.Snapshot {
		set[i] = run.Snapshot{ID: s.SnapshotId, VolumeID: s.SourceDiskId, State: state(cmp.Or(s.Status, g.Status)), Progress: s.Progress}
	}
	return set
}

// FindSet asks by the run's tag. The tags of a set's creation are the group's;
// each snapshot has besides what was put on it later.
func (p *Provider) FindSet(ctx context.Context, runID string) ([]cloud.TaggedSnapshot, error) {
	groups, err := p.groups(ctx, func(r *ecs.DescribeSnapshotGroupsRequest) {
		r.Tag = &[]ecs.DescribeSnapshotGroupsTag{{Key: cloud.TagRun, Value: runID}}
	})
	if err != nil {
		return nil, translate(err, "find the set of run %s", runID)
	}
	if len(groups) == 0 {
		return p.tagged(ctx, runID)
	}
	var set []cloud.TaggedSnapshot
	for _, g := range groups {
		for i, member := range membersOf(g) {
			tags := tagMap(g.Tags.Tag)
			maps.Copy(tags, tagMap(g.Snapshots.Snapshot[i].Tags.Tag))
			set = append(set, cloud.TaggedSnapshot{Snapshot: member, Tags: tags, StartedAt: moment(g.CreationTime)})
		}
	}
	return set, nil
}

// tagged are the snapshots that carry the run's tag themselves: those of a
// group that no call of ours has made.
func (p *Provider) tagged(ctx context.Context, runID string) ([]cloud.TaggedSnapshot, error) {
	found, err := p.snapshots(ctx, func(r *ecs.DescribeSnapshotsRequest) {
		r.Tag = &[]ecs.DescribeSnapshotsTag{{Key: cloud.TagRun, Value: runID}}
	})
	if err != nil {
		return nil, translate(err, "find the snapshots of run %s", runID)
	}
	var set []cloud.TaggedSnapshot
	for _, s := range found {
		member := run.Snapshot{ID: s.SnapshotId, VolumeID: s.SourceDiskId, State: state(s.Status), Progress: s.Progress}
		set = append(set, cloud.TaggedSnapshot{Snapshot: member, Tags: tagMap(s.Tags.Tag), StartedAt: moment(s.CreationTime)})
	}
	return set, nil
}

// groups reads every page of a list.
func (p *Provider) groups(ctx context.Context, which func(*ecs.DescribeSnapshotGroupsRequest)) ([]ecs.SnapshotGroup, error) {
	var all []ecs.SnapshotGroup
	for token := ""; ; {
		request, response := ecs.CreateDescribeSnapshotGroupsRequest(), ecs.CreateDescribeSnapshotGroupsResponse()
		request.MaxResults, request.NextToken = requests.NewInteger(perPage), token
		which(request)
		if err := p.call(ctx, "ecs", request, response); err != nil {
			return nil, err
		}
		all = append(all, response.SnapshotGroups.SnapshotGroup...)
		if token = response.NextToken; token == "" {
			return all, nil
		}
	}
}

// Snapshots answers in the order of ids. What does not exist is just missing
// from the service's answer.
func (p *Provider) Snapshots(ctx context.Context, ids []string) ([]run.Snapshot, error) {
	byID, err := p.byID(ctx, ids)
	if err != nil {
		return nil, translate(err, "look at %d snapshots", len(ids))
	}
	var set []run.Snapshot
	for _, id := range ids {
		s, ok := byID[id]
		if !ok {
			return nil, fault.New(fault.SnapshotFailed, "snapshot %s does not exist", id)
		}
		set = append(set, run.Snapshot{ID: id, VolumeID: s.SourceDiskId, State: state(s.Status), Progress: s.Progress})
	}
	return set, nil
}

// Pending asks for each disk: the list filters by one disk or by none.
func (p *Provider) Pending(ctx context.Context, volumeIDs []string) (map[string]int, error) {
	pending := map[string]int{}
	for _, id := range volumeIDs {
		found, err := p.snapshots(ctx, func(r *ecs.DescribeSnapshotsRequest) { r.DiskId, r.Status = id, progressing })
		if err != nil {
			return nil, translate(err, "count the snapshots in progress of %s", id)
		}
		if len(found) > 0 {
			pending[id] = len(found)
		}
	}
	return pending, nil
}

func (p *Provider) snapshots(ctx context.Context, which func(*ecs.DescribeSnapshotsRequest)) ([]ecs.Snapshot, error) {
	var all []ecs.Snapshot
	for token := ""; ; {
		request, response := ecs.CreateDescribeSnapshotsRequest(), ecs.CreateDescribeSnapshotsResponse()
		request.MaxResults, request.NextToken = requests.NewInteger(perPage), token
		which(request)
		if err := p.call(ctx, "ecs", request, response); err != nil {
			return nil, err
		}
		all = append(all, response.Snapshots.Snapshot...)
		if token = response.NextToken; token == "" {
			return all, nil
		}
	}
}

// TagSnapshots puts the tags on the snapshots themselves, where people and
// other tools look for them.
func (p *Provider) TagSnapshots(ctx context.Context, ids []string, tags map[string]string) error {
	if len(tags) == 0 {
		return nil
	}
	return translate(p.tag(ctx, "snapshot", ids, tags), "tag %d snapshots", len(ids))
}

// state has no word of its own for a snapshot that may be used before it is
// complete: complete is what is asked for.
func state(status string) string {
	switch status {
	case progressing:
		return run.Pending
	case accomplished:
		return run.Completed
	}
	return run.Failed
}

// moment reads a time of ECS, which leaves out what is zero: 2026-03-01T04:05Z.
func moment(text string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// clip shortens text to what the service takes, by whole characters.
func clip(text string, limit int) string {
	if r := []rune(text); len(r) > limit {
		return string(r[:limit])
	}
	return text
}
