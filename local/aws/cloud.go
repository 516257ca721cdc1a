// Package aws is an AWS account of one Region on loopback or in process: it
// speaks the real wire protocols, so that unmodified SDK clients and the
// deployable functions run against it. All its time goes through package time,
// hence testing/synctest makes it virtual.
package aws

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/aws/bus"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/kms"
	"github.com/quiesce/quiesce/local/aws/s3"
	"github.com/quiesce/quiesce/local/aws/ssm"
	"github.com/quiesce/quiesce/local/aws/states"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
)

// Config is an account. Its zero value with Disks is a usable one.
type Config struct {
	Region  string     // default eu-central-1
	Account string     // default 123456789012
	Regions []string   // besides, of EC2 and KMS alone; what is copied goes there
	Seed    uint64     // of every id that is made
	Keys    uint64     // of the access keys that are issued; 0 takes Seed
	Signing *wire.Keys // derived before, of accounts with the same access keys; nil: none
	Disks   instance.Disks
	Faults  *fault.Plan // nil plans nothing

	// Engine hosts the state machines; nil has none.
	Engine *engine.Engine

	// Latency is how long a call takes until its reply, by API name
	// (CreateSnapshots), by service (ec2, ssm, events, states, s3), or "*";
	// the first that is there counts, then Latencies.
	Latency map[string]time.Duration

	// Unthrottled takes the published request limits away.
	Unthrottled bool

	EC2 ec2.Config // its account fields are filled in
	SSM ssm.Config
	Bus bus.Config
}

// Latencies are the defaults: plausible round trips of a Region, no figures
// that AWS publishes.
var Latencies = map[string]time.Duration{
	"CreateSnapshots": 250 * time.Millisecond,
	"ec2":             60 * time.Millisecond,
	"ssm":             40 * time.Millisecond,
	"events":          20 * time.Millisecond,
	"states":          30 * time.Millisecond,
	"s3":              30 * time.Millisecond,
	"kms":             20 * time.Millisecond,
}

// Cloud is the running account.
type Cloud struct {
	*wire.Gate

	EC2    *ec2.EC2
	SSM    *ssm.SSM
	Bus    *bus.Bus
	S3     *s3.S3
	KMS    *kms.KMS
	States *states.States // nil without an engine

	elsewhere map[string]*ec2.EC2 // by Region, without the home one

	cfg      Config
	services map[string]wire.Service

	mu      sync.Mutex
	random  *rand.Rand
	secrets map[string]key // by access key id
}

type key struct{ role, secret string }

// New makes an account without instances.
func New(cfg Config) *Cloud {
	if cfg.Region == "" {
		cfg.Region = "eu-central-1"
	}
	if cfg.Account == "" {
		cfg.Account = "123456789012"
	}
	if cfg.Signing == nil {
		cfg.Signing = &wire.Keys{}
	}
	c := &Cloud{cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, 0)), secrets: make(map[string]key)}
	c.Gate = &wire.Gate{
		Faults: cfg.Faults, Unthrottled: cfg.Unthrottled, Latency: cfg.Latency, Latencies: Latencies,
		NewID: c.uuid, Route: c.route, Service: c.service, Unknown: unknown, Authenticate: c.authenticate,
		Partial: partial, ContentType: "application/x-amz-json-1.1", IDHeader: "X-Amzn-Requestid",
	}

	b := cfg.Bus
	b.Region, b.Account, b.NewID = cfg.Region, cfg.Account, c.uuid
	c.Bus = bus.New(b)

	c.KMS = kms.New(kms.Config{Region: cfg.Region, Account: cfg.Account})

	e := cfg.EC2
	e.Usable = c.KMS.Usable
	e.Region, e.Account, e.Disks, e.NewID = cfg.Region, cfg.Account, cfg.Disks, c.hex
	e.Publish = func(detailType string, resources []string, detail any) {
		c.Bus.Emit("aws.ec2", detailType, resources, detail)
	}
	c.settle(e)

	s := cfg.SSM
	s.Region, s.Account, s.NewID, s.State = cfg.Region, cfg.Account, c.uuid, c.EC2.State
	s.Publish = func(detailType string, resources []string, detail any) {
		c.Bus.Emit("aws.ssm", detailType, resources, detail)
	}
	c.SSM = ssm.New(s)

	c.S3 = s3.New()
	c.services = map[string]wire.Service{"ec2": c.EC2, "ssm": c.SSM, "events": c.Bus, "s3": c.S3, "kms": c.KMS}
	if cfg.Engine != nil {
		c.States = states.New(cfg.Engine, states.Config{Region: cfg.Region, Account: cfg.Account})
		c.services["states"] = c.States
		cfg.Engine.Announce(c.States.Announcer(func(detailType string, resources []string, detail any) {
			c.Bus.Emit("aws.states", detailType, resources, detail)
		}))
	}
	return c
}

// Region is the account's Region.
func (c *Cloud) Region() string { return c.cfg.Region }

// Rent puts an instance with its volumes into the account and an agent on it,
// and returns the devices of the volumes on the machine.
func (c *Cloud) Rent(ctx context.Context, i ec2.Instance, m instance.Machine, volumes ...ec2.Volume) (paths map[string]string, err error) {
	if i.Arch == "" {
		i.Arch = m.Arch()
	}
	c.EC2.AddInstance(i)
	paths = make(map[string]string)
	for _, v := range volumes {
		v.Instance = i.ID
		if paths[v.ID], err = c.EC2.AddVolume(ctx, v); err != nil {
			return nil, fmt.Errorf("volume %s: %w", v.ID, err)
		}
	}
	c.SSM.Register(i.ID, m)
	return paths, nil
}

// Close ends what still runs: commands are killed, nothing completes any more.
func (c *Cloud) Close() {
	c.EC2.Close()
	for _, other := range c.elsewhere {
		other.Close()
	}
	c.SSM.Close()
	c.Bus.Close()
}

func (c *Cloud) hex(digits int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for b.Len() < digits {
		fmt.Fprintf(&b, "%016x", c.random.Uint64())
	}
	// Ids of this century begin with a zero.
	return "0" + b.String()[1:digits]
}

func (c *Cloud) uuid() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, b := c.random.Uint64(), c.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff)
}
