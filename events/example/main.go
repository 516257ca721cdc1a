// Command example is a subscriber, small enough to copy: a Lambda function
// that writes on each instance which set was its last good one. The rule that
// starts it is rule.json. Its role needs ec2:DescribeTags and ec2:CreateTags
// on instances, nothing else.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
	tags := instanceTags{ec2.NewFromConfig(cfg)}
	lambda.Start(func(ctx context.Context, e Event) error { return Note(ctx, tags, e) })
}

// instanceTags are the tags of EC2 instances in the function's own Region.
type instanceTags struct{ client *ec2.Client }

func (t instanceTags) Get(ctx context.Context, instance, key string) (string, error) {
	out, err := t.client.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: []types.Filter{
		{Name: new("resource-id"), Values: []string{instance}}, {Name: new("key"), Values: []string{key}},
	}})
	if err != nil || len(out.Tags) == 0 {
		return "", err
	}
	return *out.Tags[0].Value, nil
}

func (t instanceTags) Put(ctx context.Context, instance string, tags map[string]string) error {
	in := &ec2.CreateTagsInput{Resources: []string{instance}}
	for k, v := range tags {
		in.Tags = append(in.Tags, types.Tag{Key: &k, Value: &v})
	}
	_, err := t.client.CreateTags(ctx, in)
	return err
}
