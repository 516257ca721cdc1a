package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3assets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsssm"
	"github.com/aws/jsii-runtime-go"
	"github.com/goccy/go-yaml"

	"github.com/quiesce/quiesce/shared/cloud/awscloud"
)

// helper is one build of the helper, found by the hash of its content.
type helper struct {
	asset  awss3assets.Asset
	sha256 string
}

// helpers are the builds by architecture.
type helpers map[string]helper

var architectures = []string{"amd64", "arm64"}

// makeAssets uploads the helper for both architectures and registers the
// documents: the one through which it is asked, and those for Windows.
func (d *deployment) makeAssets() error {
	d.helpers = helpers{}
	for _, arch := range architectures {
		path := filepath.Join(d.dist, arch, "quiesce-guest")
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("the helper is not built, `make package` does it: %w", err)
		}
		d.helpers[arch] = helper{
			asset:  awss3assets.NewAsset(d.stack, jsii.String("Helper"+camel(arch)), &awss3assets.AssetProps{Path: jsii.String(path)}),
			sha256: checksum(data),
		}
	}
	var err error
	if d.document, err = d.makeDocument("helper", awscloud.Document()); err != nil {
		return err
	}
	if d.shadow, err = d.makeDocument("shadow", awscloud.ShadowDocument()); err != nil {
		return err
	}
	if d.revert, err = d.makeDocument("revert", awscloud.RevertDocument()); err != nil {
		return err
	}
	return d.makeWork()
}

// documentID is the construct's id of a document; the helper's was the first.
var documentID = map[string]string{"helper": "Document", "shadow": "ShadowDocument", "revert": "RevertDocument"}

// makeDocument registers a command document. Its name ends in the content's
// checksum: another content is another document, so that no function ever meets
// one that it was not made for.
func (d *deployment) makeDocument(name, text string) (awsssm.CfnDocument, error) {
	var content map[string]any
	if err := yaml.Unmarshal([]byte(text), &content); err != nil {
		return nil, fmt.Errorf("the command document %s: %w", name, err)
	}
	return awsssm.NewCfnDocument(d.stack, jsii.String(documentID[name]), &awsssm.CfnDocumentProps{
		Name:         d.named(name + "-" + checksum([]byte(text))[:12]),
		DocumentType: jsii.String("Command"),
		Content:      content,
		TargetType:   jsii.String("/AWS::EC2::Instance"),
	}), nil
}

// makeWork makes the bucket of what passes between executions: who waits for a
// set, whom a fleet is for and how it ended. All of it is forgotten in time.
func (d *deployment) makeWork() error {
	d.work = awss3.NewBucket(d.stack, jsii.String("Work"), &awss3.BucketProps{
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		Encryption:        awss3.BucketEncryption_S3_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		MinimumTLSVersion: jsii.Number(1.2),
		RemovalPolicy:     awscdk.RemovalPolicy_DESTROY,
		LifecycleRules: &[]*awss3.LifecycleRule{
			{Id: jsii.String("tokens"), Prefix: jsii.String(awscloud.TokenPrefix), Expiration: awscdk.Duration_Days(jsii.Number(2))},
			{Id: jsii.String("all"), Expiration: awscdk.Duration_Days(jsii.Number(90)), AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(2))},
		},
	})
	accept(d.work, "AwsSolutions-S1", "", "Who reads and writes here is three roles of this stack; what they leave is gone within weeks.")
	return nil
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
