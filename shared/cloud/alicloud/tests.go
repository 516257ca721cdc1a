package alicloud

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/fnf"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

var _ cloud.Tests = (*Provider)(nil)

// Abandoned goes by the marks, of which there are none most of the time, and asks
// after the execution of each.
func (p *Provider) Abandoned(ctx context.Context) ([]cloud.Abandoned, error) {
	if p.options.Verifier == "" {
		return nil, fault.New(fault.Internal, "this deployment names no flow of restore tests")
	}
	scratch, err := p.Marked(ctx, cloud.TagScratch, "") // whatever it says
	if err != nil {
		return nil, err
	}
	under, err := p.snapshots(ctx, func(r *ecs.DescribeSnapshotsRequest) {
		r.Tag = &[]ecs.DescribeSnapshotsTag{{Key: cloud.TagTest, Value: underTest}}
	})
	if err != nil {
		return nil, translate(err, "find the sets that are under test")
	}
	ids := map[string]bool{}
	for _, d := range scratch {
		ids[d.Tags[cloud.TagScratch]] = true
	}
	for _, s := range under {
		ids[tagMap(s.Tags.Tag)[cloud.TagTestRun]] = true
	}
	delete(ids, "")
	var all []cloud.Abandoned
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		request, response := fnf.CreateDescribeExecutionRequest(), fnf.CreateDescribeExecutionResponse()
		request.FlowName, request.ExecutionName = p.options.Verifier, id
		err := p.call(ctx, "fnf", request, response)
		switch {
		case hasCode(err, "ExecutionNotExists"): // of another deployment, or of long ago
		case err != nil:
			return nil, translate(err, "look at the restore test %s", id)
		case response.Status != "Running" && response.Status != "Starting":
			all = append(all, cloud.Abandoned{ID: id, Status: response.Status, Input: json.RawMessage(response.Input)})
		}
	}
	return all, nil
}
