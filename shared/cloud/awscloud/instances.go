package awscloud

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// How many snapshots of one volume EBS takes at once, by the volume's type.
const (
	concurrent     = 5
	concurrentSlow = 1 // st1, sc1
)

// Instance asks for the instance and for its volumes; an instance that was
// terminated is described as such for a while.
func (p *Provider) Instance(ctx context.Context, id string) (cloud.Instance, error) {
	i, err := p.instance(ctx, id)
	if err != nil {
		return cloud.Instance{}, err
	}
	volumes, err := p.volumes(ctx, id, boot(i))
	if err != nil {
		return cloud.Instance{}, translate(err, "list the volumes of %s", id)
	}
	var state types.InstanceStateName
	if i.State != nil {
		state = i.State.Name
	}
	profile := ""
	if i.IamInstanceProfile != nil {
		profile = aws.ToString(i.IamInstanceProfile.Arn)
	}
	return cloud.Instance{
		ID:      id,
		Running: state == types.InstanceStateNameRunning,
		State:   string(state),
		Arch:    arch(i.Architecture),
		Tags:    tagMap(i.Tags),
		Target:  run.Target{Provider: "aws", Region: p.region, InstanceID: id},
		Volumes: volumes,
		System:  aws.ToString(i.PlatformDetails),
		Type:    string(i.InstanceType),
		Profile: profile,
	}, nil
}

// instance describes one.
func (p *Provider) instance(ctx context.Context, id string) (types.Instance, error) {
	out, err := p.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return types.Instance{}, translate(err, "describe %s", id)
	}
	if len(out.Reservations) == 0 || len(out.Reservations[0].Instances) == 0 {
		return types.Instance{}, fault.New(fault.InstanceNotFound, "describe %s: there is no such instance in %s", id, p.region)
	}
	return out.Reservations[0].Instances[0], nil
}

func (p *Provider) volumes(ctx context.Context, instance, boot string) ([]cloud.Volume, error) {
	pages := ec2.NewDescribeVolumesPaginator(p.ec2, &ec2.DescribeVolumesInput{
		Filters:    []types.Filter{filter("attachment.instance-id", instance)},
		MaxResults: aws.Int32(500),
	})
	var all []cloud.Volume
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range page.Volumes {
			if device, ok := attached(v, instance); ok {
				all = append(all, volume(v, device, boot))
			}
		}
	}
	return all, nil
}

func volume(v types.Volume, device, boot string) cloud.Volume {
	id := aws.ToString(v.VolumeId)
	out := cloud.Volume{
		ID:         id,
		Device:     device,
		Serials:    []string{strings.Replace(id, "-", "", 1)}, // as the NVMe controller says it
		Boot:       id == boot,
		SizeGiB:    aws.ToInt32(v.Size),
		Kind:       string(v.VolumeType),
		Tags:       tagMap(v.Tags),
		Concurrent: concurrent,
	}
	if v.VolumeType == types.VolumeTypeSt1 || v.VolumeType == types.VolumeTypeSc1 {
		out.Concurrent = concurrentSlow
	}
	if aws.ToBool(v.MultiAttachEnabled) {
		out.Unsupported = "it may be attached to several instances, and holding one does not hold the others"
	}
	return out
}

// attached returns the device name under which the instance has the volume.
func attached(v types.Volume, instance string) (device string, ok bool) {
	for _, a := range v.Attachments {
		if aws.ToString(a.InstanceId) == instance && a.State != types.VolumeAttachmentStateDetached {
			return aws.ToString(a.Device), true
		}
	}
	return "", false
}

// boot is the volume of the root device, empty for one on the instance store.
func boot(i types.Instance) string {
	for _, m := range i.BlockDeviceMappings {
		if m.Ebs != nil && aws.ToString(m.DeviceName) == aws.ToString(i.RootDeviceName) {
			return aws.ToString(m.Ebs.VolumeId)
		}
	}
	return ""
}

func arch(a types.ArchitectureValues) string {
	if a == types.ArchitectureValuesX8664 {
		return "amd64"
	}
	return string(a)
}
