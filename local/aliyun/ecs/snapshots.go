package ecs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// States of snapshots and of groups.
const (
	progressing  = "progressing"
	accomplished = "accomplished"
	failed       = "failed"
)

// Limits.
const (
	maxInProgress = 10  // of one disk
	maxOfDisk     = 256 // made by hand
)

type snapshot struct {
	id, disk, name, description string
	category                    string
	bytes, gib                  int64
	system, hollow              bool
	retention                   int
	tags                        map[string]string
	group                       string
	started, usable, done       time.Time
	fails, ended                bool
	archived                    bool
	locked                      time.Time   // until then it cannot be deleted
	shared                      []string    // accounts
	timer                       *time.Timer // of the first of a set
}

func (s *snapshot) state(now time.Time) string {
	switch {
	case now.Before(s.done) || !s.ended:
		return progressing
	case s.fails:
		return failed
	}
	return accomplished
}

// available tells that disks can be made of it, which may be so before it is
// accomplished.
func (s *snapshot) available(now time.Time) bool {
	return s.state(now) != failed && !now.Before(s.usable)
}

func (s *snapshot) progress(now time.Time) string {
	if s.state(now) == accomplished {
		return "100%"
	}
	whole := s.done.Sub(s.started)
	if whole <= 0 {
		return "99%"
	}
	return fmt.Sprintf("%d%%", max(0, min(99, int(100*now.Sub(s.started)/whole))))
}

func (e *ECS) snapshot(id string) (*snapshot, error) {
	s := e.snapshots[id]
	if s == nil {
		return nil, missing("InvalidSnapshotId.NotFound", "SnapshotId", id)
	}
	return s, nil
}

func (e *ECS) createSnapshot(ctx context.Context, c *wire.Call, p rpc.Params) (map[string]any, error) {
	tags, err := p.Tags()
	if err == nil {
		err = p.Required("DiskId")
	}
	if err == nil {
		err = snapshotName(p.Text("SnapshotName"))
	}
	retention, err2 := p.Number("RetentionDays", 0, 1, 65536)
	if err == nil {
		err = err2
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	d, err := e.disk(p.Text("DiskId"))
	if err == nil {
		err = e.snapshotable(d)
	}
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	set := e.reserve([]*disk{d}, p.Text("Description"), c.Planned.ErrorSet)
	s := set[0]
	s.name, s.retention, s.tags = p.Text("SnapshotName"), retention, tags
	e.mu.Unlock()
	return map[string]any{"SnapshotId": s.id}, e.take(ctx, set)
}

// snapshotName is what a name may be; those that begin with auto are the
// policies' own.
func snapshotName(name string) error {
	if name == "" {
		return nil
	}
	if n := len([]rune(name)); n < 2 || n > 128 || strings.HasPrefix(name, "auto") || strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		return wire.Bad("InvalidSnapshotName.Malformed", "The specified SnapshotName is wrongly formed.")
	}
	return nil
}

// snapshotable refuses a disk that no snapshot can be made of now.
func (e *ECS) snapshotable(d *disk) error {
	now := time.Now()
	if state := d.state(now); state != inUse && state != available {
		return forbidden("IncorrectDiskStatus", "The current disk status does not support this operation.")
	}
	if m := e.instances[d.Instance]; m != nil && m.State != running && m.State != stopped {
		return forbidden("IncorrectInstanceStatus", "The current status of the resource does not support this operation.")
	}
	inProgress, all := 0, 0
	for _, s := range e.snapshots {
		if s.disk != d.ID {
			continue
		}
		all++
		if s.state(now) == progressing {
			inProgress++
		}
		if !s.available(now) && s.state(now) == progressing || inProgress >= maxInProgress {
			return forbidden("IncorrectDiskStatus.CreatingSnapshot", "A previous snapshot of the specified disk is still being created.")
		}
	}
	if all >= maxOfDisk {
		return forbidden("QuotaExceed.Snapshot", "The snapshot quota of the disk exceeds.")
	}
	return nil
}

// reserve enters a set, so that no other call passes the limits meanwhile.
func (e *ECS) reserve(disks []*disk, description string, fails bool) []*snapshot {
	now := time.Now()
	var set []*snapshot
	for _, d := range disks {
		s := &snapshot{
			id: e.id("s-"), disk: d.ID, description: description, category: d.Category, bytes: d.Bytes, gib: d.gib(),
			system: d.System, hollow: d.Hollow, tags: map[string]string{},
			started: now, usable: now.Add(e.cfg.Usable), done: now.Add(e.cfg.Completion), fails: fails,
		}
		e.snapshots[s.id] = s
		e.order = append(e.order, s.id)
		set = append(set, s)
	}
	return set
}

// take copies the storage at one point in time and lets the set complete
// later. The copy is made even if the client is gone by now.
func (e *ECS) take(ctx context.Context, set []*snapshot) error {
	copies := map[string]string{}
	for _, s := range set {
		if !s.hollow {
			copies[s.disk] = s.id
		}
	}
	if len(copies) > 0 {
		if err := e.cfg.Disks.Snapshot(context.WithoutCancel(ctx), copies); err != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, s := range set {
				e.forget(s.id)
			}
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		set[0].timer = time.AfterFunc(time.Until(set[0].done), func() { e.complete(set) })
	}
	return nil
}

func (e *ECS) forget(id string) {
	delete(e.snapshots, id)
	delete(e.groups, id)
	e.order = slices.DeleteFunc(e.order, func(o string) bool { return o == id })
}

// complete ends a set and tells of each member: there is no event of a group.
func (e *ECS) complete(set []*snapshot) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	details := make([]map[string]any, len(set))
	for i, s := range set {
		s.ended = true
		result := accomplished
		if s.fails {
			result = failed
		}
		details[i] = map[string]any{
			"result": result, "snapshotId": s.id, "snapshotName": s.name, "snapshotType": "user", "diskId": s.disk,
			"startTime": rpc.Stamp(s.started), "endTime": rpc.Stamp(s.done),
		}
	}
	e.mu.Unlock()
	for i, s := range set {
		e.cfg.Publish("ecs:Snapshot:CreateSnapshotCompleted", e.resource("snapshot", s.id), details[i])
	}
}

func (e *ECS) describeSnapshots(_ context.Context, c *wire.Call, p rpc.Params) (map[string]any, error) {
	asked, err := p.JSON("SnapshotIds", 100)
	if err != nil {
		return nil, err
	}
	named := p.Text("SnapshotIds") != ""
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	var found []*snapshot
	for _, id := range e.order {
		s := e.snapshots[id]
		switch {
		case s == nil,
			named && !slices.Contains(asked, id),
			!named && now.Sub(s.started) < e.cfg.Visible,
			p.Text("DiskId") != "" && s.disk != p.Text("DiskId"),
			p.Text("InstanceId") != "" && (e.disks[s.disk] == nil || e.disks[s.disk].Instance != p.Text("InstanceId")),
			p.Text("Status") != "" && p.Text("Status") != "all" && s.state(now) != p.Text("Status"),
			p.Text("SnapshotType") == "auto",
			!p.Tagged(s.tags):
			continue
		}
		found = append(found, s)
	}
	if c.Planned.Wrong && len(found) > 0 {
		found = found[:len(found)-1] // a list that lags behind lacks some
	}
	from, to, next, err := p.Page(len(found), 10, 100)
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, s := range found[from:to] {
		list = append(list, e.renderSnapshot(s, now))
	}
	return map[string]any{"Snapshots": map[string]any{"Snapshot": list}, "TotalCount": len(found), "NextToken": next}, nil
}

func (e *ECS) renderSnapshot(s *snapshot, now time.Time) map[string]any {
	remain := 0
	if s.state(now) == progressing {
		remain = int(s.done.Sub(now).Seconds())
	}
	return map[string]any{
		"SnapshotId": s.id, "SnapshotName": s.name, "Description": s.description, "SnapshotType": "user", "Status": s.state(now),
		"Progress": s.progress(now), "Available": s.available(now), "SourceDiskId": s.disk, "SourceDiskSize": strconv.FormatInt(s.gib, 10),
		"SourceDiskType": kind(s.system), "SourceStorageType": s.category, "Category": tier(s.archived), "RegionId": e.cfg.Region,
		"CreationTime": rpc.Stamp(s.started), "LastModifiedTime": rpc.Stamp(s.started), "RetentionDays": s.retention, "Encrypted": false,
		"Usage": e.usage(s), "RemainTime": remain, "Tags": rpc.Prefixed.Render(s.tags),
	}
}

func tier(archived bool) string {
	if archived {
		return "archive"
	}
	return "standard"
}

// usage is what has been made of a snapshot.
func (e *ECS) usage(s *snapshot) string {
	image, disk := len(e.imagesOf(s.id)) > 0, len(e.disksOf(s.id)) > 0
	switch {
	case image && disk:
		return "image_disk"
	case image:
		return "image"
	case disk:
		return "disk"
	}
	return "none"
}

func (e *ECS) disksOf(snapshot string) (ids []string) {
	for _, d := range e.disks {
		if d.snapshot == snapshot {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// deleteSnapshot takes no notice of one that does not exist, as documented.
func (e *ECS) deleteSnapshot(ctx context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	if err := p.Required("SnapshotId"); err != nil {
		return nil, err
	}
	e.mu.Lock()
	s := e.snapshots[p.Text("SnapshotId")]
	if s == nil {
		e.mu.Unlock()
		return nil, nil
	}
	err := e.held(s)
	if err == nil && len(e.disksOf(s.id)) > 0 && !p.Flag("Force") {
		err = forbidden("SnapshotCreatedDisk", "The snapshot has been used to create disk(s).")
	}
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	e.forget(s.id)
	e.mu.Unlock()
	return nil, e.erase(ctx, s)
}

func (e *ECS) erase(ctx context.Context, s *snapshot) error {
	if s.hollow {
		return nil
	}
	return e.cfg.Disks.DeleteSnapshot(context.WithoutCancel(ctx), s.id)
}

// FailSnapshots lets the snapshots in progress of a disk, with their groups,
// fail when their time is up.
func (e *ECS) FailSnapshots(disk string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.snapshots {
		if s.disk == disk && !s.ended {
			s.fails = true
			for _, other := range e.snapshots {
				other.fails = other.fails || other.group != "" && other.group == s.group
			}
		}
	}
}

// All returns every snapshot's tags by its id, whatever lists show yet: its
// group's and, over them, its own.
func (e *ECS) All() map[string]map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string]map[string]string{}
	for id, s := range e.snapshots {
		all[id] = map[string]string{}
		if g := e.groups[s.group]; g != nil {
			maps.Copy(all[id], g.tags)
		}
		maps.Copy(all[id], s.tags)
	}
	return all
}
