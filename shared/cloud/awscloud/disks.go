package awscloud

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

var _ cloud.Restorer = (*Provider)(nil)

// busy is what EC2 answers while a volume or an instance is between two states.
var busy = []string{"IncorrectState", "VolumeInUse", "IncorrectInstanceState"}

// aboutDisk makes a fault of an error of a call that changes a volume or where
// it is attached.
func aboutDisk(err error, format string, args ...any) error {
	code := codeOf(err)
	var api smithy.APIError
	switch status := statusOf(err); {
	case errors.As(err, &api) && slices.Contains(busy, api.ErrorCode()):
		code = fault.VolumeBusy
	case code == fault.Throttled, code == fault.AccessDenied, code == fault.Unavailable, code == fault.InstanceNotFound:
	case code == fault.SnapshotFailed:
		code = fault.SetNotRestorable // the snapshot is gone
	case status >= 400 && status < 500:
		code = fault.RestoreRefused
	}
	return fault.Wrap(code, err, format, args...)
}

// Disks asks by filter, because a question by id fails as a whole if one of
// them does not exist.
func (p *Provider) Disks(ctx context.Context, ids []string) ([]cloud.Disk, error) {
	var all []cloud.Disk
	for some := range slices.Chunk(ids, maxFilterValues) {
		found, err := p.disks(ctx, filter("volume-id", some...))
		if err != nil {
			return nil, translate(err, "look at %d volumes", len(ids))
		}
		all = append(all, found...)
	}
	return all, nil
}

// Marked asks by the tag.
func (p *Provider) Marked(ctx context.Context, key, value string) ([]cloud.Disk, error) {
	found, err := p.disks(ctx, filter("tag:"+key, value))
	return found, translate(err, "find the volumes with %s=%s", key, value)
}

func (p *Provider) disks(ctx context.Context, by types.Filter) ([]cloud.Disk, error) {
	pages := ec2.NewDescribeVolumesPaginator(p.ec2, &ec2.DescribeVolumesInput{Filters: []types.Filter{by}, MaxResults: aws.Int32(500)})
	var all []cloud.Disk
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range page.Volumes {
			all = append(all, disk(v))
		}
	}
	return all, nil
}

func disk(v types.Volume) cloud.Disk {
	d := cloud.Disk{
		ID: aws.ToString(v.VolumeId), Zone: aws.ToString(v.AvailabilityZone), Kind: string(v.VolumeType), SizeGiB: aws.ToInt32(v.Size),
		Key: aws.ToString(v.KmsKeyId), Source: aws.ToString(v.SnapshotId), Tags: tagMap(v.Tags),
	}
	switch v.VolumeType {
	case types.VolumeTypeGp3, types.VolumeTypeIo1, types.VolumeTypeIo2:
		d.IOPS = aws.ToInt32(v.Iops)
	}
	if v.VolumeType == types.VolumeTypeGp3 {
		d.Throughput = aws.ToInt32(v.Throughput)
	}
	switch v.State {
	case types.VolumeStateCreating:
		d.State = cloud.DiskMaking
	case types.VolumeStateAvailable:
		d.State = cloud.DiskFree
	case types.VolumeStateInUse:
		d.State = cloud.DiskAttached
	default:
		d.State = cloud.DiskBroken // error, deleting, deleted
	}
	for _, a := range v.Attachments {
		if a.State == types.VolumeAttachmentStateDetached {
			continue
		}
		d.Instance, d.Device, d.Ends = aws.ToString(a.InstanceId), aws.ToString(a.Device), aws.ToBool(a.DeleteOnTermination)
		switch a.State {
		case types.VolumeAttachmentStateAttaching:
			d.State = cloud.DiskAttaching
		case types.VolumeAttachmentStateDetaching, types.VolumeAttachmentStateBusy:
			d.State = cloud.DiskDetaching
		}
	}
	return d
}

// usualKind is taken where nobody says another.
const usualKind = types.VolumeTypeGp3

func creation(spec cloud.DiskSpec) *ec2.CreateVolumeInput {
	in := &ec2.CreateVolumeInput{
		SnapshotId: aws.String(spec.Snapshot), AvailabilityZone: aws.String(spec.Zone), ClientToken: aws.String(spec.Token),
		VolumeType: types.VolumeType(spec.Kind), Size: aws.Int32(spec.SizeGiB),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeVolume, Tags: tagList(spec.Tags)}},
	}
	if spec.Kind == "" {
		in.VolumeType = usualKind
	}
	if spec.IOPS > 0 {
		in.Iops = aws.Int32(spec.IOPS)
	}
	if spec.Throughput > 0 {
		in.Throughput = aws.Int32(spec.Throughput)
	}
	return in
}

// MayMake asks EC2 itself, which looks at the caller's rights and makes nothing,
// and KMS about the key, which EC2 does not look at in a dry run.
func (p *Provider) MayMake(ctx context.Context, spec cloud.DiskSpec) error {
	in := creation(spec)
	in.DryRun, in.ClientToken = aws.Bool(true), nil
	_, err := p.ec2.CreateVolume(ctx, in)
	if hasCode(err, "DryRunOperation") {
		return p.mayUse(ctx, spec.Key)
	}
	return aboutDisk(err, "try to create a volume of %s", spec.Snapshot)
}

// MakeDisk may be repeated by the SDK as well: the client token makes it one.
func (p *Provider) MakeDisk(ctx context.Context, spec cloud.DiskSpec) (string, error) {
	out, err := p.ec2.CreateVolume(ctx, creation(spec))
	if err != nil {
		return "", aboutDisk(err, "create a volume of %s", spec.Snapshot)
	}
	return aws.ToString(out.VolumeId), nil
}

// Attach tells only the beginning of it.
func (p *Provider) Attach(ctx context.Context, instance, disk, device string) error {
	_, err := p.ec2.AttachVolume(ctx, &ec2.AttachVolumeInput{InstanceId: aws.String(instance), VolumeId: aws.String(disk), Device: aws.String(device)})
	return aboutDisk(err, "attach %s to %s as %s", disk, instance, device)
}

// Detach tells only the beginning of it.
func (p *Provider) Detach(ctx context.Context, instance, disk string) error {
	_, err := p.ec2.DetachVolume(ctx, &ec2.DetachVolumeInput{InstanceId: aws.String(instance), VolumeId: aws.String(disk)})
	return aboutDisk(err, "detach %s from %s", disk, instance)
}

// Bind changes the attachments of all devices by one call.
func (p *Provider) Bind(ctx context.Context, instance string, ends map[string]bool) error {
	if len(ends) == 0 {
		return nil
	}
	in := &ec2.ModifyInstanceAttributeInput{InstanceId: aws.String(instance)}
	for _, device := range slices.Sorted(maps.Keys(ends)) {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, types.InstanceBlockDeviceMappingSpecification{
			DeviceName: aws.String(device), Ebs: &types.EbsInstanceBlockDeviceSpecification{DeleteOnTermination: aws.Bool(ends[device])},
		})
	}
	_, err := p.ec2.ModifyInstanceAttribute(ctx, in)
	return aboutDisk(err, "say which volumes end with %s", instance)
}

// MarkDisks puts the tags on all of them by one call.
func (p *Provider) MarkDisks(ctx context.Context, ids []string, tags map[string]string) error {
	if len(ids) == 0 || len(tags) == 0 {
		return nil
	}
	_, err := p.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: ids, Tags: tagList(tags)})
	return aboutDisk(err, "mark %d volumes", len(ids))
}

// UnmarkDisks takes the tags off whatever they say.
func (p *Provider) UnmarkDisks(ctx context.Context, ids []string, keys []string) error {
	if len(ids) == 0 {
		return nil
	}
	in := &ec2.DeleteTagsInput{Resources: ids}
	for _, key := range keys {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(key)})
	}
	_, err := p.ec2.DeleteTags(ctx, in)
	return aboutDisk(err, "unmark %d volumes", len(ids))
}

// DeleteDisk takes a volume that does not exist for deleted.
func (p *Provider) DeleteDisk(ctx context.Context, id string) error {
	_, err := p.ec2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(id)})
	if hasCode(err, "InvalidVolume.NotFound") {
		return nil
	}
	return aboutDisk(err, "delete %s", id)
}
