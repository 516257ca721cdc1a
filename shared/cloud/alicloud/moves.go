package alicloud

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

var (
	_ cloud.Restorer = (*Provider)(nil)
	_ cloud.Resetter = (*Provider)(nil)
)

// answer is what every call of the SDK fills.
type answer = responses.AcsResponse

// busy is what ECS answers while a disk, a snapshot, an image or an instance is
// between two states.
var busy = []string{
	"IncorrectDiskStatus", "IncorrectDiskStatus.CreatingSnapshot", "IncorrectInstanceStatus", "InvalidSnapshotId.NotReady", "DiskCreatingSnapshot",
	"Operation.Conflict", "InvalidOperation.Conflict", "IdempotentProcessing", "IncorrectInstanceStatus.Initializing", "ImageIsCreating",
}

// aboutDisk makes a fault of an error of a call that changes a disk, or where
// it is attached.
func aboutDisk(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	code, status, listed := codeOf(err), 0, true
	var r *refusal
	if errors.As(err, &r) {
		status = r.Status
		_, listed = r.listed()
	}
	switch {
	case hasCode(err, busy...):
		code = fault.VolumeBusy
	case hasCode(err, "InvalidSnapshotId.NotFound", "InvalidParameter.Mismatch"):
		code = fault.SetNotRestorable // the snapshot is gone, or of another disk
	case listed && (code == fault.Throttled || code == fault.AccessDenied || code == fault.Unavailable || code == fault.InstanceNotFound):
	case status == http.StatusTooManyRequests:
	case status >= http.StatusBadRequest && status < http.StatusInternalServerError:
		code = fault.RestoreRefused
	}
	return fault.Wrap(code, err, format, args...)
}

// diskStates translates; what is absent no restore can work with.
var diskStates = map[string]cloud.DiskState{
	"Creating":  cloud.DiskMaking,
	"Available": cloud.DiskFree,
	"Attaching": cloud.DiskAttaching,
	"In_use":    cloud.DiskAttached,
	"Detaching": cloud.DiskDetaching,
	"ReIniting": cloud.DiskResetting,
}

func disk(d ecs.Disk) cloud.Disk {
	out := cloud.Disk{
		ID: d.DiskId, State: diskStates[d.Status], Zone: d.ZoneId, Kind: d.Category, SizeGiB: int32(d.Size), IOPS: int32(d.ProvisionedIops),
		Key: d.KMSKeyId, Source: d.SourceSnapshotId, Tags: tagMap(d.Tags.Tag), Instance: d.InstanceId, Device: d.Device, Ends: d.DeleteWithInstance,
	}
	if out.State == "" {
		out.State = cloud.DiskBroken
	}
	if out.Instance == "" {
		out.Device, out.Ends = "", false
	}
	return out
}

// Disks asks by ids: ECS leaves out what does not exist.
func (p *Provider) Disks(ctx context.Context, ids []string) ([]cloud.Disk, error) {
	var all []cloud.Disk
	for some := range slices.Chunk(ids, perPage) {
		found, err := p.disks(ctx, func(r *ecs.DescribeDisksRequest) { r.DiskIds = list(some) })
		if err != nil {
			return nil, translate(err, "look at %d disks", len(ids))
		}
		for _, d := range found {
			all = append(all, disk(d))
		}
	}
	return all, nil
}

// Marked asks by the tag.
func (p *Provider) Marked(ctx context.Context, key, value string) ([]cloud.Disk, error) {
	found, err := p.disks(ctx, func(r *ecs.DescribeDisksRequest) { r.Tag = &[]ecs.DescribeDisksTag{{Key: key, Value: value}} })
	if err != nil {
		return nil, translate(err, "find the disks with %s=%s", key, value)
	}
	all := make([]cloud.Disk, len(found))
	for i, d := range found {
		all[i] = disk(d)
	}
	return all, nil
}

// usualCategory is taken where nobody says another. Its usual performance level
// begins at a size below which only the lowest is made.
const (
	usualCategory = "cloud_essd"
	smallestPL1   = 20 // GiB
)

func creation(spec cloud.DiskSpec) *ecs.CreateDiskRequest {
	request := ecs.CreateCreateDiskRequest()
	request.SnapshotId, request.ZoneId, request.DiskCategory, request.ClientToken = spec.Snapshot, spec.Zone, spec.Kind, spec.Token
	if spec.Kind == "" {
		request.DiskCategory = usualCategory
	}
	if request.DiskCategory == usualCategory && spec.SizeGiB > 0 && spec.SizeGiB < smallestPL1 {
		request.PerformanceLevel = "PL0"
	}
	if spec.SizeGiB > 0 {
		request.Size = requests.NewInteger(int(spec.SizeGiB))
	}
	if spec.IOPS > 0 {
		request.ProvisionedIops = requests.NewInteger(int(spec.IOPS))
	}
	tags := make([]ecs.CreateDiskTag, 0, len(spec.Tags))
	for _, key := range slices.Sorted(maps.Keys(spec.Tags)) {
		tags = append(tags, ecs.CreateDiskTag{Key: key, Value: clip(spec.Tags[key], maxTagValue)})
	}
	request.Tag = &tags
	return request
}

// MayMake looks at what can be looked at: this call of ECS has no dry run, so
// that a right that is missing is told by MakeDisk alone, which is asked before
// anything stops.
func (p *Provider) MayMake(ctx context.Context, spec cloud.DiskSpec) error {
	by, err := p.byID(ctx, []string{spec.Snapshot})
	if err != nil {
		return aboutDisk(err, "look at %s", spec.Snapshot)
	}
	switch s, ok := by[spec.Snapshot]; {
	case !ok:
		return fault.New(fault.SetNotRestorable, "snapshot %s does not exist in %s", spec.Snapshot, p.cfg.Region)
	case !s.Available && s.Status != accomplished:
		return fault.New(fault.SetNotRestorable, "snapshot %s is %s", spec.Snapshot, s.Status)
	case spec.SizeGiB > 0 && int64(spec.SizeGiB) < gib(s):
		return fault.New(fault.RestoreRefused, "a disk of %d GiB is smaller than snapshot %s, which has %d GiB", spec.SizeGiB, spec.Snapshot, gib(s))
	}
	return nil
}

// MakeDisk may be repeated: the client token makes it one.
func (p *Provider) MakeDisk(ctx context.Context, spec cloud.DiskSpec) (string, error) {
	response := ecs.CreateCreateDiskResponse()
	if err := p.call(ctx, "ecs", creation(spec), response); err != nil {
		return "", aboutDisk(err, "create a disk of %s", spec.Snapshot)
	}
	return response.DiskId, nil
}

// Attach tells only the beginning of it.
func (p *Provider) Attach(ctx context.Context, instance, disk, device string) error {
	request, response := ecs.CreateAttachDiskRequest(), ecs.CreateAttachDiskResponse()
	request.InstanceId, request.DiskId, request.Device = instance, disk, device
	return aboutDisk(p.call(ctx, "ecs", request, response), "attach %s to %s as %s", disk, instance, device)
}

// Detach tells only the beginning of it.
func (p *Provider) Detach(ctx context.Context, instance, disk string) error {
	request, response := ecs.CreateDetachDiskRequest(), ecs.CreateDetachDiskResponse()
	request.InstanceId, request.DiskId = instance, disk
	return aboutDisk(p.call(ctx, "ecs", request, response), "detach %s from %s", disk, instance)
}

// Bind finds the disks under the devices, and changes those that are to end
// with the instance by one call and the others by another.
func (p *Provider) Bind(ctx context.Context, instance string, ends map[string]bool) error {
	if len(ends) == 0 {
		return nil
	}
	found, err := p.disks(ctx, func(r *ecs.DescribeDisksRequest) { r.InstanceId = instance })
	if err != nil {
		return translate(err, "list the disks of %s", instance)
	}
	by := map[string]string{}
	for _, d := range found {
		by[d.Device] = d.DiskId
	}
	change := map[bool][]string{}
	for _, device := range slices.Sorted(maps.Keys(ends)) {
		id := by[device]
		if id == "" {
			return fault.New(fault.RestoreRefused, "say which disks end with %s: nothing is attached as %s", instance, device)
		}
		change[ends[device]] = append(change[ends[device]], id)
	}
	for _, with := range []bool{true, false} {
		ids := change[with]
		if len(ids) == 0 {
			continue
		}
		request, response := ecs.CreateModifyDiskAttributeRequest(), ecs.CreateModifyDiskAttributeResponse()
		request.DiskIds, request.DeleteWithInstance = &ids, requests.NewBoolean(with)
		if err := p.call(ctx, "ecs", request, response); err != nil {
			return aboutDisk(err, "say which disks end with %s", instance)
		}
	}
	return nil
}

// DeleteDisk takes a disk that does not exist for deleted.
func (p *Provider) DeleteDisk(ctx context.Context, id string) error {
	request, response := ecs.CreateDeleteDiskRequest(), ecs.CreateDeleteDiskResponse()
	request.DiskId = id
	err := p.call(ctx, "ecs", request, response)
	if hasCode(err, "InvalidDiskId.NotFound") {
		return nil
	}
	return aboutDisk(err, "delete %s", id)
}
