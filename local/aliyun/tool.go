package aliyun

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/plugin"
)

// Tool puts the stand-in for acs-plugin-manager on a machine that is rented as
// id: what it calls, it calls as the instance.
func (c *Cloud) Tool(id string, m instance.Machine, host plugin.Host, windows bool) *plugin.Machine {
	return &plugin.Machine{Machine: m, ID: id, Host: host, Account: inside{c}, Faults: c.cfg.Faults, Windows: windows}
}

// inside is the account as an instance reaches it with its own role.
type inside struct{ c *Cloud }

func (i inside) Role(id string) string {
	described, _ := i.c.ECS.Describe(id)
	return described.Role
}

func (i inside) Group(ctx context.Context, id, name string, exclude []string) (string, []string, error) {
	form := url.Values{"InstanceId": {id}, "Name": {name}}
	for n, disk := range exclude {
		form.Set("ExcludeDiskId."+strconv.Itoa(n+1), disk)
	}
	var made struct{ SnapshotGroupId string }
	if err := i.do(ctx, "CreateSnapshotGroup", form, &made); err != nil {
		return "", nil, err
	}
	var seen struct {
		SnapshotGroups struct {
			SnapshotGroup []struct {
				Snapshots struct {
					Snapshot []struct{ SnapshotId string }
				}
			}
		}
	}
	if err := i.do(ctx, "DescribeSnapshotGroups", url.Values{"SnapshotGroupId.1": {made.SnapshotGroupId}}, &seen); err != nil {
		return made.SnapshotGroupId, nil, err
	}
	var members []string
	for _, g := range seen.SnapshotGroups.SnapshotGroup {
		for _, s := range g.Snapshots.Snapshot {
			members = append(members, s.SnapshotId)
		}
	}
	return made.SnapshotGroupId, members, nil
}

func (i inside) Write(ctx context.Context, members []string, key, value string) error {
	form := url.Values{"ResourceType": {"snapshot"}, "Tag.1.Key": {key}, "Tag.1.Value": {value}}
	for n, id := range members {
		form.Set("ResourceId."+strconv.Itoa(n+1), id)
	}
	return i.do(ctx, "TagResources", form, nil)
}

// do is one call of ECS from inside, with the faults and the latency of any.
func (i inside) do(ctx context.Context, action string, form url.Values, into any) error {
	call := &wire.Call{Service: "ecs", Action: action, Step: fault.PluginTarget, Role: plugin.Label, Form: form}
	reply, err := i.c.Inside(ctx, call, i.c.ECS)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(reply.Body, into)
}
