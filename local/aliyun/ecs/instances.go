package ecs

import (
	"context"
	"slices"
	"sort"
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

	Name     string // default the ID
	Image    string // that it was started from; default a public one
	Platform string // of that image; default Aliyun, or a Windows Server
	BootMode string // of that image; default BIOS, UEFI for arm64
	IMDS     string // of that image: v1 (default), v2

	VSwitch, VPC string
	Groups       []string // its firewalls
	Key          string   // the key pair's name; empty for none
}

type machine struct {
	Instance
	created  time.Time
	turning  *time.Timer // until it is in another state
	launched bool        // by a call
	fresh    bool        // and has not run yet
	released bool        // and gone soon
}

// States of an instance.
const (
	running  = "Running"
	stopped  = "Stopped"
	starting = "Starting"
	stopping = "Stopping"
	pending  = "Pending"

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
	set(&i.Name, i.ID)
	set(&i.Image, publicImages[i.OS+" "+i.Arch])
	set(&i.Platform, map[string]string{"linux": aliyun3, "windows": "Windows Server 2022"}[i.OS])
	set(&i.BootMode, map[string]string{"amd64": "BIOS", "arm64": "UEFI"}[i.Arch])
	set(&i.IMDS, "v1")
	if i.Tags == nil {
		i.Tags = map[string]string{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.instances[i.ID] = &machine{Instance: i, created: time.Now()}
	e.publish(i)
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
	now := time.Now()
	var found []*machine
	for id, m := range e.instances {
		switch {
		case p.Text("InstanceIds") != "" && !slices.Contains(asked, id),
			p.Text("InstanceIds") == "" && m.launched && now.Sub(m.created) < e.cfg.Visible,
			p.Text("Status") != "" && m.State != p.Text("Status"),
			p.Text("ImageId") != "" && m.Image != p.Text("ImageId"),
			p.Text("VSwitchId") != "" && m.VSwitch != p.Text("VSwitchId"),
			p.Text("VpcId") != "" && m.VPC != p.Text("VpcId"),
			!p.Tagged(m.Tags):
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
		list = append(list, e.renderInstance(m))
	}
	return map[string]any{"Instances": map[string]any{"Instance": list}, "TotalCount": len(found), "NextToken": next}, nil
}

func (e *ECS) renderInstance(m *machine) map[string]any {
	mode := "Not-applicable"
	if m.State == stopped {
		mode = m.Mode
	}
	locks := []any{}
	if m.Locked != "" {
		locks = append(locks, map[string]string{"LockReason": m.Locked})
	}
	return map[string]any{
		"InstanceId": m.ID, "InstanceName": m.Name, "InstanceType": m.Type, "Status": m.State, "StoppedMode": mode,
		"RegionId": e.cfg.Region, "ZoneId": m.Zone, "OSType": m.OS, "OSName": osName(m.Platform), "OSNameEn": osName(m.Platform), "ImageId": m.Image,
		"KeyPairName": m.Key, "InstanceNetworkType": "vpc", "VpcAttributes": map[string]any{"VSwitchId": m.VSwitch, "VpcId": m.VPC},
		"SecurityGroupIds": map[string]any{"SecurityGroupId": slices.Concat([]string{}, m.Groups)},
		"MetadataOptions":  map[string]any{"HttpEndpoint": "enabled", "HttpTokens": map[string]string{"v1": "optional", "v2": "required"}[m.IMDS]},
		"CreationTime":     rpc.Stamp(m.created), "Tags": rpc.Prefixed.Render(m.Tags), "OperationLocks": map[string]any{"LockReason": locks},
	}
}

func (e *ECS) zone() string { return e.cfg.Region + "-h" }

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
