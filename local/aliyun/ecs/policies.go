package ecs

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// policy is an automatic snapshot policy. That it is carried out is not
// emulated.
type policy struct {
	id, name, hours, days string
	retention             int
	tags                  map[string]string
	created               time.Time
}

// createPolicy reads the lower-case names that the service has for this API
// alone.
func (e *ECS) createPolicy(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	tags, err := p.Tags()
	if err == nil {
		err = p.Required("timePoints", "repeatWeekdays", "retentionDays")
	}
	if err == nil {
		err = numbers(p, "timePoints", 0, 23, 24)
	}
	if err == nil {
		err = numbers(p, "repeatWeekdays", 1, 7, 7)
	}
	if err != nil {
		return nil, err
	}
	retention, err := strconv.Atoi(p.Text("retentionDays"))
	if err != nil || retention != -1 && (retention < 1 || retention > 65535) {
		return nil, wire.Bad("InvalidParameter.RetentionDays", "The specified retentionDays is not valid.")
	}
	name := p.Text("autoSnapshotPolicyName")
	if n := len([]rune(name)); name != "" && (n < 2 || n > 128 || strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")) {
		return nil, wire.Bad("InvalidParameter.AutoSnapshotPolicyName", "The specified name is wrongly formed.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.policies) >= 100 {
		return nil, forbidden("QuotaExceed.AutoSnapshotPolicy", "The quota of automatic snapshot policies exceeds.")
	}
	made := &policy{id: e.id("sp-"), name: name, hours: p.Text("timePoints"), days: p.Text("repeatWeekdays"), retention: retention, tags: tags, created: time.Now()}
	e.policies[made.id] = made
	e.order = append(e.order, made.id)
	return map[string]any{"AutoSnapshotPolicyId": made.id}, nil
}

// numbers checks a JSON list of numbers that travel as strings.
func numbers(p rpc.Params, name string, from, to, most int) error {
	var list []string
	bad := wire.Bad("InvalidParameter."+strings.ToUpper(name[:1])+name[1:], "The specified %s is not valid.", name)
	if json.Unmarshal([]byte(p.Text(name)), &list) != nil || len(list) == 0 || len(list) > most {
		return bad
	}
	for _, text := range list {
		if n, err := strconv.Atoi(text); err != nil || n < from || n > to {
			return bad
		}
	}
	return nil
}

func (e *ECS) policy(id string) (*policy, error) {
	p := e.policies[id]
	if p == nil {
		return nil, missing("InvalidAutoSnapshotPolicyId.NotFound", "AutoSnapshotPolicyId", id)
	}
	return p, nil
}

func (e *ECS) applyPolicy(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	ids, err := p.JSON("diskIds", 100)
	if err == nil {
		err = p.Required("autoSnapshotPolicyId", "diskIds")
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	policy, err := e.policy(p.Text("autoSnapshotPolicyId"))
	if err != nil {
		return nil, err
	}
	return nil, e.follow(ids, policy.id)
}

func (e *ECS) cancelPolicy(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	ids, err := p.JSON("diskIds", 100)
	if err == nil {
		err = p.Required("diskIds")
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return nil, e.follow(ids, "")
}

// follow lets all of the disks follow a policy, or none of them.
func (e *ECS) follow(ids []string, policy string) error {
	for _, id := range ids {
		if _, err := e.disk(id); err != nil {
			return err
		}
	}
	for _, id := range ids {
		e.disks[id].policy = policy
	}
	return nil
}

func (e *ECS) deletePolicy(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	policy, err := e.policy(p.Text("autoSnapshotPolicyId"))
	if err != nil {
		return nil, err
	}
	for _, d := range e.disks {
		if d.policy == policy.id {
			d.policy = ""
		}
	}
	delete(e.policies, policy.id)
	return nil, nil
}

func (e *ECS) describePolicies(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	number, err := p.Number("PageNumber", 1, 1, 1<<20)
	size, err2 := p.Number("PageSize", 10, 1, 100)
	if err == nil {
		err = err2
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []*policy
	for _, id := range e.order {
		if one := e.policies[id]; one != nil && (p.Text("AutoSnapshotPolicyId") == "" || p.Text("AutoSnapshotPolicyId") == id) && p.Tagged(one.tags) {
			found = append(found, one)
		}
	}
	from := min((number-1)*size, len(found))
	list := []any{}
	for _, one := range found[from:min(from+size, len(found))] {
		disks := 0
		for _, d := range e.disks {
			if d.policy == one.id {
				disks++
			}
		}
		list = append(list, map[string]any{
			"AutoSnapshotPolicyId": one.id, "AutoSnapshotPolicyName": one.name, "TimePoints": one.hours, "RepeatWeekdays": one.days,
			"RetentionDays": one.retention, "DiskNums": disks, "Status": "Normal", "Type": "Custom", "RegionId": e.cfg.Region,
			"CreationTime": rpc.Stamp(one.created), "Tags": rpc.Prefixed.Render(one.tags),
		})
	}
	return map[string]any{
		"AutoSnapshotPolicies": map[string]any{"AutoSnapshotPolicy": list}, "TotalCount": len(found), "PageNumber": number, "PageSize": size,
	}, nil
}
