package alicloud

import (
	"cmp"
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
// tags, which a list of groups need not show. Of several of one name it is the
// last.
func (p *Provider) Group(ctx context.Context, id, instanceID, name string) (*cloud.Group, error) {
	found, err := p.look(ctx, id, instanceID, name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	g := found[len(found)-1]
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
	group := shown(g)
	for i, m := range group.Members {
		if s, ok := own[m.ID]; ok {
			maps.Copy(m.Tags, tagMap(s.Tags.Tag))
			group.Members[i].State, group.Members[i].Progress = state(s.Status), s.Progress
		}
	}
	return &group, nil
}

// Named lists the groups of an instance that carry the name.
func (p *Provider) Named(ctx context.Context, instanceID, name string) ([]cloud.Group, error) {
	found, err := p.look(ctx, "", instanceID, name)
	groups := make([]cloud.Group, len(found))
	for i, g := range found {
		groups[i] = shown(g)
	}
	return groups, err
}

// look lists groups by the id, or by the name where that is empty.
func (p *Provider) look(ctx context.Context, id, instanceID, name string) ([]ecs.SnapshotGroup, error) {
	groups, err := p.groups(ctx, func(r *ecs.DescribeSnapshotGroupsRequest) {
		if id != "" {
			r.SnapshotGroupId = &[]string{id}
			return
		}
		r.InstanceId, r.Name = instanceID, name
	})
	groups = slices.DeleteFunc(groups, func(g ecs.SnapshotGroup) bool { return id == "" && g.Name != name })
	return groups, translate(err, "look for the group %s", cmp.Or(id, name))
}

// shown is a group as a list of groups shows it.
func shown(g ecs.SnapshotGroup) cloud.Group {
	group := cloud.Group{ID: g.SnapshotGroupId}
	for i, m := range membersOf(g) {
		group.Members = append(group.Members, cloud.TaggedSnapshot{
			Snapshot: m, Tags: tagMap(g.Snapshots.Snapshot[i].Tags.Tag), StartedAt: moment(g.CreationTime),
		})
	}
	return group
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
