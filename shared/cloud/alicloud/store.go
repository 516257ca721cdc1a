package alicloud

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss/credentials"
	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss/retry"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// urlLife outlasts the delivery and execution of the command that carries it.
const urlLife = 10 * time.Minute

// FleetPrefix and TokenPrefix are where the bucket keeps what is worth nothing
// after some days; a lifecycle rule is to take it away.
const (
	FleetPrefix = "fleet/"
	TokenPrefix = "tokens/"
)

// maxToken is the longest token that is read.
const maxToken = 8 << 10

// bucket reaches OSS, once a call like everything else. Its SDK repeats
// nothing: again does, as for the other services. inside takes the endpoint
// that instances without a way out reach.
func (p *Provider) bucket(inside bool) *oss.Client {
	cfg := oss.LoadDefaultConfig().WithRegion(p.cfg.Region).WithSignatureVersion(oss.SignatureVersionV4).
		WithRetryer(retry.NopRetryer{}).WithHttpClient(&http.Client{Transport: p.cfg.Transport}).
		WithUseInternalEndpoint(inside).WithDisableUploadCRC64Check(true).WithDisableDownloadCRC64Check(true).
		WithCredentialsProvider(credentials.CredentialsProviderFunc(func(ctx context.Context) (credentials.Credentials, error) {
			keys, err := p.cfg.Credentials(ctx)
			return credentials.Credentials{AccessKeyID: keys.ID, AccessKeySecret: keys.Secret, SecurityToken: keys.Token}, err
		}))
	for _, product := range []string{"oss", "*"} {
		if at := p.cfg.Endpoints[product]; at != "" {
			cfg.WithEndpoint(at).WithUsePathStyle(true)
			break
		}
	}
	return oss.NewClient(cfg)
}

// stored makes one call of OSS until it is answered.
func stored[T any](ctx context.Context, do func() (T, error)) (out T, err error) {
	err = again(ctx, func() error {
		var err error
		out, err = do()
		return bare(err)
	})
	return out, err
}

// bare is plain for the errors of this SDK.
func bare(err error) error {
	var service *oss.ServiceError
	if errors.As(err, &service) {
		return &refusal{service.StatusCode, service.Code, scrub(service.Message), service.RequestID}
	}
	var address *url.Error
	for errors.As(err, &address) {
		err = address.Err
	}
	var operation *oss.OperationError
	if errors.As(err, &operation) {
		err = operation.Unwrap()
	}
	return err
}

// Helper signs an address for the build; no call is made for it. The instance
// fetches it inside the Region, where it needs no way out.
func (p *Provider) Helper(ctx context.Context, arch string) (cloud.Asset, error) {
	helper, ok := p.options.Helpers[arch]
	if !ok || helper.Key == "" || p.options.AssetBucket == "" {
		return cloud.Asset{}, fault.New(fault.HelperNotDelivered, "this deployment carries no helper for %q", arch)
	}
	signed, err := p.bucket(true).Presign(ctx, &oss.GetObjectRequest{
		Bucket: oss.Ptr(p.options.AssetBucket), Key: oss.Ptr(helper.Key),
	}, oss.PresignExpires(urlLife))
	if err != nil {
		return cloud.Asset{}, fault.Wrap(fault.AccessDenied, bare(err), "sign the address of the helper")
	}
	return cloud.Asset{SHA256: helper.SHA256, URL: signed.URL}, nil
}

// Bucket is the one that tokens are kept in: fleets have a prefix of their own.
func (p *Provider) Bucket() string { return cmp.Or(p.options.TokenBucket, p.options.AssetBucket) }

// Put writes an object.
func (p *Provider) Put(ctx context.Context, key string, data []byte) error {
	return p.put(ctx, key, "application/json", data)
}

func (p *Provider) put(ctx context.Context, key, kind string, data []byte) error {
	_, err := stored(ctx, func() (*oss.PutObjectResult, error) {
		return p.bucket(false).PutObject(ctx, &oss.PutObjectRequest{
			Bucket: oss.Ptr(p.Bucket()), Key: oss.Ptr(key), Body: bytes.NewReader(data), ContentType: oss.Ptr(kind),
		})
	})
	return translate(err, "write %s", key)
}

// Get reads an object.
func (p *Provider) Get(ctx context.Context, key string) ([]byte, error) {
	data, err := p.get(ctx, key, -1)
	return data, translate(err, "read %s", key)
}

func (p *Provider) get(ctx context.Context, key string, limit int64) ([]byte, error) {
	return stored(ctx, func() ([]byte, error) {
		out, err := p.bucket(false).GetObject(ctx, &oss.GetObjectRequest{Bucket: oss.Ptr(p.Bucket()), Key: oss.Ptr(key)})
		if err != nil {
			return nil, err
		}
		defer func() { _ = out.Body.Close() }()
		if limit < 0 {
			return io.ReadAll(out.Body)
		}
		return io.ReadAll(io.LimitReader(out.Body, limit))
	})
}

// List names the objects below a prefix.
func (p *Provider) List(ctx context.Context, prefix string) ([]string, error) {
	keys := []string{}
	for from := (*string)(nil); ; {
		page, err := stored(ctx, func() (*oss.ListObjectsV2Result, error) {
			return p.bucket(false).ListObjectsV2(ctx, &oss.ListObjectsV2Request{
				Bucket: oss.Ptr(p.Bucket()), Prefix: oss.Ptr(prefix), MaxKeys: 1000, ContinuationToken: from,
			})
		})
		if err != nil {
			return nil, translate(err, "list %s", prefix)
		}
		for _, o := range page.Contents {
			keys = append(keys, oss.ToString(o.Key))
		}
		if !page.IsTruncated {
			return keys, nil
		}
		from = page.NextContinuationToken
	}
}

// SaveToken writes one small object: a bucket reads back what was just
// written.
func (p *Provider) SaveToken(ctx context.Context, set, token string) error {
	return p.put(ctx, TokenPrefix+set, "text/plain", []byte(token))
}

// FindToken reads the object. Without the right to list the bucket OSS denies
// nothing that does not exist: it says so.
func (p *Provider) FindToken(ctx context.Context, set string) (string, error) {
	token, err := p.get(ctx, TokenPrefix+set, maxToken)
	if hasCode(err, "NoSuchKey") {
		return "", nil
	}
	return string(token), translate(err, "look for the token of the wait for %s", set)
}
