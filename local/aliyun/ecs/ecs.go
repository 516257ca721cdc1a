// Package ecs is the emulated ECS, as far as disks go: instances, disks,
// snapshots and snapshot groups, policies, images and what is started of them,
// over the disks of this host or of a simulation. It keeps the documented
// limits, statuses and error codes of what a snapshot run, a rollback and a
// restore need.
package ecs

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/instance"
)

// Config is the account's ECS in one Region.
type Config struct {
	Region  string
	Account string
	Disks   instance.Disks

	// Publish puts an event of acs.ecs on the bus; nil publishes nothing.
	Publish func(kind, subject string, data any)
	// NewID makes the digits of an id.
	NewID func(digits int) string

	// Completion is how long a snapshot is progressing; default 10 s.
	Completion time.Duration
	// Usable is how long it cannot be used yet, nor another one be made of its
	// disk; default 2 s, at most Completion.
	Usable time.Duration
	// Visible is how long a new group or snapshot is missing from lists that
	// do not name it; default 1 s, negative none.
	Visible time.Duration
	// Turn is how long an instance is stopping, starting or being released, Provision how long
	// a disk or an image is being made, and Moving how long a disk is being
	// attached, detached or set back; default 1 s, negative none.
	Turn, Provision, Moving time.Duration

	// Stopped and Started hear of an instance before it counts as such; nil
	// for nobody.
	Stopped, Started func(instance string)
}

// ECS is the emulated service.
type ECS struct {
	cfg Config

	mu        sync.Mutex
	instances map[string]*machine
	disks     map[string]*disk
	snapshots map[string]*snapshot
	groups    map[string]*group
	policies  map[string]*policy
	images    map[string]*image
	order     []string // ids of snapshots, groups, policies and images, oldest first
	closed    bool

	vswitches   map[string]VSwitch
	firewalls   map[string]Group
	roles, keys map[string]bool
	soldOut     map[string]bool     // zones
	tokens      map[string]launched // of instances
	imagesFail  bool
}

// New makes an empty ECS.
func New(cfg Config) *ECS {
	for d, def := range map[*time.Duration]time.Duration{
		&cfg.Completion: 10 * time.Second, &cfg.Usable: 2 * time.Second, &cfg.Visible: time.Second, &cfg.Turn: time.Second, &cfg.Provision: time.Second,
		&cfg.Moving: time.Second,
	} {
		if *d == 0 {
			*d = def
		}
	}
	cfg.Usable = min(cfg.Usable, cfg.Completion)
	if cfg.Publish == nil {
		cfg.Publish = func(string, string, any) {}
	}
	return &ECS{
		cfg: cfg, instances: map[string]*machine{}, disks: map[string]*disk{}, snapshots: map[string]*snapshot{},
		groups: map[string]*group{}, policies: map[string]*policy{}, images: map[string]*image{},
		vswitches: map[string]VSwitch{}, firewalls: map[string]Group{}, roles: map[string]bool{}, keys: map[string]bool{}, soldOut: map[string]bool{},
		tokens: map[string]launched{},
	}
}

// Close lets nothing more complete; what is in progress stays so.
func (e *ECS) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, s := range e.snapshots {
		if s.timer != nil {
			s.timer.Stop()
		}
	}
	for _, m := range e.instances {
		if m.turning != nil {
			m.turning.Stop()
		}
	}
	for _, d := range e.disks {
		if d.moving != nil {
			d.moving.Stop()
		}
	}
}

// Protocol is that of every RPC service.
func (e *ECS) Protocol() wire.Protocol { return rpc.Protocol }

// Limit is none: ECS publishes its limits for each account and API, only
// planned throttles happen.
func (e *ECS) Limit(*wire.Call) (string, wire.Limit) { return "", wire.Limit{} }

type action func(context.Context, *wire.Call, rpc.Params) (map[string]any, error)

// Do has the effect of one call.
func (e *ECS) Do(ctx context.Context, c *wire.Call) (wire.Reply, error) {
	do := map[string]action{
		"DescribeInstances":            e.describeInstances,
		"DescribeInstanceTypes":        e.describeInstanceTypes,
		"DescribeSecurityGroups":       e.describeSecurityGroups,
		"RunInstances":                 e.runInstances,
		"DeleteInstance":               e.deleteInstance,
		"StartInstance":                e.startInstance,
		"StopInstance":                 e.stopInstance,
		"AttachInstanceRamRole":        e.attachRole,
		"DescribeInstanceRamRole":      e.describeRole,
		"DescribeDisks":                e.describeDisks,
		"CreateDisk":                   e.createDisk,
		"AttachDisk":                   e.attachDisk,
		"DetachDisk":                   e.detachDisk,
		"DeleteDisk":                   e.deleteDisk,
		"ModifyDiskAttribute":          e.modifyDisk,
		"ResetDisk":                    e.resetDisk,
		"CreateSnapshot":               e.createSnapshot,
		"DescribeSnapshots":            e.describeSnapshots,
		"DeleteSnapshot":               e.deleteSnapshot,
		"CreateSnapshotGroup":          e.createGroup,
		"DescribeSnapshotGroups":       e.describeGroups,
		"DeleteSnapshotGroup":          e.deleteGroup,
		"DescribeLockedSnapshots":      e.describeLocks,
		"TagResources":                 e.tagResources,
		"UntagResources":               e.untagResources,
		"ListTagResources":             e.listTags,
		"CreateImage":                  e.createImage,
		"DescribeImages":               e.describeImages,
		"DeleteImage":                  e.deleteImage,
		"CreateAutoSnapshotPolicy":     e.createPolicy,
		"ApplyAutoSnapshotPolicy":      e.applyPolicy,
		"CancelAutoSnapshotPolicy":     e.cancelPolicy,
		"DeleteAutoSnapshotPolicy":     e.deletePolicy,
		"DescribeAutoSnapshotPolicyEx": e.describePolicies,
	}[c.Action]
	if do == nil {
		return wire.Reply{}, wire.Errorf(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method: %s", c.Action)
	}
	out, err := do(ctx, c, rpc.Params(c.Form))
	if err != nil {
		return wire.Reply{}, err
	}
	return rpc.Answer(c, out)
}

// forbidden is a refusal with status 403, as those for a state are.
func forbidden(code, format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusForbidden, code, format, args...)
}

func missing(code, what, id string) *wire.Error {
	return wire.Errorf(http.StatusNotFound, code, "The specified %s %q does not exist.", what, id)
}

func (e *ECS) id(prefix string) string { return prefix + e.cfg.NewID(20) }

// resource names one as the events do.
func (e *ECS) resource(kind, id string) string {
	return "acs:ecs:" + e.cfg.Region + ":" + e.cfg.Account + ":" + kind + "/" + id
}
