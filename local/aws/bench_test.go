package aws_test

import (
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
)

// What one call costs through the SDK, signed and verified, in process.
func BenchmarkCall(b *testing.B) {
	cloud := aws.New(aws.Config{Disks: newDisks(), Unthrottled: true, Latency: map[string]time.Duration{"*": 0}})
	defer cloud.Close()
	if _, err := cloud.Rent(b.Context(), ec2.Instance{ID: target}, &machine{}, ec2.Volume{ID: "vol-00000000000000001"}); err != nil {
		b.Fatal(err)
	}
	client := awsec2.NewFromConfig(cloud.Client("bench"))
	for b.Loop() {
		if _, err := client.DescribeInstances(b.Context(), &awsec2.DescribeInstancesInput{InstanceIds: []string{target}}); err != nil {
			b.Fatal(err)
		}
	}
}
