package windows

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
)

// Account is the instance's own way to EC2, by its profile.
type Account struct{ EC2 *ec2.Client }

// made is one snapshot as the component knows it.
type made struct{ id, volume, device string }

// snapshots makes one call, as the newest components do, tagged at creation.
func (a Account) snapshots(ctx context.Context, instanceID, description string, excludeBoot bool, without string, tags map[string]string) ([]made, error) {
	spec := &types.InstanceSpecification{InstanceId: aws.String(instanceID), ExcludeBootVolume: aws.Bool(excludeBoot)}
	if without != "" {
		spec.ExcludeDataVolumeIds = []string{without}
	}
	out, err := a.EC2.CreateSnapshots(ctx, &ec2.CreateSnapshotsInput{
		Description: aws.String(description), InstanceSpecification: spec,
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: list(tags)}},
	})
	if err != nil {
		return nil, err
	}
	devices, err := a.devices(ctx, instanceID)
	if err != nil {
		return nil, err
	}
	var set []made
	for _, s := range out.Snapshots {
		set = append(set, made{aws.ToString(s.SnapshotId), aws.ToString(s.VolumeId), devices[aws.ToString(s.VolumeId)]})
	}
	return set, nil
}

// devices are the instance's attached volumes.
func (a Account) devices(ctx context.Context, instanceID string) (map[string]string, error) {
	out, err := a.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{instanceID}})
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			for _, d := range i.BlockDeviceMappings {
				if d.Ebs != nil {
					found[aws.ToString(d.Ebs.VolumeId)] = aws.ToString(d.DeviceName)
				}
			}
		}
	}
	return found, nil
}

// disk is an attached volume as Windows sees it, and where what is on it came
// from.
type disk struct {
	boot   bool
	source string    // the volume whose snapshot it is made of; empty: it was made empty
	taken  time.Time // when that snapshot was
}

// disks are the instance's. What lies on one is what its origin held when its
// snapshot was taken, which is the account's to know.
func (a Account) disks(ctx context.Context, instanceID string) (map[string]disk, error) {
	devices, err := a.devices(ctx, instanceID)
	if err != nil {
		return nil, err
	}
	machines, err := a.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{instanceID}})
	if err != nil {
		return nil, err
	}
	root := ""
	for _, r := range machines.Reservations {
		for _, i := range r.Instances {
			root = aws.ToString(i.RootDeviceName)
		}
	}
	found := map[string]disk{}
	for volume, device := range devices {
		out, err := a.EC2.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{volume}})
		if err != nil {
			return nil, err
		}
		d := disk{boot: device == root}
		if snapshot := aws.ToString(out.Volumes[0].SnapshotId); snapshot != "" {
			from, err := a.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{snapshot}})
			if err != nil {
				return nil, err
			}
			d.source, d.taken = aws.ToString(from.Snapshots[0].VolumeId), aws.ToTime(from.Snapshots[0].StartTime)
		}
		found[volume] = d
	}
	return found, nil
}

func (a Account) tag(ctx context.Context, id string, tags map[string]string) error {
	_, err := a.EC2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: list(tags)})
	return err
}

func list(tags map[string]string) (all []types.Tag) {
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		all = append(all, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return all
}

// codeOf is EC2's error code, as PowerShell prints it.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return "the EC2 API did not answer"
}
