package awscloud

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/quiesce/quiesce/shared/cloud"
)

// FleetPrefix is where the bucket keeps the lists and results of fleets; a
// lifecycle rule is to take them away.
const FleetPrefix = "fleet/"

// Find asks once for every 200 ids and once for every tag: EC2 takes the
// intersection of filters, and a list of ids fails as a whole for one that is
// gone, where a filter just does not find it.
func (p *Provider) Find(ctx context.Context, ids []string, tags map[string]string) ([]cloud.Found, error) {
	found := map[string]cloud.Found{}
	for some := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(ids))), maxFilterValues) {
		if err := p.find(ctx, found, types.Filter{Name: aws.String("instance-id"), Values: some}); err != nil {
			return nil, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		by := filter("tag:"+key, literal(tags[key]))
		if tags[key] == "" {
			by = filter("tag-key", literal(key))
		}
		if err := p.find(ctx, found, by); err != nil {
			return nil, err
		}
	}
	all := slices.Collect(maps.Values(found))
	slices.SortFunc(all, func(a, b cloud.Found) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// literal takes its meaning from what a filter would read as a wildcard.
func literal(value string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(value)
}

func (p *Provider) find(ctx context.Context, into map[string]cloud.Found, by types.Filter) error {
	pages := ec2.NewDescribeInstancesPaginator(p.ec2, &ec2.DescribeInstancesInput{
		Filters:    []types.Filter{by, {Name: aws.String("instance-state-name"), Values: []string{"pending", "running", "stopping", "stopped"}}},
		MaxResults: aws.Int32(1000),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return translate(err, "find the instances of %s", aws.ToString(by.Name))
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				id := aws.ToString(i.InstanceId)
				f := cloud.Found{ID: id, Tags: tagMap(i.Tags)}
				if i.State != nil {
					f.State, f.Running = string(i.State.Name), i.State.Name == types.InstanceStateNameRunning
				}
				into[id] = f
			}
		}
	}
	return nil
}

// Bucket is the one that tokens are kept in: fleets have a prefix of their own.
func (p *Provider) Bucket() string { return aws.ToString(p.tokenBucket()) }

// Put writes an object.
func (p *Provider) Put(ctx context.Context, key string, data []byte) error {
	_, err := p.store.PutObject(ctx, &s3.PutObjectInput{
		Bucket: p.tokenBucket(), Key: aws.String(key), Body: bytes.NewReader(data), ContentType: aws.String("application/json"),
	})
	if err != nil {
		return translate(err, "write %s", key)
	}
	return nil
}

// Get reads an object.
func (p *Provider) Get(ctx context.Context, key string) ([]byte, error) {
	out, err := p.store.GetObject(ctx, &s3.GetObjectInput{Bucket: p.tokenBucket(), Key: aws.String(key)})
	if err != nil {
		return nil, translate(err, "read %s", key)
	}
	defer func() { _ = out.Body.Close() }()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		return nil, translate(err, "read %s", key)
	}
	return data, nil
}

// List names the objects below a prefix.
func (p *Provider) List(ctx context.Context, prefix string) ([]string, error) {
	pages := s3.NewListObjectsV2Paginator(p.store, &s3.ListObjectsV2Input{Bucket: p.tokenBucket(), Prefix: aws.String(prefix)})
	keys := []string{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err, "list %s", prefix)
		}
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys, nil
}
