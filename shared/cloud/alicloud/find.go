package alicloud

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/quiesce/quiesce/shared/cloud"
)

// Find asks once for every hundred ids and once for every tag: ECS takes the
// intersection of what is asked for.
func (p *Provider) Find(ctx context.Context, ids []string, tags map[string]string) ([]cloud.Found, error) {
	found := map[string]cloud.Found{}
	for some := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(ids))), perPage) {
		if err := p.find(ctx, found, func(r *ecs.DescribeInstancesRequest) { r.InstanceIds = list(some) }); err != nil {
			return nil, translate(err, "find %d instances", len(some))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		by := &[]ecs.DescribeInstancesTag{{Key: key, Value: tags[key]}}
		if err := p.find(ctx, found, func(r *ecs.DescribeInstancesRequest) { r.Tag = by }); err != nil {
			return nil, translate(err, "find the instances of the tag %s", key)
		}
	}
	all := slices.Collect(maps.Values(found))
	slices.SortFunc(all, func(a, b cloud.Found) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func (p *Provider) find(ctx context.Context, into map[string]cloud.Found, which func(*ecs.DescribeInstancesRequest)) error {
	for token := ""; ; {
		request, response := ecs.CreateDescribeInstancesRequest(), ecs.CreateDescribeInstancesResponse()
		request.MaxResults, request.NextToken = requests.NewInteger(perPage), token
		which(request)
		if err := p.call(ctx, "ecs", request, response); err != nil {
			return err
		}
		for _, i := range response.Instances.Instance {
			into[i.InstanceId] = cloud.Found{ID: i.InstanceId, Running: i.Status == running, State: i.Status, Tags: tagMap(i.Tags.Tag)}
		}
		if token = response.NextToken; token == "" {
			return nil
		}
	}
}
