package fnf

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/engine"
)

// list answers a flow's executions, the newest first, of one status or all, by
// the time at which they began and by the beginning of their names. A page ends
// with the name of the execution that the next one begins with.
func (f *FNF) list(_ context.Context, p rpc.Params) (map[string]any, error) {
	if err := p.Required("FlowName"); err != nil {
		return nil, err
	}
	limit, err := p.Number("Limit", 60, 1, 100)
	if err != nil {
		return nil, err
	}
	status, known := engine.Status(""), p.Text("Status") == "" || p.Text("Status") == "Starting"
	for theirs, ours := range statuses {
		if ours == p.Text("Status") {
			status, known = theirs, true
		}
	}
	if !known {
		return nil, wire.Bad("InvalidArgument", "The Status %q is not valid.", p.Text("Status"))
	}
	var bounds [2]time.Time
	for i, name := range []string{"StartedTimeBegin", "StartedTimeEnd"} {
		if text := p.Text(name); text != "" {
			if bounds[i], err = time.Parse(time.RFC3339, text); err != nil {
				return nil, wire.Bad("InvalidArgument", "The %s is no time of RFC 3339.", name)
			}
		}
	}
	all, err := f.engine.List(p.Text("FlowName"), status)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(x engine.Execution) bool {
		return p.Text("Status") == "Starting" || !strings.HasPrefix(x.Name, p.Text("ExecutionNamePrefix")) ||
			x.StartedAt.Before(bounds[0]) || !bounds[1].IsZero() && x.StartedAt.After(bounds[1])
	})
	from := 0
	if next := p.Text("NextToken"); next != "" {
		if from = slices.IndexFunc(all, func(x engine.Execution) bool { return x.Name == next }); from < 0 {
			return nil, wire.Bad("InvalidArgument", "The NextToken is not valid.")
		}
	}
	page := []map[string]any{}
	for _, x := range all[from:min(from+limit, len(all))] {
		page = append(page, render(x))
	}
	out := map[string]any{"Executions": page}
	if from+limit < len(all) {
		out["NextToken"] = all[from+limit].Name
	}
	return out, nil
}
