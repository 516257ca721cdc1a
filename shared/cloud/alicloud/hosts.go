package alicloud

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// groupTag is what Auto Scaling writes on its instances: it releases a stopped
// one and makes another in its place.
const groupTag = "acs:autoscaling:scalingGroupId"

// hostStates translates; what is absent no restore can work with.
var hostStates = map[string]cloud.HostState{
	"Pending":  cloud.HostStarting,
	"Starting": cloud.HostStarting,
	running:    cloud.HostRunning,
	"Stopping": cloud.HostStopping,
	"Stopped":  cloud.HostStopped,
}

// keepCharging is the way of stopping after which an instance is sure to start
// again, and the only one in which a disk can be set back.
const keepCharging = "KeepCharging"

// attachments are the names that the service gives data disks.
func attachments() (names []string) {
	for c := 'b'; c <= 'z'; c++ {
		names = append(names, "/dev/xvd"+string(c))
	}
	return names
}

// Host asks for the instance and for its disks.
func (p *Provider) Host(ctx context.Context, id string) (cloud.Host, error) {
	i, err := p.describe(ctx, id)
	if err != nil {
		return cloud.Host{}, err
	}
	found, err := p.disks(ctx, func(r *ecs.DescribeDisksRequest) { r.InstanceId = id })
	if err != nil {
		return cloud.Host{}, translate(err, "list the disks of %s", id)
	}
	h := cloud.Host{
		ID: id, Target: run.Target{Provider: run.Aliyun, Region: p.cfg.Region, InstanceID: id}, State: hostStates[i.Status], Zone: i.ZoneId,
		Tags: tagMap(i.Tags.Tag), Names: attachments(), Usual: usualCategory,
	}
	h.Managed = h.Tags[groupTag]
	for _, d := range found {
		if d.Type == "system" {
			h.Root, h.Ephemeral = d.Device, strings.HasPrefix(d.Category, "local_") || d.Category == "ephemeral_ssd"
		}
		h.Disks = append(h.Disks, disk(d))
	}
	return h, nil
}

// Stop lets the instance's system shut down and keeps its place.
func (p *Provider) Stop(ctx context.Context, instance string) error {
	request, response := ecs.CreateStopInstanceRequest(), ecs.CreateStopInstanceResponse()
	request.InstanceId, request.StoppedMode, request.ForceStop = instance, keepCharging, requests.NewBoolean(false)
	return p.turn(ctx, instance, request, response, "stop", cloud.HostStopping, cloud.HostStopped)
}

// Start starts it with whatever is attached to it.
func (p *Provider) Start(ctx context.Context, instance string) error {
	request, response := ecs.CreateStartInstanceRequest(), ecs.CreateStartInstanceResponse()
	request.InstanceId = instance
	return p.turn(ctx, instance, request, response, "start", cloud.HostStarting, cloud.HostRunning)
}

// turn takes a refusal for its state for done if the instance is there, or on
// its way: the service refuses both.
func (p *Provider) turn(ctx context.Context, instance string, request requests.AcsRequest, response answer, verb string, there ...cloud.HostState) error {
	err := p.call(ctx, "ecs", request, response)
	if err == nil {
		return nil
	}
	if hasCode(err, "IncorrectInstanceStatus") {
		if i, asked := p.describe(ctx, instance); asked == nil && slices.Contains(there, hostStates[i.Status]) {
			return nil
		}
	}
	if hasCode(err, "IncorrectDiskStatus") { // of a disk that is being set back
		return fault.Wrap(fault.VolumeBusy, err, "%s %s", verb, instance)
	}
	return translate(err, "%s %s", verb, instance)
}

// Sources asks for groups by the run's tag, and for what is not told of a
// group's members by their ids.
func (p *Provider) Sources(ctx context.Context, runID string) ([]cloud.Source, error) {
	set, err := p.FindSet(ctx, runID)
	if err != nil {
		return nil, err
	}
	return p.sources(ctx, set)
}

func (p *Provider) sources(ctx context.Context, set []cloud.TaggedSnapshot) ([]cloud.Source, error) {
	ids := make([]string, len(set))
	for i, s := range set {
		ids[i] = s.ID
	}
	by, err := p.byID(ctx, ids)
	if err != nil {
		return nil, translate(err, "look at %d snapshots", len(ids))
	}
	all := make([]cloud.Source, len(set))
	for i, s := range set {
		of := by[s.ID]
		all[i] = cloud.Source{ID: s.ID, VolumeID: s.VolumeID, State: s.State, StartedAt: s.StartedAt, SizeGiB: int32(gib(of)), Archived: of.Category == archived, Tags: s.Tags}
		if of.Encrypted {
			all[i].Key = cmp.Or(of.KMSKeyId, "the service's own key")
		}
	}
	together(all)
	return all, nil
}

// together gives the members that the plug-in's group has dated one by one the
// time of the first: they are of one call, and of one moment.
func together(set []cloud.Source) {
	if len(set) == 0 {
		return
	}
	order := func(a, b cloud.Source) int { return a.StartedAt.Compare(b.StartedAt) }
	first, last := slices.MinFunc(set, order).StartedAt, slices.MaxFunc(set, order).StartedAt
	for i := range set {
		if last.Sub(first) <= time.Minute {
			set[i].StartedAt = first
		}
	}
}

// byID describes snapshots; one that does not exist is left out.
func (p *Provider) byID(ctx context.Context, ids []string) (map[string]ecs.Snapshot, error) {
	by := make(map[string]ecs.Snapshot, len(ids))
	for some := range slices.Chunk(ids, perPage) {
		found, err := p.snapshots(ctx, func(r *ecs.DescribeSnapshotsRequest) { r.SnapshotIds = list(some) })
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			by[s.SnapshotId] = s
		}
	}
	return by, nil
}

// gib is the size of a snapshot's disk: a number, whatever its type on the wire.
func gib(s ecs.Snapshot) int64 {
	n, _ := strconv.ParseInt(s.SourceDiskSize, 10, 32)
	return n
}

// MarkDisks puts the tags on all of them.
func (p *Provider) MarkDisks(ctx context.Context, ids []string, tags map[string]string) error {
	if len(tags) == 0 {
		return nil
	}
	return aboutDisk(p.tag(ctx, "disk", ids, tags), "mark %d disks", len(ids))
}

// UnmarkDisks takes the tags off whatever they say.
func (p *Provider) UnmarkDisks(ctx context.Context, ids []string, keys []string) error {
	return p.untag(ctx, "disk", ids, keys)
}

func (p *Provider) untag(ctx context.Context, kind string, ids, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	for some := range slices.Chunk(ids, perTagging) {
		request, response := ecs.CreateUntagResourcesRequest(), ecs.CreateUntagResourcesResponse()
		request.ResourceType, request.ResourceId, request.TagKey = kind, &some, &keys
		if err := p.call(ctx, "ecs", request, response); err != nil {
			return aboutDisk(err, "unmark %d resources of the kind %s", len(ids), kind)
		}
	}
	return nil
}

// tag writes tags on resources of one kind.
func (p *Provider) tag(ctx context.Context, kind string, ids []string, tags map[string]string) error {
	var pairs []ecs.TagResourcesTag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		pairs = append(pairs, ecs.TagResourcesTag{Key: key, Value: clip(tags[key], maxTagValue)})
	}
	for some := range slices.Chunk(ids, perTagging) {
		request, response := ecs.CreateTagResourcesRequest(), ecs.CreateTagResourcesResponse()
		request.ResourceType, request.ResourceId, request.Tag = kind, &some, &pairs
		if err := p.call(ctx, "ecs", request, response); err != nil {
			return err
		}
	}
	return nil
}
