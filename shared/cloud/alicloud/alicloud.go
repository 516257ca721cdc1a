// Package alicloud is the cloud of ECS, Cloud Assistant, OSS, EventBridge,
// CloudMonitor and CloudFlow. It holds no state but its transport: every call
// has a client of its own, because the SDK's must not be shared, and asks for
// its credentials anew, because a function's are those of one invocation.
package alicloud

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
)

// Config is where and as whom the provider calls.
type Config struct {
	Region  string
	Account string // its number, which names the endpoint of EventBridge

	// Credentials is asked before every call.
	Credentials func(context.Context) (Keys, error)

	// Transport carries every call; nil: one with the timeouts of a Region.
	Transport http.RoundTripper

	// Endpoints replace the Region's own by product (ecs, cms, fnf, oss,
	// eventbridge), or all of them by "*", each with its scheme.
	Endpoints map[string]string
}

// Keys sign a call. Token is that of STS, empty for a user's own keys.
type Keys struct{ ID, Secret, Token string }

// Options names what a deployment made. A field may stay empty where only
// steps that do not need it run.
type Options struct {
	AssetBucket string
	TokenBucket string            // for the tokens of those who wait; empty: the asset bucket
	Helpers     map[string]Helper // by architecture: amd64, arm64
	Bus         string            // name; empty: the account's default bus
	Flow        string            // the snapshot's, whose stopped executions are looked for
	Janitor     string            // the flow that is started after one
	Verifier    string            // that of restore tests, whose stopped executions are looked for

	Restorer       string // that of restores, whose stopped executions are looked for
	RestoreJanitor string // the flow that is started after one
}

// Helper is one build of the helper in the asset bucket.
type Helper struct {
	Key    string
	SHA256 string // hex
}

// Provider implements cloud.Provider.
type Provider struct {
	cfg     Config
	options Options

	mu    sync.Mutex
	kinds map[string]kind // by instance type, which never changes
}

var _ cloud.Provider = (*Provider)(nil)

// New makes the provider of a Region.
func New(cfg Config, options Options) *Provider {
	if cfg.Transport == nil {
		cfg.Transport = patient()
	}
	return &Provider{cfg: cfg, options: options, kinds: map[string]kind{}}
}

// A connection inside the Region is made in milliseconds or not at all. The
// answer to the call that makes a group of many disks may take seconds. An idle
// connection is not kept to the next invocation: the process is frozen between
// the two, the service hangs up meanwhile, and the one call that is never
// repeated would be lost on it.
const (
	connectTimeout = 3 * time.Second
	readTimeout    = 20 * time.Second
	idleTimeout    = 5 * time.Second
)

func patient() http.RoundTripper {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:   connectTimeout,
		ResponseHeaderTimeout: readTimeout,
		IdleConnTimeout:       idleTimeout,
		ForceAttemptHTTP2:     true,
	}
}

// endpoint is where a product answers in the Region.
func (p *Provider) endpoint(product string) string {
	for _, name := range []string{product, "*"} {
		if url := p.cfg.Endpoints[name]; url != "" {
			return url
		}
	}
	region := p.cfg.Region
	switch product {
	case "fnf": // the SDK's own table has four Regions and guesses the rest wrongly
		return "https://" + region + ".fnf.aliyuncs.com"
	case "cms": // the SDK has no table and would ask a location service
		return "https://metrics." + region + ".aliyuncs.com"
	case "eventbridge":
		return "https://" + p.cfg.Account + ".eventbridge." + region + ".aliyuncs.com"
	}
	return "https://" + product + "." + region + ".aliyuncs.com"
}
