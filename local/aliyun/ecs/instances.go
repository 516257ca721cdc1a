package ecs

import (
	"context"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// Instance is a machine for rent as its owner puts it into the account.
type Instance struct {
	ID     string
	Type   string // default ecs.g7.large; one of the architecture's own for arm64
	Arch   string // amd64 (default), arm64
	State  string // Running (default), Stopped
	OS     string // linux (default), windows
	Mode   string // of a stopped one: KeepCharging (default), StopCharging
	Role   string // its RAM role; empty for none
	Locked string // why it is locked; empty if it is not
	Tags   map[string]string
}

type machine struct {
	Instance
	created time.Time
	ready   time.Time // in its state from then on
	before  string    // the state until then
}

// States of an instance.
const (
	running  = "Running"
	stopped  = "Stopped"
	starting = "Starting"
	stopping = "Stopping"

	keepCharging = "KeepCharging"
	stopCharging = "StopCharging"
)

// AddInstance puts an instance into the account.
func (e *ECS) AddInstance(i Instance) {
	set := func(field *string, otherwise string) {
		if *field == "" {
			*field = otherwise
		}
	}
	set(&i.Arch, "amd64")
	set(&i.Type, map[string]string{"amd64": "ecs.g7.large", "arm64": "ecs.g8y.large"}[i.Arch])
	set(&i.State, running)
	set(&i.OS, "linux")
	set(&i.Mode, keepCharging)
	if i.Tags == nil {
		i.Tags = map[string]string{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.instances[i.ID] = &machine{Instance: i, created: time.Now()}
}

// State returns an instance's state, "" for one that does not exist.
func (e *ECS) State(id string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m := e.instances[id]; m != nil {
		return m.state(time.Now())
	}
	return ""
}

// Describe returns an instance as it stands.
func (e *ECS) Describe(id string) (Instance, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.instances[id]
	if m == nil {
		return Instance{}, false
	}
	return m.Instance, true
}

// Change changes an instance without a call.
func (e *ECS) Change(id string, how func(*Instance)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m := e.instances[id]; m != nil {
		how(&m.Instance)
	}
}

func (m *machine) state(now time.Time) string {
	if now.Before(m.ready) {
		return m.before
	}
	return m.State
}

func (e *ECS) machine(id string) (*machine, error) {
	m := e.instances[id]
	if m == nil {
		return nil, missing("InvalidInstanceId.NotFound", "InstanceId", id)
	}
	return m, nil
}

func (e *ECS) describeInstances(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	asked, err := p.JSON("InstanceIds", 100)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	var found []*machine
	for id, m := range e.instances {
		if p.Text("InstanceIds") != "" && !slices.Contains(asked, id) || p.Text("Status") != "" && m.state(now) != p.Text("Status") || !p.Tagged(m.Tags) {
			continue
		}
		found = append(found, m)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].ID < found[j].ID })
	from, to, next, err := p.Page(len(found), 10, 100)
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, m := range found[from:to] {
		mode := "Not-applicable"
		if m.state(now) == stopped {
			mode = m.Mode
		}
		locks := []any{}
		if m.Locked != "" {
			locks = append(locks, map[string]string{"LockReason": m.Locked})
		}
		list = append(list, map[string]any{
			"InstanceId": m.ID, "InstanceName": m.ID, "InstanceType": m.Type, "Status": m.state(now), "StoppedMode": mode,
			"RegionId": e.cfg.Region, "ZoneId": e.zone(), "OSType": m.OS, "OSName": map[string]string{"linux": "Alibaba Cloud Linux 3.2104 LTS 64 bit", "windows": "Windows Server 2022"}[m.OS],
			"CreationTime": rpc.Stamp(m.created), "Tags": rpc.Prefixed.Render(m.Tags), "OperationLocks": map[string]any{"LockReason": locks},
		})
	}
	return map[string]any{"Instances": map[string]any{"Instance": list}, "TotalCount": len(found), "NextToken": next}, nil
}

func (e *ECS) zone() string { return e.cfg.Region + "-h" }

// describeInstanceTypes knows the types that instances here have.
func (e *ECS) describeInstanceTypes(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	asked := p.List("InstanceTypes")
	seen := map[string]bool{}
	list := []any{}
	for _, m := range e.instances {
		if seen[m.Type] || len(asked) > 0 && !slices.Contains(asked, m.Type) {
			continue
		}
		seen[m.Type] = true
		list = append(list, map[string]any{
			"InstanceTypeId": m.Type, "InstanceTypeFamily": m.Type[:strings.LastIndex(m.Type, ".")],
			"CpuArchitecture": map[string]string{"amd64": "X86", "arm64": "ARM"}[m.Arch], "CpuCoreCount": 2, "MemorySize": 8,
		})
	}
	return map[string]any{"InstanceTypes": map[string]any{"InstanceType": list}}, nil
}

func (e *ECS) startInstance(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return nil, e.turn(p, stopped, starting, running)
}

func (e *ECS) stopInstance(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	mode := p.Text("StoppedMode")
	if mode == "" {
		mode = keepCharging
	}
	if mode != keepCharging && mode != stopCharging {
		return nil, wire.Bad("InvalidParameter.StoppedMode", "The specified StoppedMode is not valid.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.turn(p, running, stopping, stopped); err != nil {
		return nil, err
	}
	e.instances[p.Text("InstanceId")].Mode = mode
	return nil, nil
}

func (e *ECS) turn(p rpc.Params, from, through, to string) error {
	m, err := e.machine(p.Text("InstanceId"))
	if err != nil {
		return err
	}
	now := time.Now()
	switch {
	case m.Locked != "":
		return forbidden("InstanceLockedForSecurity", "The specified operation is denied as your instance is locked for security reasons.")
	case m.state(now) != from:
		return forbidden("IncorrectInstanceStatus", "The current status of the resource does not support this operation.")
	}
	m.before, m.State, m.ready = through, to, now.Add(max(0, e.cfg.Turn))
	return nil
}

func (e *ECS) attachRole(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	ids, err := p.JSON("InstanceIds", 100)
	if err == nil {
		err = p.Required("RamRoleName", "InstanceIds")
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		m, err := e.machine(id)
		if err != nil {
			return nil, err
		}
		if m.Role != "" {
			return nil, forbidden("InvalidInstance.RamRoleAlreadyAttached", "The specified instance has a RAM role already.")
		}
		m.Role = p.Text("RamRoleName")
	}
	return map[string]any{"RamRoleName": p.Text("RamRoleName"), "TotalCount": len(ids), "FailCount": 0}, nil
}

func (e *ECS) describeRole(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	ids, err := p.JSON("InstanceIds", 100)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := []any{}
	for _, id := range ids {
		if m := e.instances[id]; m != nil {
			list = append(list, map[string]string{"InstanceId": id, "RamRoleName": m.Role})
		}
	}
	return map[string]any{"InstanceRamRoleSets": map[string]any{"InstanceRamRoleSet": list}, "TotalCount": len(list), "RegionId": e.cfg.Region}, nil
}

// tagResources tags snapshots, disks, instances and groups.
func (e *ECS) tagResources(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	ids := p.List("ResourceId")
	tags, err := p.Tags()
	if err == nil {
		err = p.Required("ResourceType", "ResourceId.1", "Tag.1.Key")
	}
	if err == nil && len(ids) > 50 {
		err = wire.Bad("NumberExceed.ResourceIds", "The ResourceIds parameter's number is exceed, at most 50.")
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []map[string]string
	for _, id := range ids {
		have := e.tagsOf(p.Text("ResourceType"), id)
		if have == nil {
			return nil, missing("InvalidResourceId.NotFound", "ResourceId", id)
		}
		n := len(have)
		for key := range tags {
			if _, ok := have[key]; !ok {
				n++
			}
		}
		if n > 20 {
			return nil, wire.Bad("NumberExceed.Tags", "The resource %s would have %d tags, at most 20.", id, n)
		}
		all = append(all, have)
	}
	for _, have := range all {
		for key, value := range tags {
			have[key] = value
		}
	}
	return nil, nil
}

func (e *ECS) tagsOf(kind, id string) map[string]string {
	switch kind {
	case "snapshot":
		if s := e.snapshots[id]; s != nil {
			return s.tags
		}
	case "snapshotgroup":
		if g := e.groups[id]; g != nil {
			return g.tags
		}
	case "disk":
		if d := e.disks[id]; d != nil {
			return d.Tags
		}
	case "instance":
		if m := e.instances[id]; m != nil {
			return m.Tags
		}
	}
	return nil
}

// Tags returns a copy of a snapshot's own tags, nil for one that does not
// exist.
func (e *ECS) Tags(snapshot string) map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.tagsOf("snapshot", snapshot))
}
