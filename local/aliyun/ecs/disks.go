package ecs

import (
	"context"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// Disk is one as its owner puts it into the account. Its id is its name in the
// storage below.
type Disk struct {
	ID          string
	Instance    string // attached to; empty for none
	Device      string // the attachment's name, default /dev/xvdb onwards
	Bytes       int64  // default 1 GiB
	Category    string // cloud_essd (default), cloud_auto, cloud_efficiency, ...
	System      bool
	MultiAttach bool
	Zone        string // default the Region's h
	Ends        bool   // with the instance that it is attached to
	Tags        map[string]string

	// Hollow has no storage below, as the system disk of a simulated machine:
	// snapshots of it hold nothing.
	Hollow bool
	// Made tells that the storage is there and attached already, at Path.
	Made bool
	Path string // the device on the machine
}

type disk struct {
	Disk
	created, attached time.Time
	ready             time.Time   // creating until then
	busy              string      // the state while it changes
	moving            *time.Timer // until it has changed
	snapshot          string      // made of
	token, request    string      // of the call that made it, and what that asked for
	policy            string
	reset             time.Time
}

// States of a disk.
const (
	inUse     = "In_use"
	available = "Available"
	creating  = "Creating"
	attaching = "Attaching"
	detaching = "Detaching"
	resetting = "ReIniting"
)

const gib = 1 << 30

// AddDisk puts a disk into the account, making and attaching its storage
// unless it is there, and returns the path of its device on the machine.
func (e *ECS) AddDisk(ctx context.Context, d Disk) (path string, err error) {
	if d.Bytes <= 0 {
		d.Bytes = gib
	}
	if d.Category == "" {
		d.Category = "cloud_essd"
	}
	if d.Tags == nil {
		d.Tags = map[string]string{}
	}
	if d.Zone == "" {
		d.Zone = e.zone()
	}
	if !d.Hollow && !d.Made {
		if err := e.cfg.Disks.Create(ctx, d.ID, d.Bytes, ""); err != nil {
			return "", err
		}
		if d.Instance != "" {
			if d.Path, err = e.cfg.Disks.Attach(ctx, d.ID); err != nil {
				return "", err
			}
		}
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if d.Instance != "" && d.Device == "" {
		d.Device = e.freeDevice(d.Instance, d.System)
	}
	e.disks[d.ID] = &disk{Disk: d, created: now, attached: now}
	return d.Path, nil
}

// Path returns the device of an attached disk on its machine.
func (e *ECS) Path(id string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := e.disks[id]; d != nil {
		return d.Path
	}
	return ""
}

// freeDevice is the next name that the service gives an attachment.
func (e *ECS) freeDevice(instance string, system bool) string {
	if system {
		return "/dev/xvda"
	}
	used := map[string]bool{}
	for _, d := range e.attachedTo(instance) {
		used[d.Device] = true
	}
	for c := 'b'; ; c++ {
		if name := "/dev/xvd" + string(c); !used[name] {
			return name
		}
	}
}

func (e *ECS) attachedTo(instance string) []*disk {
	var all []*disk
	for _, d := range e.disks {
		if d.Instance == instance && instance != "" {
			all = append(all, d)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Device < all[j].Device })
	return all
}

func (e *ECS) disk(id string) (*disk, error) {
	d := e.disks[id]
	if d == nil {
		return nil, missing("InvalidDiskId.NotFound", "DiskId", id)
	}
	return d, nil
}

func (d *disk) state(now time.Time) string {
	switch {
	case d.busy != "":
		return d.busy
	case now.Before(d.ready):
		return creating
	case d.Instance != "":
		return inUse
	}
	return available
}

func (d *disk) gib() int64 { return max(1, (d.Bytes+gib-1)/gib) }

// serial is what the machine's controller says: the id without its prefix.
func (d *disk) serial() string { return strings.TrimPrefix(d.ID, "d-") }

func kind(system bool) string {
	if system {
		return "system"
	}
	return "data"
}

func (e *ECS) describeDisks(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	asked, err := p.JSON("DiskIds", 100)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	var found []*disk
	for id, d := range e.disks {
		switch {
		case p.Text("DiskIds") != "" && !slices.Contains(asked, id),
			p.Text("InstanceId") != "" && d.Instance != p.Text("InstanceId"),
			p.Text("DiskIds") == "" && p.Text("InstanceId") == "" && d.token != "" && now.Sub(d.created) < e.cfg.Visible,
			p.Text("Category") != "" && p.Text("Category") != "all" && d.Category != p.Text("Category"),
			p.Text("DiskType") != "" && p.Text("DiskType") != "all" && kind(d.System) != p.Text("DiskType"),
			p.Text("Status") != "" && p.Text("Status") != "All" && d.state(now) != p.Text("Status"),
			!p.Tagged(d.Tags):
			continue
		}
		found = append(found, d)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].ID < found[j].ID })
	from, to, next, err := p.Page(len(found), 10, 500)
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, d := range found[from:to] {
		list = append(list, e.renderDisk(d, now))
	}
	return map[string]any{"Disks": map[string]any{"Disk": list}, "TotalCount": len(found), "NextToken": next}, nil
}

func (e *ECS) renderDisk(d *disk, now time.Time) map[string]any {
	attachments := []any{}
	if d.Instance != "" {
		attachments = append(attachments, map[string]string{"InstanceId": d.Instance, "Device": d.Device, "AttachedTime": rpc.Stamp(d.attached)})
	}
	multi := "Disabled"
	if d.MultiAttach {
		multi = "Enabled"
	}
	return map[string]any{
		"DiskId": d.ID, "DiskName": d.ID, "RegionId": e.cfg.Region, "ZoneId": d.Zone, "Size": d.gib(), "Category": d.Category,
		"Type": kind(d.System), "Status": d.state(now), "InstanceId": d.Instance, "Device": d.Device, "SerialNumber": d.serial(),
		"MultiAttach": multi, "Encrypted": false, "DeleteWithInstance": d.Ends, "SourceSnapshotId": d.snapshot, "CreationTime": rpc.Stamp(d.created),
		"EnableAutoSnapshot": true, "AutoSnapshotPolicyId": d.policy, "EnableAutomatedSnapshotPolicy": d.policy != "",
		"Attachments": map[string]any{"Attachment": attachments}, "Tags": rpc.Prefixed.Render(d.Tags),
	}
}

// Disks returns every disk as it stands, by its id.
func (e *ECS) Disks() map[string]Disk {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string]Disk{}
	for id, d := range e.disks {
		one := d.Disk
		one.Tags = maps.Clone(d.Tags)
		all[id] = one
	}
	return all
}
