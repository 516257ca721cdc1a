package awscloud

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// urlLife outlasts the delivery and execution of the command that carries it.
const urlLife = 10 * time.Minute

// Helper signs an address for the build; no call is made for it.
func (p *Provider) Helper(ctx context.Context, arch string) (cloud.Asset, error) {
	helper, ok := p.options.Helpers[arch]
	if !ok || helper.Key == "" || p.options.AssetBucket == "" {
		return cloud.Asset{}, fault.New(fault.HelperNotDelivered, "this deployment carries no helper for %q", arch)
	}
	signed, err := p.assets.PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: aws.String(p.options.AssetBucket),
		Key:    aws.String(helper.Key),
	}, s3.WithPresignExpires(urlLife))
	if err != nil {
		return cloud.Asset{}, translate(err, "sign the address of the helper for %s", arch)
	}
	return cloud.Asset{SHA256: helper.SHA256, URL: signed.URL}, nil
}
