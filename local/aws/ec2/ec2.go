// Package ec2 is the emulated EC2 and EBS: the query protocol over the disks
// of this host or of a simulation. It keeps the published limits, states and
// error codes of what a snapshot run and a restore need, and nothing else.
package ec2

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/instance"
)

// Config is the account's EC2 in one Region.
type Config struct {
	Region  string
	Account string
	Disks   instance.Disks

	// Publish puts an event on the bus; nil publishes nothing.
	Publish func(detailType string, resources []string, detail any)
	// Usable tells whether a role may use a key; nil lets every one.
	Usable func(key, role string) bool
	// NewID makes the hexadecimal digits of an id.
	NewID func(digits int) string

	// Completion is how long a snapshot is pending; default 10 s.
	Completion time.Duration
	// Visible is how long a new snapshot is missing from lists by filter;
	// default 1 s, negative none.
	Visible time.Duration
	// Spacing is the least time between two snapshots of a volume; default
	// 15 s, negative none.
	Spacing time.Duration
	// Provision is how long a new volume is "creating"; default 1 s.
	Provision time.Duration
	// Attaching is how long a volume is attaching or detaching; default 1 s,
	// negative none.
	Attaching time.Duration
	// Turning is how long an instance is stopping or pending; default 5 s,
	// negative none.
	Turning time.Duration
	// Registering is how long a new image is pending; default 1 s, negative none.
	Registering time.Duration
	// Copying is how long a copy is pending; default 2 min. Archiving is how long
	// a snapshot is on its way to the archive tier; default 1 h.
	Copying, Archiving time.Duration
	// Elsewhere is the account's EC2 in another Region, nil for none; without it
	// there is no other.
	Elsewhere func(region string) *EC2
	// ManagedKey is the Region's key that AWS itself manages for EBS. Key tells
	// whether a key of this Region is there; without it every one is.
	ManagedKey string
	Key        func(arn string) bool
	// Presigned tells whether an address asks for the copy of a snapshot of a
	// Region to another, signed by the account; without it all are taken as good.
	Presigned func(region, address, snapshot, to string) bool
	// Stopped and Started hear of an instance's state before it is told to
	// anybody else; nil is allowed.
	Stopped, Started func(instance string)
}

// EC2 is the emulated service.
type EC2 struct {
	cfg Config

	mu        sync.Mutex
	instances map[string]*machine
	volumes   map[string]*volume
	snapshots map[string]*snapshot
	order     []string // snapshot ids, oldest first
	images    []*image
	subnets   map[string]Subnet
	groups    map[string]Group
	profiles  []string
	closed    bool
}

// New makes an empty EC2.
func New(cfg Config) *EC2 {
	cfg.Completion = otherwise(cfg.Completion, 10*time.Second)
	cfg.Visible = otherwise(cfg.Visible, time.Second)
	cfg.Spacing = otherwise(cfg.Spacing, 15*time.Second)
	cfg.Provision = otherwise(cfg.Provision, time.Second)
	cfg.Attaching = otherwise(cfg.Attaching, time.Second)
	cfg.Registering = otherwise(cfg.Registering, time.Second)
	cfg.Turning = otherwise(cfg.Turning, 5*time.Second)
	cfg.Copying = otherwise(cfg.Copying, 2*time.Minute)
	cfg.Archiving = otherwise(cfg.Archiving, time.Hour)
	if cfg.Elsewhere == nil {
		cfg.Elsewhere = func(string) *EC2 { return nil }
	}
	if cfg.Key == nil {
		cfg.Key = func(string) bool { return true }
	}
	if cfg.Presigned == nil {
		cfg.Presigned = func(string, string, string, string) bool { return true }
	}
	if cfg.Publish == nil {
		cfg.Publish = func(string, []string, any) {}
	}
	if cfg.Usable == nil {
		cfg.Usable = func(string, string) bool { return true }
	}
	if cfg.NewID == nil {
		n := 0
		cfg.NewID = func(digits int) string {
			n++
			return fmt.Sprintf("%0*x", digits, n)
		}
	}
	return &EC2{
		cfg:       cfg,
		instances: make(map[string]*machine),
		volumes:   make(map[string]*volume),
		snapshots: make(map[string]*snapshot),
		subnets:   make(map[string]Subnet),
		groups:    make(map[string]Group),
	}
}

func otherwise(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// Close lets nothing more complete; what is pending stays pending.
func (e *EC2) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, s := range e.snapshots {
		if s.timer != nil {
			s.timer.Stop()
		}
	}
}

// Protocol is the query protocol.
func (e *EC2) Protocol() wire.Protocol { return wire.Query }

// Limit is the published request bucket of an action.
func (e *EC2) Limit(c *wire.Call) (string, wire.Limit) {
	switch c.Action {
	case "CreateSnapshots", "CreateSnapshot", "DeleteSnapshot", "ModifySnapshotAttribute":
		return c.Action, wire.Limit{Capacity: 100, Refill: 5}
	case "CreateTags", "DeleteTags":
		return c.Action, wire.Limit{Capacity: 100, Refill: 10}
	case "DescribeInstances", "DescribeSnapshots", "DescribeVolumes":
		q := query(c.Form)
		if len(q.filters()) == 0 && q.text("MaxResults") == "" && len(q.list("InstanceId"))+len(q.list("SnapshotId"))+len(q.list("VolumeId")) == 0 {
			return c.Action + "/all", wire.Limit{Capacity: 50, Refill: 10}
		}
	}
	return c.Action, wire.Limit{Capacity: 100, Refill: 20}
}

// Do has the effect of one call.
func (e *EC2) Do(ctx context.Context, c *wire.Call) (wire.Reply, error) {
	do := map[string]func(context.Context, *wire.Call, query) (any, error){
		"DescribeInstances": e.describeInstances,
		"StopInstances":     e.stopInstances,
		"StartInstances":    e.startInstances,

		"ModifyInstanceAttribute": e.modifyInstanceAttribute,

		"DescribeVolumes":   e.describeVolumes,
		"CreateVolume":      e.createVolume,
		"AttachVolume":      e.attachVolume,
		"DetachVolume":      e.detachVolume,
		"DeleteVolume":      e.deleteVolume,
		"CreateSnapshots":   e.createSnapshots,
		"CreateSnapshot":    e.createSnapshot,
		"DescribeSnapshots": e.describeSnapshots,
		"DeleteSnapshot":    e.deleteSnapshot,
		"CreateTags":        e.createTags,
		"DeleteTags":        e.deleteTags,
		"DescribeTags":      e.describeTags,

		"CopySnapshot":                 e.copySnapshot,
		"ModifySnapshotTier":           e.modifySnapshotTier,
		"DescribeSnapshotTierStatus":   e.describeSnapshotTierStatus,
		"EnableFastSnapshotRestores":   e.turnFast(true),
		"DisableFastSnapshotRestores":  e.turnFast(false),
		"DescribeFastSnapshotRestores": e.describeFastSnapshotRestores,

		"LockSnapshot":              e.lockSnapshot,
		"UnlockSnapshot":            e.unlockSnapshot,
		"DescribeLockedSnapshots":   e.describeLockedSnapshots,
		"ModifySnapshotAttribute":   e.modifySnapshotAttribute,
		"DescribeSnapshotAttribute": e.describeSnapshotAttribute,
		"DescribeImages":            e.describeImages,
		"RegisterImage":             e.registerImage,
		"DeregisterImage":           e.deregisterImage,
		"RunInstances":              e.runInstances,
		"TerminateInstances":        e.terminateInstances,
		"DescribeSubnets":           e.describeSubnets,
		"DescribeSecurityGroups":    e.describeSecurityGroups,
		"DescribeInstanceTypes":     e.describeInstanceTypes,
	}[c.Action]
	if do == nil {
		return wire.Reply{}, wire.Bad("InvalidAction", "The action %s is not valid for this web service.", c.Action)
	}
	q := query(c.Form)
	if q.flag("DryRun") {
		return wire.Reply{}, wire.Errorf(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	body, err := do(ctx, c, q)
	if err != nil {
		return wire.Reply{}, err
	}
	return reply(c, body)
}

// reply puts what an action answers into its envelope: a document, or several
// in a slice. What flat made has no element of its own.
func reply(c *wire.Call, body any) (wire.Reply, error) {
	parts, several := body.([]any)
	if !several {
		parts = []any{body}
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	fmt.Fprintf(&b, `<%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>%s</requestId>`, c.Action, c.ID)
	for _, part := range parts {
		doc, isFlat := part.(fields)
		if isFlat {
			part = doc.of
		}
		raw, err := xml.Marshal(part)
		if err != nil {
			return wire.Reply{}, err
		}
		if isFlat {
			raw = raw[bytes.IndexByte(raw, '>')+1 : bytes.LastIndexByte(raw, '<')]
		}
		b.Write(raw)
	}
	fmt.Fprintf(&b, "</%sResponse>", c.Action)
	return wire.Reply{Status: 200, Header: http.Header{"Content-Type": {"text/xml;charset=UTF-8"}}, Body: b.Bytes()}, nil
}

// fields is a document whose fields stand directly in the envelope.
type fields struct{ of any }

func flat(doc any) fields { return fields{doc} }

// done is the body of an action that answers nothing else.
type done struct {
	XMLName xml.Name `xml:"return"`
	Return  bool     `xml:",chardata"`
}

func (e *EC2) id(prefix string) string { return prefix + e.cfg.NewID(17) }

// arn names a resource as EBS's own events do: with an empty partition field
// before the Region.
func (e *EC2) arn(kind, id string) string {
	return "arn:aws:ec2::" + e.cfg.Region + ":" + kind + "/" + id
}

// hash makes stable digits of a name, for ids that nobody chose.
func hash(name string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:17] }
