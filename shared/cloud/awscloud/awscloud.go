// Package awscloud is the cloud of EC2, EBS, Systems Manager, EventBridge, S3,
// KMS and Step Functions. It holds no state but its clients, and speaks to whatever endpoints the
// configuration names, the emulated ones included.
package awscloud

import (
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/quiesce/quiesce/shared/cloud"
)

// Options names what a deployment made. A field may stay empty where only
// steps that do not need it run.
type Options struct {
	AssetBucket string
	TokenBucket string            // for the tokens of those who wait; empty: the asset bucket
	Helpers     map[string]Helper // by architecture: amd64, arm64
	Bus         string            // name or ARN; empty: the account's default bus
	Document    string            // name or ARN of the command document
	// DocumentHash pins the document's content, SHA-256 in hex; empty: not pinned.
	DocumentHash string
	// Machines are the ARNs of the state machines whose executions hold
	// instances; empty: none is known, and none is looked for.
	Machines []string
	// Shadow and ShadowHash are those of the document that makes shadow copies.
	Shadow, ShadowHash string
}

// Helper is one build of the helper in the asset bucket.
type Helper struct {
	Key    string
	SHA256 string // hex
}

// Provider implements cloud.Provider. Making its clients takes microseconds;
// each connects when it is first used.
type Provider struct {
	options Options
	region  string
	ec2     *ec2.Client
	ssm     *ssm.Client
	bus     *eventbridge.Client
	store   *s3.Client
	assets  *s3.PresignClient
	tasks   *sfn.Client
	keys    *kms.Client
}

var (
	_ cloud.Provider = (*Provider)(nil)
	_ cloud.Keeper   = (*Provider)(nil)
	_ cloud.Windows  = (*Provider)(nil)
)

// New makes the provider of the configuration's Region. Whatever the
// configuration says of retries, reads are retried a bounded number of times
// and the call that makes a set never is.
func New(cfg aws.Config, options Options) *Provider {
	cfg = cfg.Copy()
	cfg.HTTPClient = patient(cfg.HTTPClient)
	cfg.RetryMaxAttempts = 0
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = attempts
			o.MaxBackoff = maxBackoff
		})
	}
	store := s3.NewFromConfig(cfg, plain)
	return &Provider{
		options: options,
		region:  cfg.Region,
		ec2:     ec2.NewFromConfig(cfg),
		ssm:     ssm.NewFromConfig(cfg),
		bus:     eventbridge.NewFromConfig(cfg),
		store:   store,
		assets:  s3.NewPresignClient(store),
		tasks:   sfn.NewFromConfig(cfg),
		keys:    kms.NewFromConfig(cfg),
	}
}

// A read may be made four times within some seconds; what takes longer is the
// workflow's to repeat.
const (
	attempts   = 4
	maxBackoff = 2 * time.Second
)

// A connection inside the Region is made in milliseconds or not at all. The
// answer to the call that makes a set of many volumes may take seconds. An idle
// connection is not kept to the next invocation: Lambda stops the process
// between the two, the service hangs up meanwhile, and the one call that is
// never repeated would be lost on it.
const (
	connectTimeout = 3 * time.Second
	readTimeout    = 20 * time.Second
	idleTimeout    = 5 * time.Second
)

// patient sets the timeouts of the SDK's own client and leaves any other as
// its maker wanted it.
func patient(client aws.HTTPClient) aws.HTTPClient {
	if client == nil {
		client = awshttp.NewBuildableClient()
	}
	buildable, ok := client.(*awshttp.BuildableClient)
	if !ok {
		return client
	}
	return buildable.
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = connectTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout, t.IdleConnTimeout = connectTimeout, idleTimeout
		}).
		WithReadTimeout(readTimeout)
}

// plain makes addresses that a bare HTTP client can fetch: no checksum mode in
// them, and the bucket in the path where an endpoint has no name per bucket.
func plain(o *s3.Options) {
	o.UsePathStyle = o.BaseEndpoint != nil
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
}
