package alicloud

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

var _ cloud.Plugin = (*Provider)(nil)

// Run sends a text as it is: whoever made it has checked it. An attempt whose
// answer was lost is the same command by its token.
func (p *Provider) Run(ctx context.Context, s cloud.Shell) (string, error) {
	request, response := ecs.CreateRunCommandRequest(), ecs.CreateRunCommandResponse()
	request.Type = "RunShellScript"
	if s.Windows {
		request.Type = "RunBatScript"
	}
	request.ContentEncoding = "Base64"
	request.CommandContent = base64.StdEncoding.EncodeToString([]byte(s.Content))
	request.InstanceId = &[]string{s.InstanceID}
	request.Name = clip(s.Name, maxName)
	request.Timeout = requests.NewInteger(min(max(s.TimeoutSecs, minExecution), maxExecution))
	request.RepeatMode = "Once"
	if s.DryRun {
		request.RepeatMode = "DryRun"
	} else {
		request.ClientToken = s.Token
	}
	if n := len(request.CommandContent); n > maxContent {
		return "", fault.Input("command.content", "makes a command of %d bytes, of %d that Cloud Assistant takes", n, maxContent)
	}
	err := p.call(ctx, "ecs", request, response)
	switch {
	case s.DryRun && hasCode(err, "DryRunOperation"):
		return "", nil
	case codeOf(err) == fault.InstanceNotFound, hasCode(err, "InvalidInstance.ClientNotRunning"):
		return "", fault.Wrap(fault.AgentOffline, err, "run %s on %s", s.Name, s.InstanceID)
	}
	return response.InvokeId, translate(err, "run %s on %s", s.Name, s.InstanceID)
}

// Group reads one group with what is written on each of its members: their own
// tags, which a list of groups need not show.
func (p *Provider) Group(ctx context.Context, id, instanceID, name string) (*cloud.Group, error) {
	groups, err := p.groups(ctx, func(r *ecs.DescribeSnapshotGroupsRequest) {
		if id != "" {
			r.SnapshotGroupId = &[]string{id}
			return
		}
		r.InstanceId, r.Name = instanceID, name
	})
	groups = slices.DeleteFunc(groups, func(g ecs.SnapshotGroup) bool { return id == "" && g.Name != name })
	if err != nil || len(groups) == 0 {
		return nil, translate(err, "look for the group %s%s", id, name)
	}
	g := groups[len(groups)-1]
	members := membersOf(g)
	ids := make([]string, len(members))
	for i, m := range members {
		ids[i] = m.ID
	}
	if len(ids) == 0 {
		return &cloud.Group{ID: g.SnapshotGroupId}, nil
	}
	seen, err := p.snapshots(ctx, func(r *ecs.DescribeSnapshotsRequest) { r.SnapshotIds = list(ids) })
	if err != nil {
		return nil, translate(err, "read the tags of the group %s", g.SnapshotGroupId)
	}
	own := map[string]ecs.Snapshot{}
	for _, s := range seen {
		own[s.SnapshotId] = s
	}
	found := &cloud.Group{ID: g.SnapshotGroupId}
	for i, m := range members {
		tags := tagMap(g.Snapshots.Snapshot[i].Tags.Tag)
		if s, ok := own[m.ID]; ok {
			maps.Copy(tags, tagMap(s.Tags.Tag))
			m.State, m.Progress = state(s.Status), s.Progress
		}
		found.Members = append(found.Members, cloud.TaggedSnapshot{Snapshot: m, Tags: tags, StartedAt: moment(g.CreationTime)})
	}
	return found, nil
}

// Role asks for the RAM role that the instance has.
func (p *Provider) Role(ctx context.Context, instanceID string) (string, error) {
	request, response := ecs.CreateDescribeInstanceRamRoleRequest(), ecs.CreateDescribeInstanceRamRoleResponse()
	request.InstanceIds = list([]string{instanceID})
	if err := p.call(ctx, "ecs", request, response); err != nil {
		return "", translate(err, "ask for the role of %s", instanceID)
	}
	for _, r := range response.InstanceRamRoleSets.InstanceRamRoleSet {
		if r.InstanceId == instanceID {
			return r.RamRoleName, nil
		}
	}
	return "", nil
}
