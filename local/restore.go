package local

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	port "github.com/quiesce/quiesce/shared/cloud"
)

// restore makes new volumes of a whole set and attaches them, as an operator
// does: the set is found by its run, and refused if a member is missing. The
// result is in the order of the volumes that the set was taken of.
func (a *account) restore(ctx context.Context, runID string, of []member) ([]member, error) {
	source, err := a.set(ctx, runID, len(of))
	if err != nil {
		return nil, err
	}
	zone, err := a.zone(ctx)
	if err != nil {
		return nil, err
	}
	restored := make([]member, len(of))
	for i, v := range of {
		snapshot, ok := source[v.id]
		if !ok {
			return nil, fmt.Errorf("the set is not whole: it has no snapshot of %s", v.id)
		}
		made, err := a.ec2.CreateVolume(ctx, &awsec2.CreateVolumeInput{
			SnapshotId: &snapshot, AvailabilityZone: &zone, VolumeType: types.VolumeTypeGp3,
		})
		if err != nil {
			return nil, fmt.Errorf("create a volume of %s: %w", snapshot, err)
		}
		if err := awsec2.NewVolumeAvailableWaiter(a.ec2, func(o *awsec2.VolumeAvailableWaiterOptions) {
			o.MinDelay, o.MaxDelay = 20*time.Millisecond, time.Second
		}).Wait(ctx, &awsec2.DescribeVolumesInput{VolumeIds: []string{*made.VolumeId}}, time.Minute); err != nil {
			return nil, fmt.Errorf("wait for %s: %w", *made.VolumeId, err)
		}
		if _, err := a.ec2.AttachVolume(ctx, &awsec2.AttachVolumeInput{
			VolumeId: made.VolumeId, InstanceId: aws.String(instanceID), Device: aws.String(fmt.Sprintf("/dev/sd%c", 'f'+i)),
		}); err != nil {
			return nil, fmt.Errorf("attach %s: %w", *made.VolumeId, err)
		}
		restored[i] = member{*made.VolumeId, a.cloud.EC2.Path(*made.VolumeId)}
	}
	return restored, nil
}

// visible is how long a set that is complete may be missing from a list.
const visible = 10 * time.Second

// set finds the completed snapshots of a run, by the volumes they are of. It
// asks again while some are missing, because a list lags behind.
func (a *account) set(ctx context.Context, runID string, members int) (map[string]string, error) {
	for give := time.Now().Add(visible); ; {
		found, err := a.ec2.DescribeSnapshots(ctx, &awsec2.DescribeSnapshotsInput{
			OwnerIds: []string{"self"},
			Filters:  []types.Filter{{Name: aws.String("tag:" + port.TagRun), Values: []string{runID}}},
		})
		if err != nil {
			return nil, fmt.Errorf("find the set: %w", err)
		}
		source := map[string]string{}
		for _, s := range found.Snapshots {
			if s.State != types.SnapshotStateCompleted {
				return nil, fmt.Errorf("the set is not whole: %s is %s", *s.SnapshotId, s.State)
			}
			source[*s.VolumeId] = *s.SnapshotId
		}
		if len(source) >= members || time.Now().After(give) {
			return source, nil
		}
		if err := rest(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (a *account) zone(ctx context.Context) (string, error) {
	volumes, err := a.ec2.DescribeVolumes(ctx, &awsec2.DescribeVolumesInput{VolumeIds: []string{rootVolume}})
	if err != nil || len(volumes.Volumes) != 1 {
		return "", fmt.Errorf("find the zone of the instance: %w", err)
	}
	return *volumes.Volumes[0].AvailabilityZone, nil
}

// names sorts the keys of a count.
func names[V any](counts map[string]V) []string {
	list := make([]string, 0, len(counts))
	for n := range counts {
		list = append(list, n)
	}
	sort.Strings(list)
	return list
}
