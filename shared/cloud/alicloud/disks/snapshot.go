package disks

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Snapshot asks for one of a single disk. It is crash-consistent and no more:
// nothing is brought to rest for it.
type Snapshot struct {
	Disk          string
	Name          string // empty: none
	Description   string
	RetentionDays int // 0: kept until it is deleted
	Tags          map[string]string
}

// Limits of one disk and of one snapshot.
const (
	maxInProgress  = 10
	maxOfDisk      = 256
	maxRetention   = 65536
	maxTags        = 20
	maxDescription = 256
)

// Check refuses what the form alone forbids.
func (s Snapshot) Check() error {
	if err := wellFormed("disk", diskID, "d-bp1234567890abcdefgh", s.Disk); err != nil {
		return err
	}
	if s.Name != "" {
		if err := name("name", s.Name, "auto"); err != nil {
			return err
		}
	}
	switch n := len([]rune(s.Description)); {
	case s.RetentionDays < 0 || s.RetentionDays > maxRetention:
		return fault.Input("retention-days", "wants 1-%d, or 0 to keep it, got %d", maxRetention, s.RetentionDays)
	case s.Description != "" && (n < 2 || n > maxDescription || strings.HasPrefix(s.Description, "http")):
		return fault.Input("description", "wants 2-%d characters that do not begin with http", maxDescription)
	case len(s.Tags) > maxTags:
		return fault.Input("tag", "at most %d can be put on a snapshot, got %d", maxTags, len(s.Tags))
	}
	for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
		if err := tag(key, s.Tags[key]); err != nil {
			return err
		}
	}
	return nil
}

func tag(key, value string) error {
	lower := strings.ToLower(key)
	switch {
	case key == "" || len([]rune(key)) > 128 || len([]rune(value)) > 128:
		return fault.Input("tag", "wants a key of 1-128 characters and a value of at most 128, got %q", key+"="+value)
	case strings.HasPrefix(lower, "aliyun"), strings.HasPrefix(lower, "acs:"):
		return fault.Input("tag", "keys that begin with aliyun or acs: are the service's own, got %q", key)
	case strings.Contains(key+value, "http://"), strings.Contains(key+value, "https://"):
		return fault.Input("tag", "must not hold an address, got %q", key+"="+value)
	}
	return nil
}

// Take makes the snapshot. Codes: InvalidInput, SnapshotTooSoon,
// SnapshotRefused, InstanceNotRunning, and those of the calls.
func Take(ctx context.Context, c Cloud, s Snapshot) (id string, err error) {
	if err := s.Check(); err != nil {
		return "", err
	}
	d, err := c.Disk(ctx, s.Disk)
	if err != nil {
		return "", err
	}
	if _, err := ready(ctx, c, d); err != nil {
		return "", err
	}
	return c.TakeSnapshot(ctx, s.Disk, s.Name, s.Description, s.RetentionDays, s.Tags)
}

// ready refuses a disk that no snapshot can be made of now, and returns the
// instance that it is attached to, nil for none.
func ready(ctx context.Context, c Cloud, d *alicloud.Disk) (*alicloud.Machine, error) {
	if d.Status != inUse && d.Status != available {
		return nil, fault.New(fault.SnapshotRefused, "%s is %s, and a snapshot wants it In_use or Available", d.ID, d.Status)
	}
	var m *alicloud.Machine
	if d.InstanceID != "" {
		var err error
		if m, err = c.Machine(ctx, d.InstanceID); err != nil {
			return nil, err
		}
		if m.Status != running && m.Status != stopped {
			return nil, fault.New(fault.SnapshotRefused, "%s, which has the disk, is %s, and a snapshot wants it Running or Stopped", m.ID, m.Status)
		}
	}
	made, err := c.ListSnapshots(ctx, alicloud.Wanted{DiskID: d.ID})
	if err != nil {
		return nil, err
	}
	busy := 0
	for _, s := range made {
		if s.Status != progressing {
			continue
		}
		busy++
		if !s.Available {
			return nil, fault.New(fault.SnapshotTooSoon, "%s of the disk is still being created (%s)", s.ID, s.Progress)
		}
	}
	switch {
	case busy >= maxInProgress:
		return nil, fault.New(fault.SnapshotTooSoon, "%d snapshots of the disk are in progress, of %d allowed", busy, maxInProgress)
	case len(made) >= maxOfDisk:
		return nil, fault.New(fault.SnapshotRefused, "the disk has %d snapshots, of %d that may be made by hand: delete some", len(made), maxOfDisk)
	}
	return m, nil
}

// List lists snapshots, the newest first.
func List(ctx context.Context, c Cloud, w alicloud.Wanted) ([]alicloud.Snapshot, error) {
	if w.DiskID != "" {
		if err := wellFormed("disk", diskID, "d-bp1234567890abcdefgh", w.DiskID); err != nil {
			return nil, err
		}
	}
	all, err := c.ListSnapshots(ctx, w)
	slices.SortStableFunc(all, func(a, b alicloud.Snapshot) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return all, err
}
