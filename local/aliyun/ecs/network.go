package ecs

import (
	"context"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// VSwitch is where an instance may be started, Group one of its firewalls.
type (
	VSwitch struct {
		ID, VPC string
		Zone    string // default the Region's h
	}
	Group struct{ ID, VPC string }
)

// AddVSwitch puts a vSwitch into the account.
func (e *ECS) AddVSwitch(v VSwitch) {
	if v.Zone == "" {
		v.Zone = e.zone()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.vswitches[v.ID] = v
}

// AddGroup puts a security group into the account.
func (e *ECS) AddGroup(g Group) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.firewalls[g.ID] = g
}

// AddRole lets instances be started with a RAM role.
func (e *ECS) AddRole(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.roles[name] = true
}

// AddKeyPair lets people log in to instances that are started with its name.
func (e *ECS) AddKeyPair(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys[name] = true
}

// SellOut leaves a zone without stock: nothing can be started there.
func (e *ECS) SellOut(zone string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.soldOut[zone] = true
}

// VSwitches are those of the account, by their id.
func (e *ECS) VSwitches() map[string]VSwitch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.vswitches)
}

// describeSecurityGroups leaves out what does not exist.
func (e *ECS) describeSecurityGroups(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	asked, err := p.JSON("SecurityGroupIds", 100)
	if err != nil {
		return nil, err
	}
	if id := p.Text("SecurityGroupId"); id != "" {
		asked = append(asked, id)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []Group
	for id, g := range e.firewalls {
		if len(asked) > 0 && !slices.Contains(asked, id) || p.Text("VpcId") != "" && g.VPC != p.Text("VpcId") {
			continue
		}
		found = append(found, g)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].ID < found[j].ID })
	from, to, next, err := p.Page(len(found), 10, 100)
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, g := range found[from:to] {
		list = append(list, map[string]any{"SecurityGroupId": g.ID, "SecurityGroupName": g.ID, "SecurityGroupType": "normal", "VpcId": g.VPC})
	}
	return map[string]any{
		"SecurityGroups": map[string]any{"SecurityGroup": list}, "TotalCount": len(found), "NextToken": next, "RegionId": e.cfg.Region,
	}, nil
}

// instanceType is what an image must fit.
type instanceType struct {
	arch  string // as an instance has it
	boots []string
}

// types are those that can be rented here: a few that differ in what an image may
// demand.
var types = map[string]instanceType{
	"ecs.g7.large":       {"amd64", []string{"BIOS", "UEFI"}},
	"ecs.t5-lc1m1.small": {"amd64", []string{"BIOS"}},
	"ecs.g8y.large":      {"arm64", []string{"UEFI"}},
}

// describeInstanceTypes knows those and the ones that instances here have.
func (e *ECS) describeInstanceTypes(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	known := maps.Clone(types)
	for _, m := range e.instances {
		if _, ok := known[m.Type]; !ok {
			known[m.Type] = instanceType{m.Arch, []string{m.BootMode}}
		}
	}
	asked := p.List("InstanceTypes")
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if len(asked) > 0 && !slices.Contains(asked, name) {
			continue
		}
		list = append(list, map[string]any{
			"InstanceTypeId": name, "InstanceTypeFamily": name[:strings.LastIndex(name, ".")],
			"CpuArchitecture": map[string]string{"amd64": "X86", "arm64": "ARM"}[known[name].arch], "CpuCoreCount": 2, "MemorySize": 8,
			"SupportedBootModes": map[string]any{"SupportedBootMode": known[name].boots},
		})
	}
	return map[string]any{"InstanceTypes": map[string]any{"InstanceType": list}}, nil
}
