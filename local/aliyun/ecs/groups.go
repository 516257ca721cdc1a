package ecs

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// Limits of one group.
const (
	maxMembers = 16
	maxGiB     = 32 << 10
)

type group struct {
	id, instance, name, description string
	tags                            map[string]string
	members                         []string
	created                         time.Time
	token, params                   string
}

// essd are the categories that a group takes.
var essd = []string{"cloud_essd", "cloud_auto", "cloud_essd_entry", "cloud_regional_disk_auto"}

func (e *ECS) createGroup(ctx context.Context, c *wire.Call, p rpc.Params) (map[string]any, error) {
	tags, err := p.Tags()
	if err == nil {
		err = p.Required("InstanceId")
	}
	if err == nil && len(p.List("DiskId")) > 0 && len(p.List("ExcludeDiskId")) > 0 {
		err = wire.Bad("InvalidParameter.Conflict", "DiskId and ExcludeDiskId cannot be specified at the same time.")
	}
	if err == nil {
		err = groupName(p.Text("Name"))
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	if g := e.byToken(p); g != nil {
		defer e.mu.Unlock()
		if g.params != fingerprint(p) {
			return nil, wire.Bad("IdempotentParameterMismatch", "The request uses the same client token as a previous, but non-identical request.")
		}
		return map[string]any{"SnapshotGroupId": g.id}, nil
	}
	disks, err := e.chosen(p)
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	set := e.reserve(disks, p.Text("Description"), c.Planned.ErrorSet)
	g := &group{
		id: e.id("ssg-"), instance: p.Text("InstanceId"), name: p.Text("Name"), description: p.Text("Description"), tags: tags,
		created: set[0].started, token: p.Text("ClientToken"), params: fingerprint(p),
	}
	for _, s := range set {
		s.group, g.members = g.id, append(g.members, s.id)
	}
	e.groups[g.id] = g
	e.order = append(e.order, g.id)
	e.mu.Unlock()
	if err := e.take(ctx, set); err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.forget(g.id)
		return nil, err
	}
	return map[string]any{"SnapshotGroupId": g.id}, nil
}

func groupName(name string) error {
	if name == "" {
		return nil
	}
	first := name[0] | 0x20
	if n := len([]rune(name)); n < 2 || n > 128 || first < 'a' || first > 'z' || strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		return wire.Bad("InvalidName.Malformed", "The specified Name is wrongly formed.")
	}
	return nil
}

func (e *ECS) byToken(p rpc.Params) *group {
	for _, g := range e.groups {
		if g.token != "" && g.token == p.Text("ClientToken") {
			return g
		}
	}
	return nil
}

// fingerprint is what a repeated request must have in common with the first.
func fingerprint(p rpc.Params) string {
	return strings.Join(slices.Concat([]string{p.Text("InstanceId"), p.Text("Name")}, p.List("DiskId"), []string{"-"}, p.List("ExcludeDiskId")), " ")
}

// chosen returns the disks of a group: those that are named, or all that are
// attached but for those left out.
func (e *ECS) chosen(p rpc.Params) ([]*disk, error) {
	m, err := e.machine(p.Text("InstanceId"))
	if err != nil {
		return nil, err
	}
	if m.State != running && m.State != stopped {
		return nil, forbidden("IncorrectInstanceStatus", "The current status of the resource does not support this operation.")
	}
	named, left := p.List("DiskId"), p.List("ExcludeDiskId")
	for _, id := range slices.Concat(named, left) {
		d, err := e.disk(id)
		if err != nil {
			return nil, err
		}
		if d.Instance != m.ID {
			return nil, forbidden("IncorrectDiskStatus", "The disk %s is not attached to the instance.", id)
		}
	}
	var disks []*disk
	var size int64
	zonal, zoneless := false, false
	for _, d := range e.attachedTo(m.ID) {
		if len(named) > 0 && !slices.Contains(named, d.ID) || slices.Contains(left, d.ID) {
			continue
		}
		switch {
		case !slices.Contains(essd, d.Category) || d.MultiAttach:
			return nil, forbidden("DiskCategory.OperationNotSupported", "The type of the disk %s does not support the operation.", d.ID)
		case d.Category == "cloud_regional_disk_auto":
			zoneless = true
		default:
			zonal = true
		}
		if err := e.snapshotable(d); err != nil {
			return nil, err
		}
		disks, size = append(disks, d), size+d.gib()
	}
	switch {
	case len(disks) == 0:
		return nil, wire.Bad("InvalidParameter.ExcludeDiskId", "All disks of the instance are excluded.")
	case len(disks) > maxMembers || size > maxGiB:
		return nil, forbidden("QuotaExceed.SnapshotGroup", "A snapshot-consistent group holds at most %d disks of %d GiB.", maxMembers, maxGiB)
	case zonal && zoneless:
		return nil, forbidden("DiskCategory.OperationNotSupported", "Zone-redundant disks can be grouped among themselves only.")
	}
	return disks, nil
}

func (e *ECS) describeGroups(_ context.Context, c *wire.Call, p rpc.Params) (map[string]any, error) {
	asked, states := p.List("SnapshotGroupId"), p.List("Status")
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	var found []*group
	for _, id := range e.order {
		g := e.groups[id]
		switch {
		case g == nil,
			len(asked) > 0 && !slices.Contains(asked, id),
			len(asked) == 0 && now.Sub(g.created) < e.cfg.Visible,
			p.Text("InstanceId") != "" && g.instance != p.Text("InstanceId"),
			p.Text("Name") != "" && g.name != p.Text("Name"),
			len(states) > 0 && !slices.Contains(states, e.groupState(g, now)),
			!p.Tagged(g.tags):
			continue
		}
		found = append(found, g)
	}
	from, to, next, err := p.Page(len(found), 10, 100)
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, g := range found[from:to] {
		members := []any{}
		for _, id := range g.members {
			if s := e.snapshots[id]; s != nil && !(c.Planned.Wrong && id == g.members[len(g.members)-1]) { // one that lags behind lacks some
				members = append(members, map[string]any{
					"SnapshotId": id, "SourceDiskId": s.disk, "SourceDiskType": kind(s.system), "Progress": s.progress(now),
					"Available": s.available(now), "Tags": rpc.Plain.Render(s.tags),
				})
			}
		}
		list = append(list, map[string]any{
			"SnapshotGroupId": g.id, "InstanceId": g.instance, "Name": g.name, "Description": g.description, "Status": e.groupState(g, now),
			"CreationTime": rpc.Stamp(g.created), "ProgressStatus": "", "Tags": rpc.Plain.Render(g.tags), "Snapshots": map[string]any{"Snapshot": members},
		})
	}
	return map[string]any{"SnapshotGroups": map[string]any{"SnapshotGroup": list}, "NextToken": next}, nil
}

func (e *ECS) groupState(g *group, now time.Time) string {
	state := accomplished
	for _, id := range g.members {
		if s := e.snapshots[id]; s != nil && s.state(now) != accomplished {
			if state = s.state(now); state == failed {
				return failed
			}
		}
	}
	return state
}

// deleteGroup leaves alone what images were made of.
func (e *ECS) deleteGroup(ctx context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	e.mu.Lock()
	g := e.groups[p.Text("SnapshotGroupId")]
	if g == nil {
		e.mu.Unlock()
		return nil, missing("InvalidSnapshotGroupId.NotFound", "SnapshotGroupId", p.Text("SnapshotGroupId"))
	}
	for _, id := range g.members {
		if s := e.snapshots[id]; s != nil && (len(s.shared) > 0 || time.Now().Before(s.locked)) {
			e.mu.Unlock()
			return nil, e.held(s)
		}
	}
	var gone []*snapshot
	for _, id := range g.members {
		if s := e.snapshots[id]; s != nil && len(e.imagesOf(id)) == 0 {
			gone = append(gone, s)
			e.forget(id)
		}
	}
	e.forget(g.id)
	e.mu.Unlock()
	for _, s := range gone {
		if err := e.erase(ctx, s); err != nil {
			return nil, err
		}
	}
	return map[string]any{"OperationProgressSet": map[string]any{"OperationProgress": []any{}}}, nil
}

// Groups returns the members of every group, whatever lists show yet.
func (e *ECS) Groups() map[string][]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string][]string{}
	for id, g := range e.groups {
		all[id] = slices.DeleteFunc(slices.Clone(g.members), func(s string) bool { return e.snapshots[s] == nil })
	}
	return all
}

// Age makes a snapshot, with its group, older than it is.
func (e *ECS) Age(id string, d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.snapshots[id]
	if s == nil {
		return
	}
	s.started = s.started.Add(-d)
	if g := e.groups[s.group]; g != nil {
		g.created = g.created.Add(-d)
	}
}
