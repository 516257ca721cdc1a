// Package vpc is the emulated Virtual Private Cloud, as far as it tells where
// instances may be started.
package vpc

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// VPC is the emulated service.
type VPC struct {
	vswitches func() map[string]ecs.VSwitch
}

// New makes the service over whoever knows the vSwitches, by their id.
func New(vswitches func() map[string]ecs.VSwitch) *VPC { return &VPC{vswitches} }

// Protocol is that of every RPC service.
func (v *VPC) Protocol() wire.Protocol { return rpc.Protocol }

// Limit is none that is published.
func (v *VPC) Limit(*wire.Call) (string, wire.Limit) { return "", wire.Limit{} }

// Do has the effect of one call. What does not exist is left out of the list.
func (v *VPC) Do(_ context.Context, c *wire.Call) (wire.Reply, error) {
	p := rpc.Params(c.Form)
	if c.Action != "DescribeVSwitches" {
		return wire.Reply{}, wire.Errorf(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found: %s", c.Action)
	}
	page, err := p.Number("PageNumber", 1, 1, 1<<30)
	if err != nil {
		return wire.Reply{}, err
	}
	size, err := p.Number("PageSize", 10, 1, 50)
	if err != nil {
		return wire.Reply{}, err
	}
	all := v.vswitches()
	list := []any{}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		one := all[id]
		if p.Text("VSwitchId") != "" && id != p.Text("VSwitchId") || p.Text("VpcId") != "" && one.VPC != p.Text("VpcId") ||
			p.Text("ZoneId") != "" && one.Zone != p.Text("ZoneId") {
			continue
		}
		list = append(list, map[string]any{"VSwitchId": id, "VSwitchName": id, "VpcId": one.VPC, "ZoneId": one.Zone, "Status": "Available"})
	}
	total := len(list)
	list = list[min(total, (page-1)*size):min(total, page*size)]
	return rpc.Answer(c, map[string]any{"VSwitches": map[string]any{"VSwitch": list}, "TotalCount": total, "PageNumber": page, "PageSize": size})
}
