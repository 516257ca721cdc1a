package ecs

import (
	"context"
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
	Zone   string // default the Region's h
	Role   string // its RAM role; empty for none
	Locked string // why it is locked; empty if it is not
	Tags   map[string]string
}

type machine struct {
	Instance
	created time.Time
	turning *time.Timer // until it is in another state
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
	set(&i.Zone, e.zone())
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
		return m.State
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
	var found []*machine
	for id, m := range e.instances {
		if p.Text("InstanceIds") != "" && !slices.Contains(asked, id) || p.Text("Status") != "" && m.State != p.Text("Status") || !p.Tagged(m.Tags) {
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
		if m.State == stopped {
			mode = m.Mode
		}
		locks := []any{}
		if m.Locked != "" {
			locks = append(locks, map[string]string{"LockReason": m.Locked})
		}
		list = append(list, map[string]any{
			"InstanceId": m.ID, "InstanceName": m.ID, "InstanceType": m.Type, "Status": m.State, "StoppedMode": mode,
			"RegionId": e.cfg.Region, "ZoneId": m.Zone, "OSType": m.OS, "OSName": map[string]string{"linux": "Alibaba Cloud Linux 3.2104 LTS 64 bit", "windows": "Windows Server 2022"}[m.OS],
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
