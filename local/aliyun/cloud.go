// Package aliyun is an Alibaba Cloud account of one Region on loopback or in
// process: it speaks the real wire protocols, so that unmodified SDK clients
// and the deployable functions run against it. Disks, machines, engine and
// faults are those that the other emulated account has. All its time goes
// through package time, hence testing/synctest makes it virtual.
package aliyun

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/assistant"
	"github.com/quiesce/quiesce/local/aliyun/cms"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/aliyun/eventbridge"
	"github.com/quiesce/quiesce/local/aliyun/fnf"
	"github.com/quiesce/quiesce/local/aliyun/oss"
	"github.com/quiesce/quiesce/local/aliyun/sharing"
	"github.com/quiesce/quiesce/local/aliyun/vpc"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
)

// Config is an account. Its zero value with Disks is a usable one.
type Config struct {
	Region  string // default cn-hangzhou
	Account string // default 1234567890123456
	Seed    uint64 // of every id that is made
	Keys    uint64 // of the access keys that are issued; 0 takes Seed
	Disks   instance.Disks
	Faults  *fault.Plan // nil plans nothing

	// Engine hosts the flows; nil has none.
	Engine *engine.Engine

	// Latency is how long a call takes until its reply, by API name
	// (CreateSnapshotGroup), by service (ecs, vpc, cms, fnf, eventbridge, oss), or
	// "*"; the first that is there counts, then Latencies.
	Latency map[string]time.Duration

	// Unthrottled takes the documented request limits away.
	Unthrottled bool

	ECS         ecs.Config // its account fields are filled in
	Assistant   assistant.Config
	EventBridge eventbridge.Config
}

// Latencies are the defaults: plausible round trips of a Region, no figures
// that the provider publishes.
var Latencies = map[string]time.Duration{
	"CreateSnapshotGroup": 250 * time.Millisecond,
	"ecs":                 60 * time.Millisecond,
	"assistant":           60 * time.Millisecond,
	"cms":                 30 * time.Millisecond,
	"fnf":                 30 * time.Millisecond,
	"eventbridge":         20 * time.Millisecond,
	"oss":                 30 * time.Millisecond,
	"resourcesharing":     60 * time.Millisecond,
	"vpc":                 60 * time.Millisecond,
}

// Cloud is the running account.
type Cloud struct {
	*wire.Gate

	ECS         *ecs.ECS
	Assistant   *assistant.Assistant
	EventBridge *eventbridge.EventBridge
	CMS         *cms.CMS
	OSS         *oss.OSS

	cfg      Config
	services map[string]wire.Service
	timers   *timers

	mu     sync.Mutex
	random *rand.Rand
	keys   map[string]key // by access key id
	nonces map[string]bool
}

type key struct{ role, secret, token string }

// New makes an account without instances.
func New(cfg Config) *Cloud {
	if cfg.Region == "" {
		cfg.Region = "cn-hangzhou"
	}
	if cfg.Account == "" {
		cfg.Account = "1234567890123456"
	}
	if cfg.Keys == 0 {
		cfg.Keys = cfg.Seed
	}
	if d, ok := cfg.Latency["ecs"]; ok { // whose endpoint Cloud Assistant's calls go to
		cfg.Latency = maps.Clone(cfg.Latency)
		cfg.Latency["assistant"] = d
	}
	c := &Cloud{cfg: cfg, timers: &timers{}, random: rand.New(rand.NewPCG(cfg.Seed, 0)), keys: map[string]key{}, nonces: map[string]bool{}}
	c.timers.ctx, c.timers.cancel = context.WithCancel(context.Background())
	c.Gate = &wire.Gate{
		Faults: cfg.Faults, Unthrottled: cfg.Unthrottled, Latency: cfg.Latency, Latencies: Latencies,
		NewID: c.requestID, Route: route, Service: func(call *wire.Call) wire.Service { return c.services[call.Service] },
		Unknown: unknown, Authenticate: c.authenticate,
		Partial: partial, ContentType: "application/json;charset=utf-8", IDHeader: "X-Acs-Request-Id",
	}

	b := cfg.EventBridge
	b.Region, b.Account, b.NewID = cfg.Region, cfg.Account, func() string { return c.digits(32) }
	c.EventBridge = eventbridge.New(b)
	publish := func(kind, subject string, data any) { c.EventBridge.Emit("acs.ecs", kind, subject, data) }

	e := cfg.ECS
	e.Region, e.Account, e.Disks, e.NewID, e.Publish = cfg.Region, cfg.Account, cfg.Disks, c.digits, publish
	c.ECS = ecs.New(e)

	a := cfg.Assistant
	a.State, a.NewID, a.Publish = c.ECS.State, c.digits, publish
	a.System = func(id string) string {
		i, _ := c.ECS.Describe(id)
		return i.OS
	}
	c.Assistant = assistant.New(a)
	c.CMS, c.OSS = cms.New(), oss.New(cfg.Region)
	c.services = map[string]wire.Service{
		"ecs": c.ECS, "assistant": c.Assistant, "eventbridge": c.EventBridge, "cms": c.CMS, "oss": c.OSS,
		"resourcesharing": sharing.New(c.ECS.SharedWith), "vpc": vpc.New(c.ECS.VSwitches),
	}
	if cfg.Engine != nil {
		c.services["fnf"] = fnf.New(cfg.Engine)
	}
	return c
}

// Region is the account's Region, and Account its number.
func (c *Cloud) Region() string { return c.cfg.Region }

// Account is the account's number.
func (c *Cloud) Account() string { return c.cfg.Account }

// Rent puts an instance with its disks into the account and an agent on it,
// and returns the devices of the disks on the machine.
func (c *Cloud) Rent(ctx context.Context, i ecs.Instance, m instance.Machine, disks ...ecs.Disk) (paths map[string]string, err error) {
	if i.Arch == "" {
		i.Arch = m.Arch()
	}
	c.ECS.AddInstance(i)
	paths = map[string]string{}
	for _, d := range disks {
		d.Instance = i.ID
		if paths[d.ID], err = c.ECS.AddDisk(ctx, d); err != nil {
			return nil, fmt.Errorf("disk %s: %w", d.ID, err)
		}
	}
	c.Assistant.Register(i.ID, m)
	return paths, nil
}

// Close ends what still runs: commands are killed, nothing completes any more.
func (c *Cloud) Close() {
	c.timers.close()
	c.ECS.Close()
	c.Assistant.Close()
	c.EventBridge.Close()
}

// digits are those of an id, as ids of a newer Region begin.
func (c *Cloud) digits(n int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%016x", c.random.Uint64())
	}
	return "bp1" + b.String()[3:n]
}
