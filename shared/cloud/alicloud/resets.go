package alicloud

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// MayReset looks at all that the documentation demands of a rollback, but for
// what passes. That the instance runs is not held against it: it is stopped
// first.
func (p *Provider) MayReset(ctx context.Context, instance, disk, snapshot string) error {
	refuse := func(code fault.Code, format string, args ...any) error { return fault.New(code, format, args...) }
	m, err := p.Machine(ctx, instance)
	if err != nil {
		return err
	}
	found, err := p.disks(ctx, func(r *ecs.DescribeDisksRequest) { r.DiskIds = list([]string{disk}) })
	if err != nil {
		return translate(err, "look at %s", disk)
	}
	by, err := p.byID(ctx, []string{snapshot})
	if err != nil {
		return translate(err, "look at %s", snapshot)
	}
	switch s, known := by[snapshot]; {
	case !known:
		return refuse(fault.SetNotRestorable, "snapshot %s does not exist in %s", snapshot, p.cfg.Region)
	case s.Status != accomplished:
		return refuse(fault.SetNotRestorable, "snapshot %s is %s", snapshot, s.Status)
	case len(found) == 0:
		return refuse(fault.RestoreRefused, "disk %s does not exist in %s", disk, p.cfg.Region)
	case s.SourceDiskId != disk:
		return refuse(fault.SetNotRestorable, "snapshot %s is of %s, and %s is set back to one of its own", snapshot, s.SourceDiskId, disk)
	case found[0].MultiAttach == enabled:
		return refuse(fault.RestoreRefused, "%s may be attached to several instances, and is not set back", disk)
	case len(m.Locks) > 0:
		return refuse(fault.RestoreRefused, "%s is locked: %s", instance, strings.Join(m.Locks, ", "))
	case m.StoppedMode == "StopCharging":
		return refuse(fault.RestoreRefused, "%s is stopped in economical mode, in which no disk is set back: start it, and stop it with its resources kept", instance)
	}
	return nil
}

// TryReset is the service's dry run, whose success is a refusal.
func (p *Provider) TryReset(ctx context.Context, disk, snapshot string) error {
	request, response := ecs.CreateResetDiskRequest(), ecs.CreateResetDiskResponse()
	request.DiskId, request.SnapshotId, request.DryRun = disk, snapshot, requests.NewBoolean(true)
	err := p.call(ctx, "ecs", request, response)
	if hasCode(err, "DryRunOperation") {
		return nil
	}
	return aboutDisk(err, "try to set %s back to %s", disk, snapshot)
}

// Keep makes a snapshot group, which is repeated freely: its token makes a
// second call the same group, and nothing is held that a second moment could
// belie.
func (p *Provider) Keep(ctx context.Context, spec cloud.KeepSpec) error {
	if len(spec.Disks) > maxMembers {
		return fault.New(fault.RestoreRefused, "keep what is on the disks of %s: ECS takes at most %d at once, not %d", spec.Instance, maxMembers, len(spec.Disks))
	}
	request, response := ecs.CreateCreateSnapshotGroupRequest(), ecs.CreateCreateSnapshotGroupResponse()
	request.InstanceId, request.DiskId, request.ClientToken = spec.Instance, &spec.Disks, spec.Token
	request.Name = "quiesce-before-restore"
	request.Description = "what was on the disks before a restore set them back"
	tags := make([]ecs.CreateSnapshotGroupTag, 0, len(spec.Tags))
	for _, key := range slices.Sorted(maps.Keys(spec.Tags)) {
		tags = append(tags, ecs.CreateSnapshotGroupTag{Key: key, Value: clip(spec.Tags[key], maxTagValue)})
	}
	request.Tag = &tags
	return aboutDisk(p.call(ctx, "ecs", request, response), "keep what is on the disks of %s", spec.Instance)
}

// Kept asks for groups by the restore's mark, which is the group's own.
func (p *Provider) Kept(ctx context.Context, restoreID string) ([]cloud.Source, error) {
	groups, err := p.keptGroups(ctx, restoreID)
	if err != nil {
		return nil, err
	}
	var set []cloud.TaggedSnapshot
	for _, g := range groups {
		for _, member := range membersOf(g) {
			set = append(set, cloud.TaggedSnapshot{Snapshot: member, Tags: tagMap(g.Tags.Tag), StartedAt: moment(g.CreationTime)})
		}
	}
	all, err := p.sources(ctx, set)
	if err != nil {
		return nil, err
	}
	by, err := p.Snapshots(ctx, idsOf(all)) // each by itself: a group's word is for all of them
	if err != nil {
		return nil, err
	}
	for i, s := range by {
		all[i].State = s.State
	}
	return all, nil
}

func idsOf(set []cloud.Source) []string {
	ids := make([]string, len(set))
	for i, s := range set {
		ids[i] = s.ID
	}
	return ids
}

func (p *Provider) keptGroups(ctx context.Context, restoreID string) ([]ecs.SnapshotGroup, error) {
	groups, err := p.groups(ctx, func(r *ecs.DescribeSnapshotGroupsRequest) {
		r.Tag = &[]ecs.DescribeSnapshotGroupsTag{{Key: cloud.TagRestore, Value: restoreID}}
	})
	return groups, translate(err, "find what was kept for the restore %s", restoreID)
}

// Reset tells only the beginning of it.
func (p *Provider) Reset(ctx context.Context, disk, snapshot string) error {
	request, response := ecs.CreateResetDiskRequest(), ecs.CreateResetDiskResponse()
	request.DiskId, request.SnapshotId = disk, snapshot
	return aboutDisk(p.call(ctx, "ecs", request, response), "set %s back to %s", disk, snapshot)
}

// Drop deletes whole groups, and those alone that carry the restore's mark and
// no run's: what a policy has taken is retention's to delete.
func (p *Provider) Drop(ctx context.Context, restoreID string) error {
	groups, err := p.keptGroups(ctx, restoreID)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if tags := tagMap(g.Tags.Tag); tags[cloud.TagRun] != "" {
			return fault.New(fault.RestoreRefused, "the group %s is of the run %s, and is not dropped with a restore", g.SnapshotGroupId, tags[cloud.TagRun])
		}
		if err := p.deleteGroup(ctx, g.SnapshotGroupId); err != nil {
			return aboutDisk(err, "delete what was kept for the restore %s", restoreID)
		}
	}
	return nil
}

// deleteGroup takes a group that does not exist for deleted.
func (p *Provider) deleteGroup(ctx context.Context, id string) error {
	request, response := ecs.CreateDeleteSnapshotGroupRequest(), ecs.CreateDeleteSnapshotGroupResponse()
	request.SnapshotGroupId = id
	err := p.call(ctx, "ecs", request, response)
	if hasCode(err, "InvalidSnapshotGroupId.NotFound") {
		return nil
	}
	return err
}
