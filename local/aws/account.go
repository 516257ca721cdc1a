package aws

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Key issues the access key of a role, always the same for the same name. Each
// function has a role of its own, so the account knows which one calls.
func (c *Cloud) Key(role string) (id, secret string) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", cmp.Or(c.cfg.Keys, c.cfg.Seed), role))
	id = "AKIA" + base32.StdEncoding.EncodeToString(sum[:])[:16]
	secret = hex.EncodeToString(sum[:])[:40]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets[id] = key{role, secret}
	return id, secret
}

// Client is the SDK's configuration for a role, in process: hand it to
// ec2.NewFromConfig and its like.
func (c *Cloud) Client(role string) sdk.Config {
	id, secret := c.Key(role)
	return sdk.Config{
		Region:      c.cfg.Region,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
		HTTPClient:  &http.Client{Transport: c.Transport()},
	}
}

// Environment is what a process needs to reach the account as a role: the
// SDK's own variables, nothing else.
func (c *Cloud) Environment(role, endpoint string) []string {
	id, secret := c.Key(role)
	return []string{
		"AWS_REGION=" + c.cfg.Region,
		"AWS_DEFAULT_REGION=" + c.cfg.Region,
		"AWS_ACCESS_KEY_ID=" + id,
		"AWS_SECRET_ACCESS_KEY=" + secret,
		"AWS_ENDPOINT_URL=" + endpoint,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	}
}

// authenticate checks a call's signature wholly and names the role behind it.
func (c *Cloud) authenticate(call *wire.Call, protocol wire.Protocol) error {
	s, problem := wire.ParseSignature(call.HTTP)
	if problem != "" {
		return protocol.Signature[problem]
	}
	if s.Service != call.Service || s.Region != call.Region {
		return protocol.Signature[wire.BadScope]
	}
	c.mu.Lock()
	k, known := c.secrets[s.KeyID]
	c.mu.Unlock()
	switch age := call.At.Sub(s.At); {
	case !known:
		return protocol.Signature[wire.UnknownKey]
	case !s.Verify(call.HTTP, call.Body, k.secret, c.cfg.Signing):
		return protocol.Signature[wire.Mismatch]
	case s.Presigned && age > s.Expires, !s.Presigned && age > 5*time.Minute, age < -15*time.Minute:
		return protocol.Signature[wire.Expired]
	}
	call.Role = k.role
	return nil
}

// Record is one call that arrived.
type Record = wire.Record
