package ecs

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// The actions of a restore: disks from snapshots, to and from machines, and
// disks set back.

func (e *ECS) createDisk(ctx context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	tags, err := p.Tags()
	if err == nil && p.Text("ZoneId") == "" && p.Text("InstanceId") == "" {
		err = wire.Bad("MissingParameter", "The input parameter ZoneId or InstanceId is mandatory.")
	}
	size, err2 := p.Number("Size", 0, 1, 65536)
	if err == nil {
		err = err2
	}
	if err != nil {
		return nil, err
	}
	zone := p.Text("ZoneId")
	if zone != "" && (!strings.HasPrefix(zone, e.cfg.Region+"-") || len(zone) != len(e.cfg.Region)+2) {
		return nil, missing("InvalidZoneId.NotFound", "ZoneId", zone)
	}
	d := &disk{created: time.Now(), snapshot: p.Text("SnapshotId"), token: p.Text("ClientToken"), busy: creating}
	d.Disk = Disk{ID: e.id("d-"), Bytes: int64(size) * gib, Category: p.Text("DiskCategory"), MultiAttach: p.Text("MultiAttach") == "Enabled", Zone: zone, Tags: tags}
	d.request = strings.Join([]string{d.snapshot, zone, d.Category, p.Text("PerformanceLevel"), p.Text("Size")}, " ")
	if d.Category == "" {
		d.Category = "cloud_essd"
	}
	if err := large(d.Category, p.Text("PerformanceLevel"), size); err != nil {
		return nil, err
	}
	e.mu.Lock()
	for _, other := range e.disks {
		if d.token == "" || other.token != d.token {
			continue
		}
		defer e.mu.Unlock()
		if other.request != d.request {
			return nil, wire.Bad("IdempotentParameterMismatch", "The request uses the same client token as a previous, but non-identical request.")
		}
		return map[string]any{"DiskId": other.ID}, nil
	}
	if m := e.instances[p.Text("InstanceId")]; m != nil && zone == "" {
		d.Zone = m.Zone
	}
	if err := e.source(d, int64(size)); err != nil {
		e.mu.Unlock()
		return nil, err
	}
	e.disks[d.ID] = d
	e.mu.Unlock()
	if !d.Hollow {
		err = e.cfg.Disks.Create(context.WithoutCancel(ctx), d.ID, d.Bytes, d.snapshot)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	d.busy = ""
	if err != nil {
		delete(e.disks, d.ID)
		return nil, err
	}
	d.ready = time.Now().Add(max(0, e.cfg.Provision))
	return map[string]any{"DiskId": d.ID}, nil
}

// levels are the smallest sizes of an ESSD, in GiB, by performance level.
var levels = map[string]int{"PL0": 1, "PL1": 20, "PL2": 461, "PL3": 1261}

// smallest is the least size of a category, in GiB. A level that is none has no
// size that is large enough.
func smallest(category, level string) int {
	switch category {
	case "cloud_auto", "cloud_regional_disk_auto":
		return 1
	case "cloud_essd":
		if least, known := levels[cmp.Or(level, "PL1")]; known {
			return least
		}
		return 1 << 30
	}
	return minEmpty
}

// large refuses a size that is too small for the disk's performance level.
func large(category, level string, size int) error {
	if category == "cloud_essd" && size > 0 && size < smallest(category, level) {
		return wire.Bad("InvalidDataDiskSize.ValueNotSupported", "The specified size is not supported by the performance level %q.", level)
	}
	return nil
}

// source takes over what the disk's snapshot tells of it.
func (e *ECS) source(d *disk, size int64) error {
	if d.snapshot == "" {
		if size == 0 {
			return wire.Bad("MissingParameter", "The input parameter Size or SnapshotId is mandatory.")
		}
		return nil
	}
	s, err := e.snapshot(d.snapshot)
	switch {
	case err != nil:
		return err
	case !s.available(time.Now()):
		return forbidden("InvalidSnapshotId.NotReady", "The specified snapshot has not completed yet.")
	case size != 0 && size < s.gib:
		return wire.Bad("InvalidSize.ValueNotSupported", "The specified parameter Size is smaller than the snapshot.")
	}
	if size <= s.gib { // the storage below is smaller than the gibibytes that are sold
		d.Bytes = s.bytes
	}
	d.Hollow = s.hollow
	return nil
}

func (e *ECS) deleteDisk(ctx context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	e.mu.Lock()
	d, err := e.disk(p.Text("DiskId"))
	if err == nil && d.state(time.Now()) != available {
		err = forbidden("IncorrectDiskStatus", "The current disk status does not support this operation.")
	}
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	delete(e.disks, d.ID)
	e.mu.Unlock()
	if d.Hollow {
		return nil, nil
	}
	return nil, e.cfg.Disks.Delete(context.WithoutCancel(ctx), d.ID)
}

func (e *ECS) resetDisk(ctx context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	if err := p.Required("DiskId", "SnapshotId"); err != nil {
		return nil, err
	}
	e.mu.Lock()
	d, s, err := e.resettable(p.Text("DiskId"), p.Text("SnapshotId"))
	if err == nil && p.Flag("DryRun") {
		err = wire.Bad("DryRunOperation", "Request validation has been passed with DryRun flag set.")
	}
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	attached := d.Path != ""
	d.busy = resetting
	e.mu.Unlock()
	path := ""
	if !d.Hollow {
		path, err = e.reset(context.WithoutCancel(ctx), d, s.id, attached)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		d.busy = ""
		return nil, err
	}
	e.later(d, func() { d.Path, d.reset = path, time.Now() })
	return nil, nil
}

// resettable is what the documentation demands of a rollback.
func (e *ECS) resettable(diskID, snapshotID string) (*disk, *snapshot, error) {
	d, err := e.disk(diskID)
	if err != nil {
		return nil, nil, err
	}
	s, err := e.snapshot(snapshotID)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	m := e.instances[d.Instance]
	switch {
	case s.disk != d.ID:
		return nil, nil, wire.Bad("InvalidParameter.Mismatch", "The specified disk and the snapshot do not match.")
	case s.state(now) != accomplished:
		return nil, nil, forbidden("InvalidSnapshotId.NotReady", "The specified snapshot has not completed yet.")
	case m != nil && m.Locked != "":
		return nil, nil, forbidden("InstanceLockedForSecurity", "The specified operation is denied as your instance is locked for security reasons.")
	case m != nil && m.State != stopped:
		return nil, nil, forbidden("IncorrectInstanceStatus", "The current status of the resource does not support this operation.")
	case d.state(now) != inUse && d.state(now) != available:
		return nil, nil, forbidden("IncorrectDiskStatus", "The current disk status does not support this operation.")
	}
	for _, other := range e.snapshots {
		if other.disk == d.ID && other.state(now) == progressing {
			return nil, nil, forbidden("Operation.Conflict", "The operation may conflicts with others: a snapshot of the disk is in progress.")
		}
	}
	return d, s, nil
}

// reset puts the snapshot's content in the place of the disk's.
func (e *ECS) reset(ctx context.Context, d *disk, snapshot string, attached bool) (path string, err error) {
	below := e.cfg.Disks
	if attached {
		if err := below.Detach(ctx, d.ID); err != nil {
			return "", err
		}
	}
	if err := below.Delete(ctx, d.ID); err != nil {
		return "", err
	}
	if err := below.Create(ctx, d.ID, d.Bytes, snapshot); err != nil {
		return "", err
	}
	if attached {
		return below.Attach(ctx, d.ID)
	}
	return "", nil
}
