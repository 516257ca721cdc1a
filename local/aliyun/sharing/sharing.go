// Package sharing is the emulated Resource Sharing, as far as it tells whom a
// snapshot is shared with.
package sharing

import (
	"context"
	"net/http"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// Sharing is the emulated service.
type Sharing struct {
	with func(snapshot string) []string
}

// New makes the service over whoever knows what is shared with whom.
func New(with func(snapshot string) []string) *Sharing { return &Sharing{with} }

// Protocol is that of every RPC service.
func (s *Sharing) Protocol() wire.Protocol { return rpc.Protocol }

// Limit is none that is published.
func (s *Sharing) Limit(*wire.Call) (string, wire.Limit) { return "", wire.Limit{} }

// Do has the effect of one call.
func (s *Sharing) Do(_ context.Context, c *wire.Call) (wire.Reply, error) {
	p := rpc.Params(c.Form)
	if c.Action != "ListSharedTargets" {
		return wire.Reply{}, wire.Errorf(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found: %s", c.Action)
	}
	if p.Text("ResourceOwner") != "Self" {
		return wire.Reply{}, wire.Bad("InvalidParameter.ResourceOwner", "The specified parameter ResourceOwner is not valid.")
	}
	var found []string
	if p.Text("ResourceType") == "Snapshot" {
		found = s.with(p.Text("ResourceId"))
	}
	from, to, next, err := p.Page(len(found), 20, 100)
	if err != nil {
		return wire.Reply{}, err
	}
	list := []any{}
	for _, account := range found[from:to] {
		list = append(list, map[string]any{"TargetId": account, "ResourceShareId": "rs-emulated", "External": true})
	}
	return rpc.Answer(c, map[string]any{"SharedTargets": list, "NextToken": next})
}
