package awscloud

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

//go:embed completion.json
var completion string

// Completion is the pattern of the events by which EBS tells that a set is
// done: the rule that starts the wake function carries it.
func Completion() string { return completion }

// TokenPrefix is where the bucket keeps tokens. An object here is worth nothing
// after a day, hence a lifecycle rule is to take it away.
const TokenPrefix = "tokens/"

// maxToken is the longest token that Step Functions makes.
const maxToken = 2048

func (p *Provider) tokenBucket() *string {
	return aws.String(cmp.Or(p.options.TokenBucket, p.options.AssetBucket))
}

// SaveToken writes one small object: a bucket reads back what was just
// written, and has room for every event of other people's snapshots, which the
// account's quota for EC2's calls has not.
func (p *Provider) SaveToken(ctx context.Context, set, token string) error {
	_, err := p.store.PutObject(ctx, &s3.PutObjectInput{
		Bucket: p.tokenBucket(), Key: aws.String(TokenPrefix + set),
		Body: strings.NewReader(token), ContentType: aws.String("text/plain"),
	})
	if err != nil {
		return translate(err, "save the token of the wait for %s", set)
	}
	return nil
}

// FindToken reads the object. Without the right to list the bucket S3 denies
// what does not exist, and every foreign set would look like a failure.
func (p *Provider) FindToken(ctx context.Context, set string) (string, error) {
	out, err := p.store.GetObject(ctx, &s3.GetObjectInput{Bucket: p.tokenBucket(), Key: aws.String(TokenPrefix + set)})
	var missing *s3types.NoSuchKey
	if errors.As(err, &missing) {
		return "", nil
	}
	var token []byte
	if err == nil {
		defer func() { _ = out.Body.Close() }()
		token, err = io.ReadAll(io.LimitReader(out.Body, maxToken))
	}
	if err != nil {
		return "", translate(err, "look for the token of the wait for %s", set)
	}
	return string(token), nil
}

// Answer ends a wait; that nobody waits any more is as good.
func (p *Provider) Answer(ctx context.Context, token string) error {
	_, err := p.tasks.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: aws.String(token), Output: aws.String("{}")})
	var over *sfntypes.TaskTimedOut
	var unknown *sfntypes.TaskDoesNotExist
	var invalid *sfntypes.InvalidToken
	if err == nil || errors.As(err, &over) || errors.As(err, &unknown) || errors.As(err, &invalid) {
		return nil
	}
	return translate(err, "end the wait for a set")
}
