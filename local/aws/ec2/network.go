package ec2

import (
	"context"
	"encoding/xml"
	"maps"
	"slices"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Subnet is where an instance may be launched, Group one of its firewalls.
type (
	Subnet struct{ ID, VPC, Zone string }
	Group  struct{ ID, VPC string }
)

// AddSubnet puts a subnet into the account.
func (e *EC2) AddSubnet(s Subnet) {
	if s.Zone == "" {
		s.Zone = e.cfg.Region + "a"
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subnets[s.ID] = s
}

// AddGroup puts a security group into the account.
func (e *EC2) AddGroup(g Group) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.groups[g.ID] = g
}

// AddProfile lets instances be launched with an instance profile.
func (e *EC2) AddProfile(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.profiles = append(e.profiles, name)
}

// types are those of which an instance can be: a few that differ in what an
// image may demand.
var types = map[string]struct {
	arch  string
	boots []string
}{
	"m7i.large": {"x86_64", []string{"legacy-bios", "uefi"}},
	"t2.micro":  {"x86_64", []string{"legacy-bios"}},
	"m7g.large": {"arm64", []string{"uefi"}},
}

func (e *EC2) describeSubnets(_ context.Context, _ *wire.Call, q query) (any, error) {
	type item struct {
		ID    string `xml:"subnetId"`
		VPC   string `xml:"vpcId"`
		Zone  string `xml:"availabilityZone"`
		State string `xml:"state"`
	}
	out := struct {
		XMLName xml.Name `xml:"subnetSet"`
		Items   []item   `xml:"item"`
	}{}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range q.list("SubnetId") {
		s, known := e.subnets[id]
		if !known {
			return nil, wire.Bad("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
		}
		out.Items = append(out.Items, item{s.ID, s.VPC, s.Zone, "available"})
	}
	return out, nil
}

func (e *EC2) describeSecurityGroups(_ context.Context, _ *wire.Call, q query) (any, error) {
	type item struct {
		ID  string `xml:"groupId"`
		VPC string `xml:"vpcId"`
	}
	out := struct {
		XMLName xml.Name `xml:"securityGroupInfo"`
		Items   []item   `xml:"item"`
	}{}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range q.list("GroupId") {
		g, known := e.groups[id]
		if !known {
			return nil, wire.Bad("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
		out.Items = append(out.Items, item(g))
	}
	return out, nil
}

func (e *EC2) describeInstanceTypes(_ context.Context, _ *wire.Call, q query) (any, error) {
	type item struct {
		Type  string   `xml:"instanceType"`
		Arch  []string `xml:"processorInfo>supportedArchitectures>item"`
		Boots []string `xml:"supportedBootModes>item"`
	}
	out := struct {
		XMLName xml.Name `xml:"instanceTypeSet"`
		Items   []item   `xml:"item"`
	}{}
	asked := q.list("InstanceType")
	if len(asked) == 0 {
		asked = slices.Sorted(maps.Keys(types))
	}
	for _, name := range asked {
		t, known := types[name]
		if !known {
			return nil, wire.Bad("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", name)
		}
		out.Items = append(out.Items, item{name, []string{t.arch}, t.boots})
	}
	return out, nil
}
