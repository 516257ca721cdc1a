package awscloud

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/run"
)

// groupTag is what Auto Scaling writes on its instances: it ends a stopped one
// and starts another in its place.
const groupTag = "aws:autoscaling:groupName"

// attachments are the names that EC2 recommends for data volumes.
func attachments() (names []string) {
	for c := 'f'; c <= 'p'; c++ {
		names = append(names, "/dev/sd"+string(c))
	}
	return names
}

// hostStates translates; what is absent no restore can work with.
var hostStates = map[types.InstanceStateName]cloud.HostState{
	types.InstanceStateNamePending:  cloud.HostStarting,
	types.InstanceStateNameRunning:  cloud.HostRunning,
	types.InstanceStateNameStopping: cloud.HostStopping,
	types.InstanceStateNameStopped:  cloud.HostStopped,
}

// Host asks for the instance and for its volumes.
func (p *Provider) Host(ctx context.Context, id string) (cloud.Host, error) {
	i, err := p.instance(ctx, id)
	if err != nil {
		return cloud.Host{}, err
	}
	h := cloud.Host{ID: id, Target: run.Target{Provider: "aws", Region: p.region, InstanceID: id}, Root: aws.ToString(i.RootDeviceName), Tags: tagMap(i.Tags), Ephemeral: i.RootDeviceType == types.DeviceTypeInstanceStore}
	h.Managed, h.Names, h.Usual = h.Tags[groupTag], attachments(), string(usualKind)
	if i.State != nil {
		h.State = hostStates[i.State.Name]
	}
	if i.Placement != nil {
		h.Zone = aws.ToString(i.Placement.AvailabilityZone)
	}
	h.Disks, err = p.disks(ctx, filter("attachment.instance-id", id))
	return h, translate(err, "list the volumes of %s", id)
}

// Stop lets the instance's system shut down.
func (p *Provider) Stop(ctx context.Context, instance string) error {
	_, err := p.ec2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{instance}})
	return translate(err, "stop %s", instance)
}

// Start starts it with whatever is attached to it.
func (p *Provider) Start(ctx context.Context, instance string) error {
	_, err := p.ec2.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{instance}})
	return translate(err, "start %s", instance)
}

// Sources asks by the run's tag among the account's own snapshots.
func (p *Provider) Sources(ctx context.Context, runID string) ([]cloud.Source, error) {
	found, err := p.describe(ctx, filter("tag:"+cloud.TagRun, runID))
	if err != nil {
		return nil, translate(err, "find the set of run %s", runID)
	}
	set := make([]cloud.Source, len(found))
	for i, s := range found {
		set[i] = cloud.Source{
			ID: aws.ToString(s.SnapshotId), VolumeID: aws.ToString(s.VolumeId), State: state(s.State), StartedAt: aws.ToTime(s.StartTime),
			SizeGiB: aws.ToInt32(s.VolumeSize), Archived: s.StorageTier == types.StorageTierArchive, Tags: tagMap(s.Tags),
		}
		if aws.ToBool(s.Encrypted) {
			set[i].Key = aws.ToString(s.KmsKeyId)
		}
	}
	return set, nil
}
