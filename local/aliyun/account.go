package aliyun

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/oss"
	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
)

// Keys issues the keys of a role as STS does, always the same for the same
// name. Each function has a role of its own, so the account knows which one
// calls.
func (c *Cloud) Keys(role string) alicloud.Keys {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", c.cfg.Keys, role))
	text := hex.EncodeToString(sum[:])
	k := alicloud.Keys{ID: "STS." + text[:20], Secret: text[20:50], Token: base64.StdEncoding.EncodeToString(sum[:]) + "+/=="}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[k.ID] = key{role, k.Secret, k.Token}
	return k
}

// Client is a provider's configuration for a role, in process.
func (c *Cloud) Client(role string) alicloud.Config {
	keys := c.Keys(role)
	return alicloud.Config{
		Region: c.cfg.Region, Account: c.cfg.Account, Transport: c.Transport(),
		Credentials: func(context.Context) (alicloud.Keys, error) { return keys, nil },
		Endpoints:   map[string]string{"*": "http://emulated.aliyuncs.com"},
	}
}

// signed is a signature of any kind, as far as the account goes by it.
type signed struct {
	key, token string
	at         time.Time
	expires    time.Duration // of an address; 0 for none
	nonce      string
	verify     func(secret string) bool
}

// authenticate checks a call's signature wholly and names the role behind it.
func (c *Cloud) authenticate(call *wire.Call, protocol wire.Protocol) error {
	s, problem := c.signature(call)
	if problem != "" {
		return protocol.Signature[problem]
	}
	c.mu.Lock()
	k, known := c.keys[s.key]
	used := s.nonce != "" && c.nonces[s.nonce]
	if s.nonce != "" {
		c.nonces[s.nonce] = true
	}
	c.mu.Unlock()
	age := call.At.Sub(s.at)
	switch {
	case !known:
		return protocol.Signature[wire.UnknownKey]
	case s.token != k.token:
		return wire.Errorf(http.StatusNotFound, "InvalidSecurityToken.MismatchWithAccessKey", "The specified SecurityToken mismatched with the AccessKey.")
	case !s.verify(k.secret):
		return protocol.Signature[wire.Mismatch]
	case s.expires > 0 && age > s.expires, s.expires == 0 && age > 15*time.Minute, age < -15*time.Minute:
		return protocol.Signature[wire.Expired]
	case used:
		return wire.Bad("SignatureNonceUsed", "Specified signature nonce was used already.")
	}
	call.Role = k.role
	return nil
}

func (c *Cloud) signature(call *wire.Call) (signed, wire.Problem) {
	switch call.Service {
	case "oss":
		s, problem := oss.Read(call.HTTP)
		if problem == "" && s.Region != c.cfg.Region {
			problem = wire.BadScope
		}
		return signed{s.KeyID, s.Token, s.At, s.Expires, "", func(secret string) bool { return s.Verify(call.HTTP, secret) }}, problem
	case "eventbridge":
		return acs(call.HTTP)
	}
	s, problem := rpc.Read(call.HTTP.Method, call.Form)
	if problem == "" && s.Region != c.cfg.Region {
		problem = wire.BadScope
	}
	return signed{s.KeyID, s.Token, s.At, 0, s.Nonce, s.Verify}, problem
}

// acs reads the signature of EventBridge. It is computed anew by what the
// request holds, not by the client's own hand.
func acs(r *http.Request) (signed, wire.Problem) {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "acs:")
	if !ok {
		return signed{}, wire.Missing
	}
	id, given, _ := strings.Cut(rest, ":")
	at, err := time.Parse(http.TimeFormat, r.Header.Get("Date"))
	if err != nil || given == "" || r.Header.Get("x-acs-signature-nonce") == "" || r.Header.Get("x-acs-signature-method") != "HMAC-SHA1" {
		return signed{}, wire.Incomplete
	}
	return signed{
		key: id, token: r.Header.Get("x-acs-security-token"), at: at, nonce: r.Header.Get("x-acs-signature-nonce"),
		verify: func(secret string) bool { return rpc.HeaderSignature(r, secret) == given },
	}, ""
}
