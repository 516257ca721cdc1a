package alicloud

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/quiesce/quiesce/shared/fault"
)

// What people do with disks by hand, besides what a run does: one method a
// call. Whether the call makes sense is asked in package disks.

// Disk is one as the service describes it.
type Disk struct {
	ID, InstanceID, Device, Category, Status, Zone string
	SizeGiB                                        int
	System, MultiAttach                            bool
	PolicyID                                       string // of automatic snapshots; empty for none
	Tags                                           map[string]string
}

// Machine is an instance as far as disks depend on it.
type Machine struct {
	ID, Status, Zone string
	StoppedMode      string   // KeepCharging, StopCharging, or of one that is not stopped Not-applicable
	Locks            []string // why it is locked; empty if it is not
}

// Snapshot is one as the service describes it.
type Snapshot struct {
	ID, DiskID, Name, Description, Status, Progress, Usage string
	System, Available                                      bool // of a system disk; usable
	SizeGiB, RetentionDays                                 int
	CreatedAt                                              time.Time
	Tags                                                   map[string]string
}

// Disk describes one. Codes: InvalidInput if there is none, and those of
// every read.
func (p *Provider) Disk(ctx context.Context, id string) (*Disk, error) {
	found, err := p.disks(ctx, func(r *ecs.DescribeDisksRequest) { r.DiskIds = list([]string{id}) })
	switch {
	case err != nil:
		return nil, translate(err, "describe %s", id)
	case len(found) == 0:
		return nil, fault.Input("disk", "%s does not exist in %s", id, p.cfg.Region)
	}
	d := found[0]
	return &Disk{
		ID: d.DiskId, InstanceID: d.InstanceId, Device: d.Device, Category: d.Category, Status: d.Status, Zone: d.ZoneId, SizeGiB: d.Size,
		System: d.Type == "system", MultiAttach: d.MultiAttach == enabled, PolicyID: d.AutoSnapshotPolicyId, Tags: tagMap(d.Tags.Tag),
	}, nil
}

// Machine describes an instance.
func (p *Provider) Machine(ctx context.Context, id string) (*Machine, error) {
	i, err := p.describe(ctx, id)
	if err != nil {
		return nil, err
	}
	m := &Machine{ID: id, Status: i.Status, Zone: i.ZoneId, StoppedMode: i.StoppedMode}
	for _, l := range i.OperationLocks.LockReason {
		m.Locks = append(m.Locks, l.LockReason)
	}
	return m, nil
}

// Wanted narrows a list of snapshots; empty fields do not.
type Wanted struct {
	IDs                        []string
	DiskID, InstanceID, Status string
	Tags                       map[string]string
}

// ListSnapshots lists snapshots, in the service's order.
func (p *Provider) ListSnapshots(ctx context.Context, w Wanted) ([]Snapshot, error) {
	found, err := p.snapshots(ctx, func(r *ecs.DescribeSnapshotsRequest) {
		r.DiskId, r.InstanceId, r.Status = w.DiskID, w.InstanceID, w.Status
		if len(w.IDs) > 0 {
			r.SnapshotIds = list(w.IDs)
		}
		var tags []ecs.DescribeSnapshotsTag
		for _, key := range slices.Sorted(maps.Keys(w.Tags)) {
			tags = append(tags, ecs.DescribeSnapshotsTag{Key: key, Value: w.Tags[key]})
		}
		if len(tags) > 0 {
			r.Tag = &tags
		}
	})
	if err != nil {
		return nil, translate(err, "list snapshots")
	}
	all := make([]Snapshot, len(found))
	for i, s := range found {
		all[i] = Snapshot{
			ID: s.SnapshotId, DiskID: s.SourceDiskId, Name: s.SnapshotName, Description: s.Description, Status: s.Status, Progress: s.Progress,
			Usage: s.Usage, System: s.SourceDiskType == "system", Available: s.Available, SizeGiB: int(gib(s)), RetentionDays: s.RetentionDays,
			CreatedAt: moment(s.CreationTime), Tags: tagMap(s.Tags.Tag),
		}
	}
	return all, nil
}

// TakeSnapshot snapshots one disk, and is not made twice: its token makes a
// repetition the same call.
func (p *Provider) TakeSnapshot(ctx context.Context, disk, name, description string, retentionDays int, tags map[string]string) (id string, err error) {
	request, response := ecs.CreateCreateSnapshotRequest(), ecs.CreateCreateSnapshotResponse()
	request.DiskId, request.SnapshotName, request.Description, request.ClientToken = disk, name, description, token()
	if retentionDays > 0 {
		request.RetentionDays = requests.NewInteger(retentionDays)
	}
	var pairs []ecs.CreateSnapshotTag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		pairs = append(pairs, ecs.CreateSnapshotTag{Key: key, Value: tags[key]})
	}
	if len(pairs) > 0 {
		request.Tag = &pairs
	}
	if err := p.call(ctx, "ecs", request, response); err != nil {
		return "", translate(err, "snapshot %s", disk)
	}
	return response.SnapshotId, nil
}

// ResetDisk sets a disk back to a snapshot of its own; a dry run asks whether
// the service would.
func (p *Provider) ResetDisk(ctx context.Context, disk, snapshot string, dryRun bool) error {
	request, response := ecs.CreateResetDiskRequest(), ecs.CreateResetDiskResponse()
	request.DiskId, request.SnapshotId, request.DryRun = disk, snapshot, requests.NewBoolean(dryRun)
	if !dryRun { // it destroys what is there: once
		_, err := p.once(ctx, "ecs", request, response)
		return translate(err, "set %s back to %s", disk, snapshot)
	}
	err := p.call(ctx, "ecs", request, response)
	if hasCode(err, "DryRunOperation") {
		return nil
	}
	return translate(err, "try to set %s back to %s", disk, snapshot)
}

// NewDisk makes a disk of a snapshot, in a zone.
func (p *Provider) NewDisk(ctx context.Context, snapshot, zone, category string) (id string, err error) {
	request, response := ecs.CreateCreateDiskRequest(), ecs.CreateCreateDiskResponse()
	request.SnapshotId, request.ZoneId, request.DiskCategory, request.ClientToken = snapshot, zone, category, token()
	if err := p.call(ctx, "ecs", request, response); err != nil {
		return "", translate(err, "make a disk of %s", snapshot)
	}
	return response.DiskId, nil
}

// AttachDisk attaches a disk that is available; the service picks its device.
func (p *Provider) AttachDisk(ctx context.Context, disk, instance string) error {
	request, response := ecs.CreateAttachDiskRequest(), ecs.CreateAttachDiskResponse()
	request.DiskId, request.InstanceId = disk, instance
	_, err := p.once(ctx, "ecs", request, response) // a second one would find it attached
	return translate(err, "attach %s to %s", disk, instance)
}

// NewImage makes a custom image of the snapshots, of which one is of a system
// disk.
func (p *Provider) NewImage(ctx context.Context, name, description string, snapshots []Snapshot) (id string, err error) {
	request, response := ecs.CreateCreateImageRequest(), ecs.CreateCreateImageResponse()
	request.ImageName, request.Description, request.ClientToken = name, description, token()
	var mapping []ecs.CreateImageDiskDeviceMapping
	for _, s := range snapshots {
		kind := "data"
		if s.System {
			kind = "system"
		}
		mapping = append(mapping, ecs.CreateImageDiskDeviceMapping{SnapshotId: s.ID, DiskType: kind})
	}
	if len(mapping) == 1 {
		request.SnapshotId = snapshots[0].ID
	} else {
		request.DiskDeviceMapping = &mapping
	}
	if err := p.call(ctx, "ecs", request, response); err != nil {
		return "", translate(err, "make an image of %d snapshots", len(snapshots))
	}
	return response.ImageId, nil
}

// Schedule is an automatic snapshot policy: at which hours, on which weekdays
// (1 is Monday), kept for how many days (-1: for ever).
type Schedule struct {
	ID, Name, Status string
	Hours, Weekdays  []string
	RetentionDays    int
	Disks            int // that follow it
}

// NewSchedule makes a policy.
func (p *Provider) NewSchedule(ctx context.Context, s Schedule) (id string, err error) {
	request, response := ecs.CreateCreateAutoSnapshotPolicyRequest(), ecs.CreateCreateAutoSnapshotPolicyResponse()
	request.AutoSnapshotPolicyName, request.TimePoints, request.RepeatWeekdays = s.Name, list(s.Hours), list(s.Weekdays)
	request.RetentionDays = requests.NewInteger(s.RetentionDays)
	if _, err := p.once(ctx, "ecs", request, response); err != nil { // it takes no token: a second one would be a second policy
		return "", translate(err, "make the policy %s", s.Name)
	}
	return response.AutoSnapshotPolicyId, nil
}

// ApplySchedule lets disks follow a policy, in place of the one before.
func (p *Provider) ApplySchedule(ctx context.Context, id string, disks []string) error {
	request, response := ecs.CreateApplyAutoSnapshotPolicyRequest(), ecs.CreateApplyAutoSnapshotPolicyResponse()
	request.AutoSnapshotPolicyId, request.DiskIds = id, list(disks)
	return translate(p.call(ctx, "ecs", request, response), "apply %s to %d disks", id, len(disks))
}

// Schedules lists the policies, or the one that is named.
func (p *Provider) Schedules(ctx context.Context, id string) ([]Schedule, error) {
	var all []Schedule
	for page := 1; ; page++ {
		request, response := ecs.CreateDescribeAutoSnapshotPolicyExRequest(), ecs.CreateDescribeAutoSnapshotPolicyExResponse()
		request.AutoSnapshotPolicyId, request.PageNumber, request.PageSize = id, requests.NewInteger(page), requests.NewInteger(perPage)
		if err := p.call(ctx, "ecs", request, response); err != nil {
			return nil, translate(err, "list the policies")
		}
		for _, s := range response.AutoSnapshotPolicies.AutoSnapshotPolicy {
			all = append(all, Schedule{
				ID: s.AutoSnapshotPolicyId, Name: s.AutoSnapshotPolicyName, Status: s.Status, Hours: unlist(s.TimePoints), Weekdays: unlist(s.RepeatWeekdays),
				RetentionDays: s.RetentionDays, Disks: s.DiskNums,
			})
		}
		if len(response.AutoSnapshotPolicies.AutoSnapshotPolicy) < perPage {
			return all, nil
		}
	}
}
